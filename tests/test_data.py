import pytest
from datasets import Dataset

from rlkit import data
from rlkit.errors import RequestError
from rlkit.policy import load_tokenizer
from rlkit.recipe.data import AnswerRule, DataSection
from rlkit.recipe.model import ModelSection
from rlkit.tasks.summarization import Summarization

ROWS = [
    {"q": "1+1?", "a": "so #### 2", "n": 1},
    {"q": "", "a": "#### 3", "n": 2},
    {"q": None, "a": "#### 3", "n": 3},
    {"q": "2+2?", "a": "no mark", "n": 4},
    {"q": "3+3? " + "long " * 60, "a": "#### 6", "n": 5},
    {"q": "4+4?", "a": "#### 7 #### 8 ", "n": 6},
]


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(ModelSection(path=str(tiny_model)))


@pytest.fixture
def base_tokenizer(tiny_model):
    plain = load_tokenizer(ModelSection(path=str(tiny_model)))
    plain.chat_template = None
    return plain


def section(**fields):
    return DataSection(**{"path": "x", "prompt": "q", "answer": AnswerRule(column="a", after="####"), **fields})


def test_rows_that_cannot_be_used_are_counted_and_named(tokenizer):
    prepared = data.prompts(Dataset.from_list(ROWS), section(max_prompt_length=100), tokenizer)
    assert prepared.dataset["n"] == [1, 6]
    assert prepared.dataset["answer"] == ["2", "8"]
    assert prepared.left_out == {"with an empty prompt": 2, "without an answer": 1, "with a prompt that is too long": 1}
    assert str(prepared).startswith("2 rows; 4 left out: 2 with an empty prompt")


def test_a_limit_counts_rows_that_can_be_used(tokenizer):
    assert data.prompts(Dataset.from_list(ROWS), section(limit=2), tokenizer).dataset["n"] == [1, 5]


def test_a_row_that_cannot_be_used_may_have_other_types_than_the_others():
    rows = [{"document": "One. Two.", "summary": "One."}, {"document": "Three.", "summary": "..."}]
    prepared = data.examples(Dataset.from_list(rows), section(), Summarization())
    assert prepared.dataset["summary"] == [["One."]]
    assert sum(prepared.left_out.values()) == 1


def test_no_usable_row_is_an_error(tokenizer):
    with pytest.raises(RequestError, match="no row can be used: 0 rows; 2 left out"):
        data.prompts(Dataset.from_list(ROWS[1:3]), section(), tokenizer)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("a", "so #### 2"),
        ({"column": "a", "after": "####"}, "2"),
        ({"column": "a", "regex": r"#+ (\d+)"}, "2"),
        ({"column": "a", "regex": r"\d+"}, "2"),
    ],
)
def test_answers_by_column_by_mark_and_by_regex(tokenizer, answer, expected):
    rule = AnswerRule(**answer) if isinstance(answer, dict) else answer
    prepared = data.prompts(Dataset.from_list(ROWS[:1]), section(answer=rule), tokenizer)
    assert prepared.dataset["answer"] == [expected]


def test_the_short_forms_of_an_answer():
    assert DataSection(answer="after:####").answer_rule() == AnswerRule(column="answer", after="####")
    assert DataSection(answer="regex:= (.*)").answer_rule() == AnswerRule(column="answer", regex="= (.*)")
    assert DataSection(answer="gold").answer_rule() == AnswerRule(column="gold")


def test_prompts_are_conversations_with_a_chat_template_and_texts_without(tokenizer, base_tokenizer):
    rows = Dataset.from_list(ROWS[:1])
    with_system = section(system="Be brief now.")
    assert data.prompts(rows, with_system, tokenizer).dataset["prompt"][0] == [
        {"role": "system", "content": "Be brief now."},
        {"role": "user", "content": "1+1?"},
    ]
    assert data.prompts(rows, with_system, base_tokenizer).dataset["prompt"][0] == "Be brief now.\n\n1+1?"
    assert data.prompts(rows, section(chat=False), tokenizer).dataset["prompt"][0] == "1+1?"


def test_a_template_that_refuses_a_system_message_gets_it_with_the_question(tokenizer, tiny_model):
    strict = load_tokenizer(ModelSection(path=str(tiny_model)))
    strict.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + str(
        tokenizer.chat_template
    )
    rows = data.prompts(Dataset.from_list(ROWS[:1]), section(system="Be brief now."), strict).dataset
    assert rows["prompt"][0] == [{"role": "user", "content": "Be brief now.\n\n1+1?"}]


