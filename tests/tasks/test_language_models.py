import math

import pytest
from language_models import TEXTS, bert, byte_bpe, documents, llama, wordpiece

from rlkit.tasks.causal_lm import CausalLM
from rlkit.tasks.masked_lm import MaskedLM


def trainer_of(task, model, tokenizer, folder, **fields):
    """A Trainer that keeps to what `rlkit.tasks.language` says of one."""
    from transformers import Trainer, TrainingArguments

    class Summed(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            outputs = model(**task.inputs(inputs))
            loss = task.loss(model, inputs, outputs)
            return (loss, outputs) if return_outputs else loss

        def measured(self):
            pairs = [pair for batch in self.get_eval_dataloader() for pair in task.losses(self.model, batch)]
            return task.measure(pairs, list(self.eval_dataset))

    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        per_device_eval_batch_size=8,
        logging_steps=1,
        save_strategy="no",
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        use_cpu=True,
        **fields,
    )
    return Summed(
        model=model,
        args=arguments,
        train_dataset=task.features(documents(TEXTS * 4), tokenizer, True),
        eval_dataset=task.features(documents(TEXTS), tokenizer, False),
        data_collator=task.collator(tokenizer, model),
    )


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("task", "make_tokenizer", "make_model"),
    [
        (CausalLM(context_length=24, key_tokens=["plt"]), byte_bpe, llama),
        (CausalLM(context_length=24, drop_last=False), byte_bpe, llama),
        (MaskedLM(context_length=24, whole_word_masking=True), wordpiece, bert),
    ],
    ids=["key tokens", "causal-lm", "masked-lm"],
)
def test_transformers_trainer_trains_and_measures(task, make_tokenizer, make_model, workers, tmp_path):
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, spread=0.02)
    fields = {"max_steps": 12, "learning_rate": 5e-3, "dataloader_num_workers": workers}
    trainer = trainer_of(task, model, tokenizer, tmp_path, **fields)
    before = trainer.measured()
    assert before == trainer.measured()
    trainer.train()
    after = trainer.measured()
    assert after["perplexity"] < 0.9 * before["perplexity"] and after["tokens"] == before["tokens"]
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[0] == pytest.approx(math.log(len(tokenizer)), abs=0.3) and losses[-1] < losses[0]


def test_a_model_that_predicts_nothing_has_no_perplexity():
    assert math.isnan(CausalLM().measure([(0.0, 0)], [{}])["perplexity"])
    assert CausalLM().measure([(1e6, 1)], [{}])["perplexity"] == math.inf


@pytest.mark.parametrize("fields", [{"context_length": 1}, {"mlm_probability": 0.0}, {"mlm_probability": 1.5}])
def test_parameters_have_their_ranges(fields):
    from pydantic import ValidationError

    with pytest.raises(ValidationError):
        MaskedLM(**fields)
