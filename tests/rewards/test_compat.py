"""`compat` against numbers measured with the peers' own code: the course's, open-r1's, and the installed TRL."""

import time

import pytest

from rlkit import plugins
from rlkit.errors import RequestError

COURSE = "<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>"
R1 = "<think>\na\n</think>\n<answer>\nb\n</answer>"
CODE = "<think>\na\n</think>\n<answer>\n```python\nb\n```\n</answer>"


def score(name, text, **parameters):
    return plugins.find(name)(completion=text, **parameters)


@pytest.mark.parametrize(
    ("text", "soft", "strict", "count"),
    [
        (COURSE, 0, 0, 0.452),
        (COURSE + "\n", 0, 0.5, 0.5),
        (COURSE + "\n\n", 0, 0.5, 0.498),
        (COURSE + "\nBye", 0, 0, 0.494),
        (COURSE.replace("2+2", "2+2\nis 4") + "\n", 0, 0, 0.5),
        ("x" * 1200 + "\n<answer>\n4\n</answer>", 0, 0, -0.97),
        ("<reasoning>2+2</reasoning><answer>4</answer>", 0.5, 0, 0),
        ("<reasoning>2+2</reasoning>\n\n<answer>4</answer> Bye", 0.5, 0, 0),
        ("<reasoning></reasoning><answer></answer>", 0.5, 0, 0),
        ("<reasoning>a</reasoning><answer>b</reasoning>\n<answer>4</answer>", 0.5, 0, 0),
        ("Well: <reasoning>2+2</reasoning><answer>4</answer>", 0, 0, 0),
    ],
)
def test_the_courses_formats(text, soft, strict, count):
    assert score("soft_format", text, compat="course") == soft
    assert score("strict_format", text, compat="course") == strict
    assert score("xmlcount", text, compat="course") == pytest.approx(count)


def test_the_courses_length_counts_characters_and_knows_no_bound():
    made = plugins.find("length").configure(target=50, compat="course")
    assert made(completions=["a" * 50, "a" * 20, "a" * 1050], completion_ids=[[1], [2], [3]]) == [0, -30, -1000]
    with pytest.raises(RequestError, match="target"):
        plugins.find("length").configure(minimum=5, compat="course")


@pytest.mark.parametrize(
    ("name", "text", "theirs", "ours"),
    [
        ("format", R1, 1, 1),
        ("format", R1 + "\nmore", 1, 0),
        ("format", R1 + "\n" + R1, 1, 0),
        ("format", "<think>\n\n</think>\n<answer>\n\n</answer>", 1, 0),
        ("format", R1.replace("\n", ""), 0, 1),
        ("tag_count", "\n</answer>\n<answer>\n\n</think>\n<think>\n", 1, 0.25),
        ("tag_count", R1.replace("\n", ""), 0, 1),
        ("reasoning_steps", "First, First, First,", 1, 0),
        ("reasoning_steps", "1. add\n2. subtract\n3. divide", 1 / 3, 1),
        ("reasoning_steps", "First, add. Then divide. Finally, check.", 2 / 3, 1),
        ("reasoning_steps", "Step 1: add\nStep 2: divide", 2 / 3, 2 / 3),
        ("code_format", CODE, 1, 1),
        ("code_format", CODE.replace("\nb\n", ""), 1, 0),
        ("code_format", CODE.replace("```\n<", "```js\n<"), 1, 0),
        ("code_format", "```python\nb\n```", 0, 1),
    ],
)
def test_open_r1s_numbers_and_ours(name, text, theirs, ours):
    assert score(name, text, compat="open-r1") == pytest.approx(theirs)
    assert score(name, text) == pytest.approx(ours)


SHORT, LONG, WRONG = r"\boxed{4}", "x" * 1990 + r"\boxed{4}", r"\boxed{5}"


