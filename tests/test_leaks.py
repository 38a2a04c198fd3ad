import json
import random
import time
from dataclasses import replace

import pytest
from datasets import Dataset

from rlkit import data, leaks, sources
from rlkit.recipe.data import DataSection
from rlkit.recipe.recipe import Recipe

LONG = (
    "A farmer has seventeen sheep in the northern field and twice as many goats in the southern one. "
    "On Monday he sells five of the goats at the market, buys three more sheep from his neighbour, and walks home. "
    "On Tuesday a storm breaks the fence, four animals run away, and two of them come back before the evening. "
    "How many animals does the farmer have when the week is over and all the fences are mended again?"
)
UNRELATED = "Which of the planets has the most moons, and when was the last one of them discovered by an observatory?"


def stage(kind, name=None, **section):
    """A stage as a recipe has it."""
    (made,) = Recipe().resolved()
    return replace(made, kind=kind, name=name or kind, data=DataSection(**section))


def rows(texts, column="prompt"):
    return Dataset.from_dict({column: list(texts)})


def compare(held_out, training, **section):
    (leak,) = leaks.find([(stage("grpo", **section), rows(training)), (stage("eval", **section), rows(held_out))])
    return leak


def found(leak):
    return (
        [(pair.row, pair.training_row) for pair in leak.exact],
        [(pair.row, pair.training_row) for pair in leak.near],
    )


def test_the_same_nearly_the_same_and_another():
    changed = LONG.replace("seventeen", "eighteen")
    opening, _, rest = LONG.partition(". ")
    reordered = f"{rest} {opening}."
    same = "  ".join(LONG.upper().replace(",", " ;").split())
    leak = compare([UNRELATED, same, changed, reordered], ["Another text.", LONG])
    assert found(leak)[0] == [(1, 1)]
    assert sorted(found(leak)[1]) == [(2, 1), (3, 1)]
    assert all(0.8 <= pair.share < 1 for pair in leak.near)
    assert leak.share == 0.75


def test_many_words_changed_is_another_prompt():
    words = LONG.split()
    changed = " ".join("other" if at % 6 == 5 else word for at, word in enumerate(words))
    assert found(compare([changed], [LONG])) == ([], [])


def test_a_prompt_that_stands_inside_a_longer_one_is_near():
    assert found(
        compare(["What is the capital city of Peru?"], [f"{UNRELATED} What is the capital city of Peru? Go."])
    ) == (
        [],
        [(0, 0)],
    )


def test_short_prompts_count_only_where_they_are_the_same():
    leak = compare(["2 + 3", "4 + 5 = ?", "2 - 3"], ["2 + 3 * 7", "1 + 2 + 3", "4 + 5 =", "12 + 3"])
    assert found(leak) == ([(1, 2)], [])


def test_what_a_template_says_around_the_prompt_does_not_count(tmp_path):
    frame = (
        "You are given a problem of elementary arithmetic, think it over and then answer it with care: {question} Go!"
    )
    one = [f"Has Anna more than {n} red marbles in her bag?" for n in range(30)]
    other = [f"Did Boris see exactly {n} green birds on the roof?" for n in range(30)]
    grpo, held = stage("grpo", prompt=frame), stage("eval", prompt=frame)
    (leak,) = leaks.find([(grpo, rows(one, "question")), (held, rows([*other, one[3]], "question"))])
    assert found(leak) == ([(30, 3)], [])
    bare = stage("eval", prompt="question")
    (leak,) = leaks.find([(grpo, rows(one, "question")), (bare, rows([*other, one[3]], "question"))])
    assert found(leak) == ([(30, 3)], [])  # another template around the same question
    written = [frame.format(question=text) for text in one]
    leak = compare([frame.format(question=text) for text in other], written)
    assert found(leak) == ([], [])  # the same where the data holds the whole text
    asked = [f"P{n} bought some marbles from Q{n}" for n in range(25)]
    leak = compare([f"Reply to this: {text}; be short." for text in asked], [f"Question: {text}?" for text in asked])
    assert len(leak.exact) == 25
    assert found(compare([f"{LONG} One.", f"{LONG} Two."], [LONG])) == ([], [(0, 0), (1, 0)])  # two are no template


