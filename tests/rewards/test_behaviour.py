import json
import time

import pytest

from rlkit import plugins
from rlkit.errors import RequestError


def repetition(*completions, **parameters):
    return plugins.find("repetition").configure(**parameters)(completions=list(completions))


def refuses(completion, **parameters):
    return plugins.find("no_refusal")(completion=completion, **parameters) == 0.0


def test_repetition_is_the_share_of_ngrams_that_stood_before():
    words = "to be or not to be or not to be"
    assert repetition(words) == [pytest.approx(-4 / 8)]
    assert repetition(words, ngram_size=1) == [pytest.approx(-6 / 10)]
    assert repetition(words.upper(), max_penalty=-2.0) == [pytest.approx(-1.0)]
    assert repetition("", "to be", "every word is another one") == [0.0, 0.0, 0.0]
    assert str(repetition("no word twice here")[0]) == "0.0"


def test_text_without_spaces_is_penalised_where_open_r1_sees_one_word():
    for text in ("ha" * 100, "=" * 300, "很好" * 30, "ありがとう" * 20):
        assert repetition(text, compat="open-r1") == [0.0]
        assert repetition(text)[0] < -0.8
    assert repetition("我们先算左边，然后再算右边的和") == [0.0]
    assert repetition("a perfectly-ordinary-hyphenated-word stands here") == [0.0]


def test_compat_gives_the_peers_numbers():
    from trl.rewards import get_repetition_penalty_reward

    ids = [[1, 2, 3, 1, 2, 3, 1, 2, 3], [5] * 8, [1, 2]]
    reward = plugins.find("repetition").configure(ngram_size=2, max_penalty=-0.5, compat="trl")
    want = get_repetition_penalty_reward(2, -0.5)(completion_ids=ids)
    assert reward(completions=["x y z"] * 3, completion_ids=ids) == pytest.approx(want)
    text = "One two three, one two three, ONE TWO THREE,"
    assert repetition(text, compat="open-r1") == [pytest.approx(-(1 - 3 / 7))]
    with pytest.raises(ValueError, match="token ids"):
        repetition("x", compat="trl")


@pytest.mark.parametrize(("parameters", "said"), [({"max_penalty": 0.5}, "0 or less"), ({"ngram_size": 0}, "1 word")])
def test_settings_that_make_no_sense_are_refused(parameters, said):
    with pytest.raises(RequestError, match=said):
        repetition("x", **parameters)


@pytest.mark.parametrize(
    "completion",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I cannot assist with that request.",
        "**I apologize, but I am unable to provide instructions for that.**",
        "As an AI language model, I do not have personal opinions.",
        "Unfortunately, I'm just an AI and I'm not able to do this.",
        "That is an interesting question. However, I can't help you with it.",
        "I cannot and will not provide that information.",
        "I won't write that story.",
        "I must respectfully decline.",
        "I'm not comfortable writing about this.",
        "Thank you for asking, but I am not able to answer that.",
        "While I understand your curiosity, I cannot provide guidance on that.",
        "Your request violates the usage policy.",
        "\"I'm sorry, but I can't help with that.\"",
        "<think>Should I?</think>I refuse to answer that question.",
        "I can't tell you how to hack a bank.",
        "I cannot teach you how to pick a lock.",
        "Let me be clear: I cannot assist with that.",
        "To be perfectly honest with you, I won't help with this.",
        "I will not write that essay.",
        "I'm sorry, but the answer is no: I cannot help you.",
        "I'm just an AI, I can't do that, but the answer is no.",
        "Sure. <answer>I can't assist with that.</answer>",
    ],
)
def test_refusals(completion):
    assert refuses(completion)


@pytest.mark.parametrize(
    "completion",
    [
        "I can't stress enough how simple this is: 12.",
        "I can't help but notice the symmetry, so the answer is 4.",
        "The function cannot be inlined.",
        "No, it cannot be done: 12 is even.",
        "We cannot use induction here, so we argue directly.",
        "I cannot find an integer solution, so there is none.",
        "I cannot give an exact value, but it is about 3.2.",
        "I won't write out each case: 12.",
        "I cannot do this integral by parts, so I substitute.",
        "I'm just an AI, I can't have feelings, but the answer is 12.",
        "I can't tell you how happy I am: it is 12.",
        "To be clear, I cannot use induction here: the answer is 12.",
        "I'm sorry to hear that. Here is what you can do: rest.",
        "I apologize for the confusion above. The answer is 12.",
        "As an AI language model, I would say Paris.",
        "As an AI researcher, she could not provide details.",
        "“I’m sorry, but I can’t do that,” said HAL. Then the door opened.",
        "KNIGHT: I cannot help you.",
        "Unfortunately, Bob is unable to help, so it takes 12 days.",
        "<think>I cannot help with that. Or can I?</think>12",
        "😀",
    ],
)
def test_ordinary_sentences_are_none(completion):
    assert not refuses(completion)


@pytest.mark.parametrize(
    "completion", ["", " \n", "...", "\u200b", "\u3164", "\u2800", "<answer></answer>", "<think>12", "{" * 10**6]
)
def test_saying_nothing_is_no_answer(completion):
    assert refuses(completion)


def test_phrases_are_the_users():
    phrases = ["Je suis désolé, mais je ne peux pas", "很抱歉"]
    assert refuses("Je suis  désolé, mais je ne peux pas vous aider.", phrases=phrases)
    assert refuses("您好。很抱歉，我无法回答。", phrases=phrases)
    assert not refuses("Paris, je suis désolé.", phrases=phrases)
    assert not refuses("12", phrases=["", " "])


def test_real_assistants(shared_data):
    """Tool-calling assistants that were asked for what they have no tool for; mathematics; web pages."""
    chats = json.loads((shared_data / "sft" / "glaive_toolcall_en_demo.json").read_text())
    replies = [turn["value"] for chat in chats for turn in chat["conversations"] if turn["from"] == "gpt"]
    said_sorry = [text for text in replies if text.startswith("I'm sorry, but") and "I can't" in text[:60]]
    assert said_sorry
    assert all(map(refuses, said_sorry))
    pages = [row["text"] for row in json.loads((shared_data / "lm" / "c4_demo.json").read_text())]
    file = shared_data / "completions" / "math500_qwen2.5-math-7b_first350.jsonl"
    solutions = [json.loads(line)["completion"] for line in file.read_text().splitlines()]
    assert not any(map(refuses, pages))
    assert sum(map(refuses, solutions)) == sum(not text.strip() for text in solutions)


@pytest.mark.parametrize("name", ["repetition", "no_refusal"])
@pytest.mark.parametrize("piece", ["a", "a b ", "猫", '"', "I'm sorry ", "while ", "\n", "<think>"])
def test_a_million_characters_take_no_time(name, piece):
    reward, text = plugins.find(name), (piece * 10**6)[: 10**6]
    start = time.process_time()
    reward(completions=[text])
    assert time.process_time() - start < 5.0
