import threading
import time

import pytest

from rlkit import plugins
from rlkit.errors import RequestError

ADD = "assert add(1, 2) == 3\nassert add(0, 0) == 0"
PROGRAM = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a * b + 1\n"


def score(completion, test=ADD, **columns):
    return plugins.find("code")(completion=completion, test=test, **columns)


def fenced(program, language="python"):
    return f"```{language}\n{program}```\n"


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (PROGRAM, 1),
        (fenced(PROGRAM), 1),
        (fenced(PROGRAM, ""), 1),
        ("Sure!\n\n" + fenced(PROGRAM, "Python") + "\nThis adds them.", 1),
        ("1. So:\n   ```py\n" + PROGRAM + "   ```", 1),
        ("```python\n" + PROGRAM, 1),
        (fenced(WRONG) + "No, rather:\n" + fenced(PROGRAM), 1),
        (fenced(PROGRAM) + "No, rather:\n" + fenced(WRONG), 0),
        (fenced(PROGRAM) + "It prints:\n" + fenced("3\n", ""), 1),
        ("<think>" + fenced(PROGRAM) + "</think>" + fenced(WRONG), 0),
        ("<think>" + fenced(PROGRAM), 0),
        ("<think>easy</think><answer>\n" + fenced(PROGRAM) + "</answer>", 1),
        ("<answer>" + PROGRAM + "</answer> done", 1),
        ("````python\n" + PROGRAM + "text = '''\n```\n'''\n````", 1),
        ("~~~python\n" + PROGRAM + "~~~\n", 1),
        ("~~~\n" + PROGRAM + "text = 'fence: ```'\n~~~", 1),
        ("- So:\n\n    ```python\n    def add(a, b):\n        return a + b\n    ```\n", 1),
        ("\t```\n\tdef add(a, b):\n\t\treturn a + b\n\t```\n", 1),
        ("Here is the function (short):\n\n" + PROGRAM, 1),
        ("Sure!\n\n" + PROGRAM + "\nThis adds them.", 1),
        ("Solution:\nLIMIT = 0\n" + PROGRAM, 1),
        ("Sure:\n" + PROGRAM + "A, B = 0, 0\n" + WRONG, 0),
        ("Here is add: " + PROGRAM, 0),
        ("def add(a, b): return 3 or 0", 0),
    ],
)
def test_where_the_program_stands(completion, expected):
    assert score(completion) == expected


def test_a_block_that_defines_the_entry_goes_before_one_that_shows_its_use():
    completion = fenced(PROGRAM) + "For example:\n" + fenced("print(add(1, 2))\n")
    assert score(completion) == 1
    completion += "Or:\n" + fenced("def other():\n    return add(1, 2)\n")
    assert score(completion) == 1
    assert score(completion, entry_point="add") == 1


HELPER = "def plus(a, b):\n    return a + b\n"
USES = "def add(a, b):\n    return plus(a, b)\n"


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (fenced(HELPER) + "Then:\n" + fenced(USES), 1),
        (fenced(USES) + "with\n" + fenced(HELPER), 1),
        (fenced("from operator import add as plus\n") + fenced(USES), 1),
        (fenced("plus = lambda a, b: a + b\n") + fenced(USES) + fenced("print(add(1, 2))\n"), 1),
        (fenced("add = lambda a, b: a + b\n") + "And:\n" + fenced("def other(a):\n    return a\n"), 1),
        (fenced("add = lambda a, b: a + b\n") + "No:\n" + fenced(WRONG), 0),
        (fenced("b = add(1, 2)\nprint(b)\n") + fenced(PROGRAM), 1),
        (fenced("def plus(a, b):\n    return 0\n") + fenced(HELPER) + fenced(USES), 1),
        (fenced(HELPER) + fenced("def plus(a, b):\n    return 0\n") + fenced(USES), 0),
        (fenced(USES), 0),
    ],
)
@pytest.mark.parametrize("entry", ["add", None])
def test_blocks_that_need_each_other_are_one_program(completion, expected, entry):
    assert score(completion, entry_point=entry) == expected


def test_tests_may_be_a_list_and_a_row_without_tests_is_not_scored():
    assert score(PROGRAM, ADD.splitlines()) == 1.0
    assert score(WRONG, [*ADD.splitlines(), "assert add(0, 1) == 1"], mode="fraction") == pytest.approx(2 / 3)
    made = plugins.find("code")
    assert made(completions=[PROGRAM, PROGRAM, PROGRAM], test=[ADD, None, []]) == [1.0, None, None]


def test_the_prompt_may_be_a_conversation():
    code = 'SCALE = 3\n\ndef scaled(x):\n    """x times SCALE."""\n'
    prompt = [{"role": "system", "content": "def no(): pass"}, {"role": "user", "content": f"Complete:\n\n{code}"}]
    test = "def check(candidate):\n    assert candidate(2) == 6"
    for completion in (fenced("    return x * SCALE\n"), "def scaled(x):\n    return SCALE * x"):
        assert score(completion, test, entry_point="scaled", prompt=prompt) == 1.0


def test_printed_output_is_no_answer_where_open_r1_passes_a_correct_beginning():
    """open-r1 compares the printed lines with the expected, as far as there are printed lines."""
    printed, expected = [], ["3", "0"]
    assert all(one == other for one, other in zip(printed, expected, strict=False))
    assert score("print('3')\nprint('0')\ndef add(a, b): pass") == 0.0


def test_an_endless_loop_is_wrong_after_its_time():
    start = time.monotonic()
    assert score("def add(a, b):\n    while True: pass", time_limit=1.0) == 0.0
    assert 1 <= time.monotonic() - start < 10


def test_it_scores_off_the_main_thread():
    heard = []
    thread = threading.Thread(target=lambda: heard.append(score(PROGRAM)))
    thread.start()
    thread.join()
    assert heard == [1.0]


@pytest.mark.parametrize(
    "completion",
    [
        "x" * 1_000_000,
        "```python\n" * 100_000,
        "`" * 1_000_000,
        "(" * 50_000,
        "-" * 90_000 + "1",
        "\x00",
        "def add(a, b):",
    ],
)
def test_what_is_no_program_costs_little_and_earns_nothing(completion):
    start = time.monotonic()
    assert score(completion) == 0.0
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"time_limit": 0.0}, "above 0"), ({"memory_mb": 1}, "64 or more"), ({"sandbox": "docker"}, "bubblewrap")],
)
def test_settings_that_make_no_sense_are_refused(parameters, said):
    with pytest.raises(RequestError, match=said):
        plugins.find("code").configure(**parameters)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (fenced(PROGRAM), 1),
        (fenced("x = [1,\n")[:-4], 0),
        ("print('hello')", 1),
        ("Hello", 0),
        ("'hello'", 0),
        ("\n# only this\n", 0),
        ("def f():\n return 1\n  return 2", 0),
        ("print 1", 0),
        ("x = 1\x00", 0),
        ("<think>x = 1", 0),
        ("(" * 10_000, 0),
        ("x = " + "-" * 90_000 + "1", 0),
        ("x = 1\n" * 100_000, 0),
    ],
)
def test_python_syntax(completion, expected):
    assert plugins.find("python_syntax")(completion=completion) == expected
