import math
import random

import pytest

from rlkit.reading import exploited, read


def curve(training, judged=None, n=100, evaluations=10, noise=0.03, metric=None, seed=0):
    """Rows of a stage; shapes are functions of the share of the steps that is done."""
    rng, rows = random.Random(seed), []
    for step in range(1, n + 1):
        rows.append({"stage": "task", "step": step, "loss": training(step / n) * (1 + rng.gauss(0, noise))})
        if judged and step % (n // evaluations) == 0:
            row = {"stage": "task", "step": step, "eval_loss": judged(step / n) * (1 + rng.gauss(0, noise / 5))}
            rows.append(row | ({"eval_f1": metric(step / n)} if metric else {}))
    return rows


def flat(done):
    return 0.5 + 2 * math.exp(-20 * done)


def falling(done):
    return 3 - 2 * done


def valley(done):
    return 2 + 4 * (done - 0.4) ** 2


def test_overfitting_names_the_best_step_and_the_figures():
    (said,) = read(curve(falling, valley, noise=0.0))
    assert said.startswith("overfitting: the evaluation loss has worsened by 72% over the 6 evaluations since step 40 ")
    assert "(2; 3.44 at step 100)" in said
    assert "fell from 2.21 to 1.03" in said
    assert "take the model of step 40" in said


def test_the_metric_says_which_step_is_best():
    rows = curve(falling, valley, metric=lambda done: 0.9 - (done - 0.5) ** 2)
    (said,) = read(rows, "f1")
    assert "f1 was best at step 50: 0.9, 0.65 at the end" in said
    (said,) = read(rows, "f1", falls=True)
    assert "f1 was best at step 100: 0.65)" in said


@pytest.mark.parametrize("falls", [False, True])
def test_the_metric_stands_for_a_loss_that_was_not_logged(falls):
    sign = -1 if falls else 1
    rows = curve(falling, valley, metric=lambda done: 5 - sign * (1 + 5 * (done - 0.4) ** 2))
    for row in rows:
        row.pop("eval_loss", None)
    (said,) = read(rows, "f1", falls)
    assert said.startswith("overfitting: the evaluation's f1 has worsened")
    assert ("(6; 7.8 at step 100)" if falls else "(4; 2.2 at step 100)") in said


def test_an_evaluation_that_worsens_while_training_does_not_get_better_is_no_overfitting():
    assert not any(said.startswith("overfitting") for said in read(curve(lambda done: 2.0, valley)))


def test_one_bad_evaluation_at_the_end_is_not_enough():
    rows = curve(falling, lambda done: 2.0, noise=0.0)
    rows[-1]["eval_loss"] = 3.0
    assert not any(said.startswith("overfitting") for said in read(rows))


def test_underfitting_without_evaluations():
    (said,) = read(curve(falling, noise=0.0))
    assert said == (
        "underfitting: the training loss still fell by 32% over the last quarter of the steps (from 1.48 at step 76 "
        "to 1 at step 100): train for more steps"
    )


def test_underfitting_by_training_and_evaluation():
    (said,) = read(curve(falling, falling, noise=0.0))
    assert "over the last half of the steps (from 1.98 at step 51 to 1 at step 100)" in said
    assert "the evaluation loss improved from 1.6 at step 70 to 1 at step 100: train for more steps" in said


def test_a_training_loss_that_falls_alone_is_no_reason_to_train_on():
    (said,) = read(curve(falling, lambda done: 2.0 + math.exp(-20 * done)))
    assert said.startswith("converged")


def test_erratic_says_what_would_mend_it():
    (said,) = read(curve(flat, flat, noise=0.5))
    assert said.startswith("erratic: the training loss jumps by ")
    assert said.endswith("lower the learning rate, or take larger batches")


def test_a_loss_that_rises_smoothly_is_erratic_too():
    (said,) = read(curve(lambda done: 1 + 2 * done, noise=0.01))
    assert said.startswith("erratic: the training loss rose from 1.03 at step 1 to 2.96 at step 100: ")


def test_jumps_near_zero_do_not_matter():
    rng = random.Random(0)
    rows = [{"step": step, "loss": 2 * math.exp(-step) + rng.uniform(0, 0.02)} for step in range(1, 101)]
    assert read(rows)[0].startswith("converged")


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number(loss):
    rows = curve(flat)
    rows[41]["loss"] = loss
    assert read(rows) == ["erratic: the training loss is no number at step 42: lower the learning rate"]


def test_converged_says_where():
    (said,) = read(curve(flat, flat, noise=0.0, metric=lambda done: 0.9), "f1")
    assert said == (
        "converged: the training loss is 0.5 at step 100, from 2.14; the evaluation loss is 0.5, at its best 0.5 at "
        "step 100; f1 was best at step 10: 0.9, 0.9 at the end"
    )


@pytest.mark.parametrize("rows", [[], [{"step": 1, "loss": 2.0}], [{"step": 5, "eval_loss": 1.0}] * 9])
def test_too_few_losses_are_no_curve(rows):
    assert read(rows)[0].startswith("too short to read")


def test_noise_is_seldom_taken_for_a_trend():
    """Of a hundred converged curves, with noise of a tenth of the loss, few are read as anything else."""
    wrong = 0
    for seed in range(50):
        wrong += not read(curve(flat, flat, noise=0.1, seed=seed))[0].startswith("converged")
        wrong += not read(curve(flat, noise=0.1, seed=seed))[0].startswith("converged")
    assert wrong <= 5


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_what_is_there_is_seen_through_noise(noise):
    for seed in range(20):
        assert read(curve(falling, valley, noise=noise, seed=seed))[0].startswith("overfitting")
        assert read(curve(falling, falling, noise=noise, seed=seed))[0].startswith("underfitting")
        assert read(curve(falling, noise=noise, seed=seed))[0].startswith("underfitting")


# Real trainings: sentences of a small grammar, learnt by a Llama of some 40,000 parameters


def sentences(count, seed):
    rng = random.Random(seed)
    who = ["the cat", "a dog", "my aunt", "one bird", "the old king", "her son"]
    does = ["sees", "likes", "follows", "paints", "forgets"]
    where = ["in the garden", "at night", "on a hill", "by the sea", "every day"]
    return [f"{rng.choice(who)} {rng.choice(does)} {rng.choice(who)} {rng.choice(where)}." for _ in range(count)]


@pytest.fixture(scope="module")
def train():
    """Imports take longer than the trainings do."""
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, Trainer

    assert LlamaForCausalLM and PreTrainedTokenizerFast and Trainer
    return trained


def trained(folder, count, steps, rate, batch=8, logged=1):
    """The rows that a training of so many sentences logs."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from rlkit.tasks.causal_lm import CausalLM

    made = Tokenizer(models.WordLevel(unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["?", "<end>"]
    made.train_from_iterator(sentences(500, 9), trainers.WordLevelTrainer(special_tokens=special, show_progress=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", unk_token="?")
    set_seed(0)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **sizes))
    task = CausalLM(context_length=12, drop_last=False)
    training, held = (
        task.features(Dataset.from_dict({"text": sentences(*of)}), tokenizer, kind)
        for of, kind in (((count, 1), True), ((100, 2), False))
    )
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        learning_rate=rate,
        lr_scheduler_type="constant",
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=50,
        logging_steps=logged,
        eval_strategy="steps",
        eval_steps=steps // 10,
        save_strategy="no",
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        use_cpu=True,
    )
    collate = task.collator(tokenizer, model)
    torch.set_num_threads(1)
    trainer = Trainer(model=model, args=arguments, train_dataset=training, eval_dataset=held, data_collator=collate)
    trainer.train()
    return [row for row in trainer.state.log_history if "loss" in row or "eval_loss" in row]


def test_a_real_training_on_sixteen_sentences_overfits(train, tmp_path):
    rows = train(tmp_path, 16, 120, 3e-3, batch=16)
    assert read(rows)[0].startswith("overfitting")
    low = min((row for row in rows if "eval_loss" in row), key=lambda row: row["eval_loss"])
    assert f"take the model of step {low['step']}" in read(rows)[0]


def test_a_real_training_of_too_few_steps_underfits(train, tmp_path):
    (said,) = read(train(tmp_path, 600, 20, 1e-3, batch=16))
    assert said.startswith("underfitting")


def test_a_real_training_with_too_high_a_learning_rate_is_erratic(train, tmp_path):
    assert any(said.startswith("erratic") for said in read(train(tmp_path, 600, 60, 0.5)))


def test_a_real_training_that_was_long_enough_has_converged(train, tmp_path):
    (said,) = read(train(tmp_path, 2000, 200, 3e-3, batch=32, logged=5))
    assert said.startswith("converged")


def rewarded(reward, accuracy, interval=0.05, noise=0.02, n=40, every=10):
    """Rows of a grpo stage that measures its checkpoints; shapes are functions of the share of the steps done."""
    rng = random.Random(0)
    rows = [{"step": 0, "eval_accuracy": accuracy(0.0), "eval_accuracy_low": accuracy(0.0) - interval}]
    for step in range(1, n + 1):
        rows.append({"step": step, "reward": reward(step / n) + rng.gauss(0, noise)})
        if step % every == 0:
            value = accuracy(step / n)
            rows.append({"step": step, "eval_accuracy": value, "eval_accuracy_low": value - interval})
    return rows


def peak(done):
    return 0.6 - 1.2 * abs(done - 0.25)


def test_a_reward_that_rises_while_the_metric_falls_is_told_of_with_the_figures_of_both():
    said = exploited(rewarded(lambda done: done, peak), "accuracy")
    assert "the training reward rises (0.2" in said
    assert "since step 10) while accuracy on held-out data gets worse (0.6 at step 10, -0.3 at step 40)" in said


@pytest.mark.parametrize(
    ("reward", "accuracy"),
    [
        (lambda done: done, lambda done: 0.2 + done),
        (lambda done: 1 - done, peak),
        (lambda done: 1.0, peak),
        (lambda done: done, lambda done: 0.6 - 0.04 * done),
    ],
    ids=["both rise", "both fall", "the reward stays", "the metric stays within its interval"],
)
def test_nothing_is_said_of_a_reward_and_a_metric_that_do_not_part(reward, accuracy):
    assert exploited(rewarded(reward, accuracy), "accuracy") == ""


def test_without_an_interval_one_worse_measurement_is_not_enough():
    rows = [{key: value for key, value in row.items() if "low" not in key} for row in rewarded(lambda done: done, peak)]
    assert exploited(rows, "accuracy")
    until = [row for row in rows if row["step"] <= 20]
    assert exploited(until, "accuracy") == ""
    assert exploited(rows, "accuracy", falls=True) == "", "there the last is the best"
    assert exploited([], "accuracy") == ""
