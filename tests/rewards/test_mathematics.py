import time

import pytest

from rlkit import plugins
from rlkit.errors import RequestError
from rlkit.scoring import RewardStack

pytest.importorskip("math_verify")


@pytest.fixture(scope="module")
def accuracy():
    return plugins.find("accuracy")


@pytest.fixture(scope="module")
def equal():
    """The comparison itself, without a process around it."""
    from rlkit.rewards.mathematics import Equality

    return Equality()


@pytest.mark.parametrize(
    ("gold", "given"),
    [
        (r"\frac{1}{2}", "0.5"),
        ("1/3", "0.333333"),
        ("10080", r"10,\!080"),
        ("1.5", r"1\frac12"),
        ("1e-5", "0.00001"),
        ("50%", "0.5"),
        (r"90^\circ", "90"),
        ("5", r"5 \text{ cm}"),
        (r"3\sqrt{13}", "3√13"),
        (r"12\pi", "12π inches per second"),
        ("x^2 - 1", "(x-1)(x+1)"),
        (r"\cot x", r"\frac{\cos x}{\sin x}"),
        (r"3 \pm 2\sqrt{2}", r"3 - 2\sqrt{2}, 3 + 2\sqrt{2}"),
        ("1,2", r"\{2, 1\}"),
        ("1,2", "x = 2 or x = 1"),
        ("(3,2)", "(p,q) = (3,2)"),
        ("[1,2)", r"\left[1, 2\right)"),
        ("x < 3", "3 > x"),
        ("x < 3", r"(-\infty, 3)"),
        ("y = 2x + 1", "2x - y + 1 = 0"),
        (r"\begin{pmatrix} 1 \\ 1/2 \end{pmatrix}", r"\begin{bmatrix} 1 \\ 0.5 \end{bmatrix}"),
        (r"\text{(C)}", "C"),
        (r"\text{Evelyn}", "evelyn"),
        ("4210_7", "4210_{7}"),
        ("5", "2 + 3 = 5"),
        ("1.5", "1,5"),
        ("1000", "1 000"),
        ("3.8", "3 4/5"),
        ("-1/2", r"\frac{1}{-2}"),
        ("1/3", r"0.\overline{3}"),
        ("1/2", "½"),
        ("300000000", "3×10⁸"),
        ("12", r"\boldsymbol{12}"),
        ("12", r"\textcolor{blue}{12}"),
        ("12", r"\underline{12}"),
        ("12", r"\approx 12"),
        ("10", "10 m"),
        ("10", "10 m²"),
        ("10", "10km/h"),
        ("10", r"10\,\Omega"),
        ("4", r"4^\circ\text{C}"),
        ("42", "42 USD"),
        ("15", "€15"),
        ("12", r"12\text{ miles per hour}"),
        ("5000000", r"5\text{ million}"),
        ("36", "3 dozen"),
        ("-5", "negative 5"),
        ("4", "f(x) = 4"),
        ("4", "x_1 = 4"),
        ("4", "P(A) = 4"),
        ("4", r"\text{Area} = 4"),
        ("40", r"\angle ABC = 40"),
        ("2", r"\tan A = 2"),
        ("4", "x = y = 4"),
        ("4", r"\frac{1}{2} \cdot 8 = 4"),
        ("f'(x)", r"f^{\prime}(x)"),
        ("ab", "ba"),
    ],
)
def test_one_answer_in_many_forms(equal, gold, given):
    assert equal(gold, given)