def test_prompts_that_are_conversations_stay_so(tokenizer, base_tokenizer):
    rows = Dataset.from_list([{"q": [{"role": "user", "content": "hi"}], "a": "#### 1"}])
    prompt = data.prompts(rows, section(system="Be brief now."), tokenizer).dataset["prompt"][0]
    assert [message["role"] for message in prompt] == ["system", "user"]
    with pytest.raises(RequestError, match="no chat template"):
        data.prompts(rows, section(), base_tokenizer)


def test_templates_take_columns_and_fields_of_columns(tokenizer):
    rows = Dataset.from_list([{"t": {"en": "cat"}, "a": "#### 1"}, {"t": {"en": "dog"}, "a": "#### 2"}])
    prepared = data.prompts(rows, section(prompt="Say {t[en]} in {{French}}", columns={"word": "{t[en]}"}), tokenizer)
    assert prepared.dataset["prompt"][0][0]["content"] == "Say cat in {French}"
    assert prepared.dataset["word"] == ["cat", "dog"]


def test_missing_columns_are_named_with_the_nearest():
    said = data.missing(section(prompt="qq", columns={"x": "{b}"}), ["q", "a"], "grpo", ["solution", "answer"])
    assert said == [
        "data.prompt: unknown column 'qq'; did you mean 'q'?",
        "data.columns.x: unknown column 'b'; there are: a, q",
        "a reward needs the column 'solution'; the data has q, a (set data.columns: {solution: ...})",
    ]
    assert "set data.answer" in data.missing(section(answer=None), ["q"], "grpo", ["answer"])[0]


def test_demonstrations_for_sft(tokenizer, base_tokenizer):
    rows = Dataset.from_list([{"q": "1+1?", "d": "2"}, {"q": "2+2?", "d": ""}])
    prepared = data.demonstrations(rows, section(completion="d"), tokenizer)
    assert prepared.dataset.column_names == ["prompt", "completion"]
    assert prepared.dataset["completion"] == [[{"role": "assistant", "content": "2"}]]
    assert prepared.left_out == {"with an empty completion": 1}
    assert data.demonstrations(rows, section(completion="d"), base_tokenizer).dataset["completion"] == ["2"]


def test_demonstrations_that_are_conversations_stay_so_and_other_structures_are_refused(tokenizer):
    reply = [{"role": "assistant", "content": "yo"}]
    rows = Dataset.from_list([{"q": "hi", "d": reply}])
    assert data.demonstrations(rows, section(completion="d"), tokenizer).dataset["completion"] == [reply]
    nested = Dataset.from_list([{"q": "hi", "d": {"fr": "salut"}, "a": ["4"]}])
    with pytest.raises(RequestError, match=r"'d' holds a dict; take a part of it: '{d\[fr\]}'"):
        data.demonstrations(nested, section(completion="d"), tokenizer)
    with pytest.raises(RequestError, match=r"'a' holds a list; take a part of it: '{a\[0\]}'"):
        data.prompts(nested, section(answer="a"), tokenizer)
    assert data.prompts(nested, section(answer="{a[0]}"), tokenizer).dataset["answer"] == ["4"]
    lines = Dataset.from_list([{"q": "hi", "a": "2+2 = 4\n4+4 = 8"}])
    rule = AnswerRule(column="a", regex="= (.*)")
    assert data.prompts(lines, section(answer=rule), tokenizer).dataset["answer"] == ["8"]


def test_conversations_for_sft(tokenizer):
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    rows = Dataset.from_list([{"m": chat}, {"m": chat[:1]}])
    prepared = data.demonstrations(rows, section(messages="m"), tokenizer)
    assert prepared.dataset.to_list() == [{"messages": chat}]
    assert prepared.left_out == {"without an answer of the assistant": 1}