@pytest.mark.parametrize(
    ("gold", "cosine", "brevity"),
    [
        ("$4$", [0.9999, -0.9999, 0.999999, -0.5], [0.5, 0.0, -0.5, 0.0]),
        ("?", [1.0, 1.0, 1.0, 1.0], [0.5, 0.5, -0.5, 0.00201]),
    ],
)
def test_open_r1s_length_rewards_are_unclamped_and_over_the_batch(gold, cosine, brevity):
    texts = [SHORT, WRONG, LONG, "x" * 1000]
    batch = {"completions": texts, "prompts": list("aabb"), "solution": [gold] * 4}
    scale = plugins.find("cosine_length").configure(max_length=1000, compat="open-r1")
    assert scale.columns == ("solution",)
    assert scale(**batch) == pytest.approx(cosine, abs=5e-6)
    assert plugins.find("brevity").configure(compat="open-r1")(**batch) == pytest.approx(brevity, abs=5e-6)


def test_our_length_rewards_on_the_same_answers():
    answers = [f"<answer>{answer}</answer>" for answer in ("4", "5", "4" + " " * 1960)]
    batch = {"completions": answers, "prompts": ["a", "a", "b"], "answer": ["4"] * 3}
    setting = {"by": "correctness", "unit": "characters"}
    scaled = plugins.find("cosine_length").configure(max_length=1000, **setting)(**batch)
    assert scaled[2] == 0.5, "the longest is beyond max_length, where open-r1's climbs to 1.0 again"
    assert plugins.find("brevity").configure(**setting)(**batch) == [0, 0, 0]


def test_trls_own_functions_are_called():
    from trl.rewards import get_cosine_scaled_reward, get_soft_overlong_punishment, think_format_reward

    texts = [SHORT, WRONG, LONG]
    ids = [[0] * n for n in (50, 100, 250)]
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    theirs = get_cosine_scaled_reward(100)(messages, ["$4$"] * 3, ids)
    made = plugins.find("cosine_length").configure(max_length=100, compat="trl")
    assert made(completions=texts, completion_ids=ids, solution=["$4$"] * 3) == theirs == [0.75, -0.5, 0.5]
    layouts = ["<think>a</think>4", "<think></think>", "4", "<think>a"]
    theirs = think_format_reward([[{"role": "assistant", "content": text}] for text in layouts])
    assert plugins.find("format").configure(compat="trl")(completions=layouts) == theirs == [1, 1, 0, 0]
    assert plugins.find("format").configure(sections=["think", "*"])(completions=layouts) == [1, 0, 0, 0]
    lengths = {"completion_ids": [[0] * n for n in (0, 79, 80, 81, 99, 100, 101, 500)]}
    soft = plugins.find("soft_overlong").configure(max_length=100, cache=20)
    assert soft(**lengths) == get_soft_overlong_punishment(100, 20)(**lengths)
    unbounded = plugins.find("soft_overlong").configure(max_length=10, cache=20, compat="trl")
    assert unbounded(completion_ids=[[]]) == [-0.5]


HUGE = [
    "<reasoning>" + "</reasoning><answer>" * 50_000,
    "<reasoning></reasoning>" + " " * 1_000_000,
    "<reasoning>" + "</reasoning> \n" * 70_000,
    "<think>\n" + "\n</think>\n<answer>\n" * 50_000,
    "<think>\n\n</think>\n<answer>\n" + "```python" * 100_000,
    "<think>\n\n</think>\n<answer>\n" + "\n</answer>x" * 90_000,
]


@pytest.mark.parametrize("text", HUGE, ids=lambda text: text[:40].replace("\n", " "))
@pytest.mark.parametrize(
    ("name", "compat"),
    [
        ("soft_format", "course"),
        ("strict_format", "course"),
        ("xmlcount", "course"),
        ("format", "open-r1"),
        ("code_format", "open-r1"),
        ("reasoning_steps", "open-r1"),
    ],
)
def test_a_peers_pattern_cannot_be_made_to_hang(name, compat, text):
    start = time.process_time()
    score(name, text, compat=compat)
    assert time.process_time() - start < 5.0
