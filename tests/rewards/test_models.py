import logging

import cloudpickle
import pytest

from rlkit import plugins
from rlkit.errors import RequestError, RewardError

PROMPTS = ["How many apples are 3 and 4?", [{"role": "user", "content": "How many clips?"}], "How many?"]
COMPLETIONS = ["There are 7 apples.", "<think>Hm.</think>7", "apples " * 30]


def save(folder, tokenizer, shape="llama", chat=True, **settings):
    """A small classifier with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model(
        shape,
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        **sizes,
        **{"pad_token_id": tokenizer.pad_token_id, **settings},
    )
    model = AutoModelForSequenceClassification.from_config(config)
    if shape == "llama":
        torch.nn.init.normal_(model.score.weight)
    model.save_pretrained(folder)
    if not chat:
        tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def logits(folder, texts, pairs=None):
    """What the model says of each text alone, in double precision."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()
    said = []
    for i, text in enumerate(texts):
        encoded = tokenizer(text, pairs[i] if pairs else None, add_special_tokens=bool(pairs), return_tensors="pt")
        with torch.no_grad():
            said.append(model(**encoded).logits[0])
    return torch.stack(said)


CHATS = [
    "<|user|>How many apples are 3 and 4?<|end|><|assistant|>There are 7 apples.<|end|>",
    "<|user|>How many clips?<|end|><|assistant|>7<|end|>",
    f"<|user|>How many?<|end|><|assistant|>{('apples ' * 30).strip()}<|end|>",
]


def test_one_output_is_the_reward(tmp_path, tokenizer):
    folder = save(tmp_path / "rm", tokenizer, num_labels=1)
    want = logits(folder, CHATS)[:, 0]
    assert want.std() > 0.1
    reward = plugins.find("reward_model").configure(path=str(folder), batch_size=2)
    assert reward(completions=COMPLETIONS, prompts=PROMPTS) == pytest.approx(want.tolist(), abs=1e-5)
    squashed = reward.configure(sigmoid=True)
    assert squashed(completions=COMPLETIONS, prompts=PROMPTS) == pytest.approx(want.sigmoid().tolist(), abs=1e-5)


def test_a_value_does_not_depend_on_the_batch(tmp_path, tokenizer):
    reward = plugins.find("reward_model").configure(path=str(save(tmp_path / "rm", tokenizer, num_labels=1)))
    together = reward(completions=COMPLETIONS, prompts=PROMPTS)
    alone = [reward(completions=[c], prompts=[p])[0] for c, p in zip(COMPLETIONS, PROMPTS, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)


def test_of_several_outputs_the_label_counts(tmp_path, tokenizer):
    names = {0: "bad", 1: "fair", 2: "good"}
    folder = save(tmp_path / "rm", tokenizer, id2label=names, label2id={v: k for k, v in names.items()})
    reward = plugins.find("reward_model")
    want = logits(folder, CHATS).softmax(-1)
    for label, column in (("good", 2), (0, 0)):
        got = reward.configure(path=str(folder), label=label)(completions=COMPLETIONS, prompts=PROMPTS)
        assert got == pytest.approx(want[:, column].tolist(), abs=1e-5)
    with pytest.raises(RequestError, match=r"3 outputs \(bad, fair, good\): set a label"):
        reward.configure(path=str(folder))
    with pytest.raises(RequestError, match="did you mean 'good'"):
        reward.configure(path=str(folder), label="god")


def test_labels_that_do_not_exclude_each_other(tmp_path, tokenizer):
    folder = save(tmp_path / "rm", tokenizer, num_labels=2, problem_type="multi_label_classification")
    got = plugins.find("reward_model")(completions=COMPLETIONS, prompts=PROMPTS, path=str(folder), label=1)
    assert got == pytest.approx(logits(folder, CHATS).sigmoid()[:, 1].tolist(), abs=1e-5)


def test_without_a_chat_template_it_reads_a_pair(tmp_path, tokenizer):
    folder = save(tmp_path / "rm", tokenizer, shape="bert", chat=False, num_labels=1)
    answers, questions = [COMPLETIONS[0], "7", COMPLETIONS[2].strip()], [PROMPTS[0], "How many clips?", PROMPTS[2]]
    want = logits(folder, questions, answers)[:, 0].tolist()
    reward = plugins.find("reward_model").configure(path=str(folder))
    assert reward(completions=COMPLETIONS, prompts=PROMPTS) == pytest.approx(want, abs=1e-5)
    alone = logits(folder, answers)[:, 0].tolist()
    assert reward.configure(prompt=False)(completions=COMPLETIONS, prompts=PROMPTS) == pytest.approx(alone, abs=1e-5)
    assert all(isinstance(value, float) for value in reward(completions=["", "\x00", "<think>"]))


def test_a_model_without_padding_is_asked_one_by_one(tmp_path, tokenizer):
    tokenizer.pad_token = tokenizer.eos_token
    folder = save(tmp_path / "rm", tokenizer, num_labels=1, pad_token_id=None)
    got = plugins.find("reward_model")(completions=COMPLETIONS, prompts=PROMPTS, path=str(folder))
    assert got == pytest.approx(logits(folder, CHATS)[:, 0].tolist(), abs=1e-5)


def test_thinking_is_shown_when_asked(tmp_path, tokenizer):
    folder = save(tmp_path / "rm", tokenizer, num_labels=1)
    chat = "<|user|>How many clips?<|end|><|assistant|><think>Hm.</think>7<|end|>"
    got = plugins.find("reward_model")(completions=[COMPLETIONS[1]], prompts=[PROMPTS[1]], path=str(folder), whole=True)
    assert got == pytest.approx(logits(folder, [chat])[:, 0].tolist(), abs=1e-5)


def test_long_texts_are_cut_and_it_is_said_once(tmp_path, tokenizer, caplog):
    reward = plugins.find("reward_model").configure(path=str(save(tmp_path / "rm", tokenizer, num_labels=1)))
    with caplog.at_level(logging.WARNING):
        reward(completions=["apples " * 2000] * 3, prompts=["?"] * 3)
    assert caplog.text.count("more than 512 tokens") == 1


def test_a_copy_in_another_process_loads_its_own(tmp_path, tokenizer):
    reward = plugins.find("reward_model").configure(path=str(save(tmp_path / "rm", tokenizer, num_labels=1)))
    want = reward(completions=COMPLETIONS)
    sent = cloudpickle.dumps(reward)
    assert len(sent) < 20_000
    assert cloudpickle.loads(sent)(completions=COMPLETIONS) == pytest.approx(want)


def test_a_language_model_is_no_classifier(tiny_model):
    reward = plugins.find("reward_model").configure(path=str(tiny_model), label=0)
    with pytest.raises(RewardError, match="score at random"):
        reward(completions=["7"])


@pytest.mark.parametrize("path", ["/nowhere/at/all", "./nowhere"])
def test_a_folder_that_is_missing_is_told_at_once(path):
    with pytest.raises(RequestError, match="save_pretrained"):
        plugins.find("reward_model").configure(path=path)


def test_a_folder_without_a_model_is_told_at_once(tmp_path):
    with pytest.raises(RequestError, match=r"no config\.json"):
        plugins.find("reward_model").configure(path=str(tmp_path))