def test_the_system_prompt_does_not_count(tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    system = " ".join(f"rule{n}" for n in range(60))
    questions = [["Where do the children go by bus?", "How high is it?"], ["When did the ship reach the coast?"]]
    for chat in (True, False):
        stages = [stage(kind, system=system, chat=chat) for kind in ("grpo", "eval")]
        made = [data.prompts(rows(texts), each.data, tokenizer) for each, texts in zip(stages, questions, strict=True)]
        (leak,) = leaks.find([(s, p.dataset) for s, p in zip(stages, made, strict=True)], prepared=True)
        assert found(leak) == ([], [])
        assert leak.held_out.texts == questions[1]


def test_prepared_rows_leak_as_those_that_were_read(tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    dataset = Dataset.from_dict({"q": [LONG, None, UNRELATED], "a": ["1", "2", "3"]})
    sft = stage("sft", prompt="Q: {q}", completion="a", system="xml")
    held = stage("eval", prompt="Q: {q}", system="xml", limit=1)
    read = leaks.find([(sft, dataset), (held, dataset)])
    made = [
        (sft, data.demonstrations(dataset, sft.data, tokenizer)),
        (held, data.prompts(dataset, held.data, tokenizer)),
    ]
    prepared = leaks.find([(each, rows.dataset) for each, rows in made], prepared=True)
    assert found(read[0]) == found(prepared[0]) == ([(0, 0)], [])
    assert (read[0].held_out.looked_at, read[0].training.looked_at) == (1, 2)
    assert "looked at" not in str(read[0])


def test_any_turn_of_a_conversation_is_a_prompt():
    talk = [{"role": "system", "content": "x"}, {"role": "user", "content": "Hello there!"}]
    talk += [{"role": "assistant", "content": UNRELATED}, {"role": "user", "content": LONG}]
    sft = stage("sft", messages="messages")
    for content in (str, lambda text: [{"type": "text", "text": text}]):
        asked = [[{"role": "user", "content": content(text)}] for text in (UNRELATED, LONG)]
        (leak,) = leaks.find([(sft, rows([talk], "messages")), (stage("eval"), rows(asked))])
        assert found(leak) == ([(1, 0)], [])


def test_the_order_of_the_data_does_not_change_the_counts(shared_data):
    texts = [json.loads(line)["question"] for line in (shared_data / "gsm8k" / "train.jsonl").open()][:600]
    rng = random.Random(0)
    near = [text.replace(" the ", " this ", 1) for text in texts[100:160]]
    held_out, training = [*texts[:50], *near, *texts[400:]], texts[:400]

    def counts():
        leak = compare(held_out, training)
        return len(leak.exact), len(leak.near), leak.share

    before = counts()
    assert before[0] >= 50
    assert before[1] > 10
    for _ in range(3):
        rng.shuffle(held_out)
        rng.shuffle(training)
        assert counts() == before


def test_gsm8k_has_no_copies_of_its_test_in_train_and_a_check_of_it_is_quick(shared_data):
    files = {"grpo": "train.jsonl", "eval": "test_first1000.jsonl"}
    stages = [stage(kind, prompt="question", path=str(shared_data / "gsm8k" / name)) for kind, name in files.items()]
    loaded = [(each, sources.load(each.data)) for each in stages]
    start = time.process_time()
    (leak,) = leaks.find(loaded, most=leaks.MOST)
    assert time.process_time() - start < 6  # half a second on a machine that does nothing else
    assert (len(leak.exact), len(leak.near), leak.held_out.looked_at, leak.training.looked_at) == (0, 0, 1000, 7473)


def test_of_giant_data_a_part_is_looked_at_and_that_is_said():
    training = [f"{LONG} {n}" for n in range(3000)]
    stages = [(stage("grpo"), rows(training)), (stage("eval"), rows([LONG]))]
    (leak,) = leaks.find(stages, most=100_000)
    assert 100 < leak.training.looked_at < 300
    assert max(leak.training.rows) > 2900  # from all over the data
    assert all(text.endswith(f" {row}") for row, text in zip(leak.training.rows, leak.training.texts, strict=True))
    assert len(leak.near) == 1
    assert f"(looked at {leak.training.looked_at} of 3,000 training prompts)" in str(leak)


def test_stages_of_the_same_prompts_are_compared_once_and_named_together():
    train, held = rows([LONG, UNRELATED]), rows([LONG])
    stages = [(stage("sft", completion="prompt"), train), (stage("eval", "before"), held), (stage("grpo"), train)]
    (leak,) = leaks.find([*stages, (stage("eval", "after"), held)])
    assert str(leak) == (
        "stages 'before', 'after': 1 of 1 prompts (100.0%) stand in the training data of 'sft', 'grpo'"
    )
    assert "set eval.data" in leak.warning()


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        ([LONG, UNRELATED, "a", "b"], "1 of 4 prompts (25.0%) stand in the training data of 'grpo'"),
        ([LONG.replace("week", "day"), "a"], "1 of 2 prompts (50.0%) stand nearly in the training data of 'grpo'"),
        ([LONG, LONG.replace("week", "day"), "a"], "stand in the training data of 'grpo', 1 more nearly"),
    ],
)
def test_the_warning_says_how_many_and_shows_one(held_out, said):
    leak = compare(held_out, [LONG])
    assert said in leak.warning()
    assert "as 'A farmer has seventeen sheep in" in leak.warning()
    assert leak
    assert not compare(["a"], ["b"])


def test_examples_of_a_task_without_prompts_are_passed_over():
    tagged = Dataset.from_dict({"tokens": [["a"]], "tags": [["O"]]})
    assert leaks.find([(stage("task"), tagged), (stage("eval"), tagged)]) == []