def test_the_chat_template_is_applied_once_and_as_trl_applies_it(tokenizer, tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    rows = data.prompts(Dataset.from_list(ROWS[:1]), section(system="xml"), tokenizer).dataset
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        reward_funcs=[lambda completions, **_: [0.0 for _ in completions]],
        args=GRPOConfig(str(tmp_path), use_cpu=True, bf16=False, report_to="none"),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    theirs = trainer._tokenize_prompts(list(rows["prompt"]))
    assert list(theirs[0][0]) == data.render(tokenizer, rows["prompt"][0])


def test_what_a_template_writes_of_the_answer_is_told(tokenizer, tiny_model):
    assert data.prefill(section(), tokenizer) == ""
    thinking = load_tokenizer(ModelSection(path=str(tiny_model)))
    thinking.chat_template = str(tokenizer.chat_template) + "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"
    assert data.prefill(section(), thinking) == "<think>\n"


def test_the_texts_that_a_tokenizer_is_trained_on():
    rows = Dataset.from_list([{"q": "1+1?", "d": "2"}])
    assert list(data.texts(rows, section(system="Be brief now.", completion="d"))) == ["Be brief now.", "1+1?", "2"]


CHOICES = {"q": "Which?", "c": ["Lyon", "Paris"], "a": 1, "share": 0.256, "none": None}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{q}\n{c:lettered}", "Which?\nA. Lyon\nB. Paris"),
        ("{c:lines}", "Lyon\nParis"),
        ("{a:letter}: {c[1]}", "B: Paris"),
        ("{share:.0%}, {a:03d}, {q!r:>10}", "26%, 001,   'Which?'"),
        ("{q} {none:letter}", ""),
    ],
)
def test_a_template_writes_choices_and_lists_and_what_python_writes(template, expected):
    assert data.fill(template, CHOICES) == expected


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{q:lettered}", "lettered writes a list, and the value is a str: 'Which\\?'"),
        ("{q:letter}", "it is 'Which\\?', not a number from 0 to 25"),
        ("{q:leter}", "template '{q:leter}': ValueError"),
        ("{c[9]}", "IndexError"),
    ],
)
def test_a_template_says_what_its_column_is_not(template, said):
    with pytest.raises(RequestError, match=said):
        data.fill(template, CHOICES)


def subjects():
    from datasets import ClassLabel, Features, Value

    rows = {"q": ["1?", "2?", "3?", "4?"], "a": ["#### 1"] * 4, "subject": ["law", "anatomy", "virology", "law"]}
    features = Features({name: Value("string") for name in rows} | {"kind": ClassLabel(names=["easy", "hard"])})
    return Dataset.from_dict({**rows, "kind": [0, 1, 0, 1]}, features=features)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, ["1?", "2?", "3?", "4?"]),
        ({"subject": ["law", "anatomy"]}, ["1?", "2?", "4?"]),
        ({"subject": "law", "kind": "hard"}, ["4?"]),
    ],
)
def test_where_keeps_the_rows_with_these_values_and_counts_none_as_left_out(tokenizer, where, expected):
    prepared = data.prompts(subjects(), section(where=where), tokenizer)
    assert prepared.dataset["q"] == expected
    assert str(prepared) == f"{len(expected)} rows"
    shown = data.demonstrations(subjects(), section(where=where, completion="a"), tokenizer).dataset["prompt"]
    assert [messages[0]["content"] for messages in shown] == expected
    assert list(data.texts(subjects(), section(where=where))) == expected


def test_where_goes_before_the_limit_and_reaches_tasks():
    from rlkit import tasks

    task = tasks.make("text-classification")
    chosen = section(where={"subject": "law"}, columns={"text": "q", "label": "kind"})
    made = data.examples(subjects(), chosen, task)
    assert made.dataset["label"] == ["easy", "hard"]
    assert data.missing(chosen.model_copy(update=data.AS_TEXT), ["prompt"], "eval") == []
    assert len(data.examples(subjects(), chosen.model_copy(update={"limit": 1}), task).dataset) == 1


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"subjct": "law"}, "data.where: unknown column 'subjct'; did you mean 'subject'"),
        ({"subject": ["law", "virologie"]}, "data.where.subject: no row has 'virologie'; did you mean 'virology'"),
        ({"subject": "x"}, "no row has 'x'; the column has anatomy, law, virology"),
        ({"kind": "0"}, "no row has '0'; the column has easy, hard"),
        ({"subject": "anatomy", "kind": "easy"}, "no row is as data.where asks"),
    ],
)
def test_where_names_what_there_is(tokenizer, where, said):
    with pytest.raises(RequestError, match=said):
        data.prompts(subjects(), section(where=where), tokenizer)


def test_a_column_of_where_is_checked_before_anything_is_loaded():
    assert "data.where: unknown column 'lvl'" in data.missing(section(where={"lvl": 1}), ["q", "a"], "eval")[0]