@pytest.mark.parametrize(
    ("gold", "given"),
    [
        ("4", "3 or 4"),
        ("4", "3, 4"),
        ("4", r"\{3, 4\}"),
        ("4", r"\pm 4"),
        ("4", "4, 4"),
        ("3, 4", "4"),
        ("4", "3 = 4"),
        ("4", "x = 3 = 4"),
        ("0", "x^2 - 1 = 0"),
        ("4", "4x"),
        ("3", "3t"),
        ("x = 4", "y = 4"),
        ("(1,2)", "(2,1)"),
        ("(1,2)", "[1,2]"),
        ("(2, \\infty)", "[2, \\infty)"),
        ("x < 3", "x > 3"),
        ("1,2", "1.2"),
        ("0", "1e-10"),
        ("1000000", "1000001"),
        ("2^{2019} - 1", "2^{2019} + 1"),
        ("2^{100} x + 1", "2^{100} x"),
        ("x", r"\sqrt{x^2}"),
        ("A", "a"),
        (r"\frac{a}{b}", r"\frac{A}{B}"),
        ("north", "thorn"),
        ("11_2", "11_3"),
        ("2:3", "3:2"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"),
        ("12", "10^{10^{10}}"),
        ("12", "(10^{10})!"),
        ("12", "1 2"),
        ("12", r"1\quad 2"),
        ("12", "1\n2"),
        ("100", "1 0 0"),
        ("3,42", "3, 4 2"),
        ("34/5", "3 4/5"),
        ("12", r"12\text{ or 13}"),
        ("12", r"12\text{, 13, 14}"),
        ("12", r"12\text{ or thirteen}"),
        ("12", r"12\text{ is wrong}"),
        ("12", r"12\text{ not sure}"),
        ("12", "12 is wrong"),
        ("12", r"12\text{ with probability 1/2}"),
        ("5", r"5\text{ million}"),
        ("5", "5 squared"),
        ("4", "x^2 = 4"),
        ("4", "2x = 4"),
        ("4", "-x = 4"),
        ("4", "|x| = 4"),
        ("4", "x + y = 4"),
        ("4", "xy = 4"),
        ("4", r"x \not= 4"),
        ("4", r"\sqrt{9} = 4"),
        ("7", "1 + 2 + 3 = 7"),
        ("2", r"x = 1 \Rightarrow y = 2"),
        ("4", "$x = 3$ or $x = 4$"),
        ("f(x)", "f'(x)"),
        ("x", "x'"),
        (r"\angle BAC", r"\angle ABC"),
        ("FT", "TF"),
        ("on", "no"),
        ("0.3", r"0.\overline{3}"),
    ],
)
def test_other_answers_are_other_answers(equal, gold, given):
    assert not equal(gold, given)


@pytest.mark.parametrize("given", ["17 * 23", r"17 \cdot 23", r"\sqrt{391^2}", "400 - 9"])
def test_repeating_the_question_is_no_answer(equal, given):
    from rlkit.rewards.mathematics import Equality

    assert not equal("391", given)
    assert Equality(unfinished=True)("391", given)


def test_intervals_and_precision_are_the_users(accuracy):
    row = {"completion": r"\boxed{-2 \le x \le 7}", "answer": r"x \in [-2,7]"}
    assert accuracy(**row) == 0.0
    assert accuracy(**row, relations=True) == 1.0
    row = {"completion": r"\boxed{(0.67, 2)}", "answer": r"(\frac{2}{3}, 2)"}
    assert accuracy(**row) == 0.0
    assert accuracy(**row, precision=2) == 1.0


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("A: 12", 1),
        ("<|begin_of_thought|>\\boxed{11}<|end_of_thought|>\n<|begin_of_solution|>\\boxed{12}<|end_of_solution|>", 1),
        ("<think>it is \\boxed{12}", 0),
        (r"\boxed{11} or \boxed{12}", 0),
        (r"\boxed{11, 12}", 0),
        ("11 or 12", 0),
        (" ".join(map(str, range(100))) + " 12", 0),
        ("What is $6 + 6$? " + r"\boxed{}. " * 500, 0),
        ("so x is $12$.", 1),
        (r"\boxed{9^{9^{9^{9}}}+1}", 0),
        ("{" * 10_000, 0),
        (r"\boxed{" + "(" * 900 + "12" + ")" * 900 + "}", 1),
        (r"\boxed{" * 10_000, 0),
        ("", 0),
    ],
)
def test_completions(accuracy, completion, expected):
    start = time.perf_counter()
    assert accuracy(completion=completion, answer=r"we have $x = \boxed{12}$") == expected
    assert time.perf_counter() - start < 4.5  # below its time limit, or it would be None


def test_trl_gives_other_values(accuracy):
    """TRL takes no answer outside LaTeX."""
    row = {"completion": "A: 12", "answer": "12"}
    assert (accuracy(**row), accuracy(**row, compat="trl")) == (1.0, 0.0)
    row = {"completion": r"\boxed{17 \cdot 23}", "answer": "391"}
    assert (accuracy(**row), accuracy(**row, compat="trl")) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"rules": ["boxd"]}, "did you mean 'boxed'"), ({"precision": 0}, "at least 1"), ({"rules": []}, "no answer")],
)
def test_settings_that_make_no_sense_are_refused(accuracy, parameters, said):
    with pytest.raises(RequestError, match=said):
        accuracy.configure(**parameters)


@pytest.mark.parametrize("thread", ["main", "other"])
def test_where_math_verify_hangs_the_sample_costs_its_time_limit_and_nothing_else(thread):
    """TRL's own reward waits over a minute here, as its alarm does not reach the computation."""
    import threading
    import time

    stack = RewardStack([(plugins.find("accuracy").configure(compat="trl", timeout=2.0), 1.0)], max_error_rate=1.0)
    completions = [r"\boxed{12}", r"\boxed{9^{9^{9^{9}}}+1}", r"\boxed{13}", r"\boxed{12}"]
    got = {}

    def score():
        stack.score(completions=completions[:1], answer=["$12$"])  # the processes are up
        start = time.monotonic()
        got.update(stack.score(completions=completions, answer=["$12$"] * 4), seconds=time.monotonic() - start)

    other = threading.Thread(target=score)
    (score if thread == "main" else other.start)()
    if thread == "other":
        other.join()
    assert got["accuracy"] == [1.0, None, 0.0, 1.0]
    assert 2.0 <= got["seconds"] < 6.0
    assert stack.timeouts == {"accuracy": 1}
