import pytest
from made import templated

from rlkit.errors import RequestError
from rlkit.serving.open import open_model
from rlkit.serving.prompt import Prompter

ASK = [{"role": "user", "content": "How many apples?"}]
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '\n' }}{% endfor %}assistant:"
)
SILENT = (
    "{% for m in messages if m['role'] != 'system' %}{{ m['role'] + ':' + m['content'] + '\n' }}{% endfor %}assistant:"
)
THINKS = "{% for m in messages %}{{ m['content'] + '\n' }}{% endfor %}{{ 'assistant:<think>\n' }}"


@pytest.fixture(scope="module")
def tiny(tiny_model):
    return open_model(str(tiny_model))[0]


def text(prompter, asked):
    return prompter.served.policy.tokenizer.decode(prompter.prompt(asked).ids)


def test_prompts_are_those_that_evaluation_makes(tiny):
    from rlkit import data

    messages = [{"role": "system", "content": "Be brief."}, *ASK]
    expected = data.render(tiny.policy.tokenizer, messages)
    assert Prompter(tiny, "Be brief.").prompt("How many apples?").ids == expected
    assert Prompter(tiny, "Be brief.").prompt(ASK).ids == expected
    assert Prompter(tiny, "Another.").prompt(messages).ids == expected
    assert Prompter(tiny, "Be brief.", raw=True).prompt("<|end|>How many?").ids == data.render(
        tiny.policy.tokenizer, "<|end|>How many?"
    )


@pytest.mark.parametrize("template", [NO_SYSTEM, SILENT], ids=["refuses", "leaves out"])
def test_a_system_prompt_that_a_template_does_not_take_stands_in_front_of_the_question(tiny_model, tmp_path, template):
    served, _ = open_model(str(templated(tiny_model, tmp_path / "other", template)))
    assert text(Prompter(served, "Be brief."), "2 + 2?") == "user:Be brief.\n\n2 + 2?\nassistant:"


def test_without_a_template_or_where_a_run_had_none_prompts_are_plain_text(tiny_model, tmp_path, tiny):
    served, _ = open_model(str(templated(tiny_model, tmp_path / "other", None)))
    for prompter in (Prompter(served, "Be brief."), Prompter(tiny, "Be brief.", chat=False)):
        assert text(prompter, "2 + 2?") == "Be brief.\n\n2 + 2?"
        with pytest.raises(RequestError, match="conversation"):
            prompter.prompt(ASK)
    assert text(Prompter(served, "Be brief.", raw=True), "2 + 2?") == "2 + 2?"


def test_what_the_template_writes_of_the_answer_is_known(tiny_model, tmp_path, tiny):
    served, _ = open_model(str(templated(tiny_model, tmp_path / "other", THINKS)))
    assert Prompter(served).prompt("2 + 2?").opening == "<think>\n"
    assert Prompter(tiny).prompt("What is <think>?").opening == ""
    assert Prompter(tiny, raw=True).prompt("A: <think>").opening == ""


def test_what_cannot_be_asked_is_refused_with_the_reason(tiny_model, tmp_path, tiny):
    with pytest.raises(RequestError, match=r"the model sees 512"):
        Prompter(tiny).prompt("7 " * 600)
    with pytest.raises(RequestError, match="no tokens"):
        Prompter(tiny, raw=True).prompt("")
    served, _ = open_model(str(templated(tiny_model, tmp_path / "other", NO_SYSTEM)))
    with pytest.raises(RequestError, match="refuses the conversation: System role not supported"):
        Prompter(served).prompt([{"role": "system", "content": "Be brief."}, *ASK])
