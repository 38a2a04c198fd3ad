import asyncio
from typing import Literal

import pytest

from rlkit import reward
from rlkit.completion import text_of
from rlkit.errors import RequestError, RewardError
from rlkit.function import make
from rlkit.registry import check_gold
from rlkit.values import floats

CHAT = [[{"role": "assistant", "content": "four"}], [{"role": "assistant", "content": "sixteen"}]]
TRL = {"prompts": ["p", "p"], "completion_ids": [[1], [1, 2]], "trainer_state": None, "unused_column": [1, 2]}


def batch(completions, answer, *, limit: int = 5):
    return [float(len(c) <= limit and c == a) for c, a in zip(completions, answer, strict=True)]


def per_sample(completion, answer=None, *, scale: float = 1.0):
    return scale * len(completion)


async def later(completion):
    await asyncio.sleep(0)
    return float(len(completion))


class Counter:
    def __init__(self, *, letter: str = "e"):
        self.letter = letter

    def __call__(self, completions):
        return [float(text.count(self.letter)) for text in completions]


def factory(*, power: int = 2):
    def score(completions, answer):
        return [float(len(text)) ** power for text in completions]

    return score


@pytest.mark.parametrize(
    ("function", "columns", "expected"),
    [
        (batch, {"answer": ["four", "sixteen"]}, [1.0, 0.0]),
        (per_sample, {}, [4.0, 7.0]),
        (Counter, {}, [0.0, 2.0]),
        (factory, {"answer": ["", ""]}, [16.0, 49.0]),
        (Counter(letter="o"), {}, [1.0, 0.0]),
    ],
)
def test_every_form_of_reward_scores_texts_and_messages_as_trl_passes_them(function, columns, expected):
    made = make("made", function)
    assert made(completions=["four", "sixteen"], **TRL, **columns) == expected
    assert made(completions=CHAT, **TRL, **columns) == expected


def test_an_async_reward_is_a_coroutine_function_to_trl():
    from trl.trainer.utils import is_async_callable

    made = make("later", later)
    assert is_async_callable(made)
    assert asyncio.run(made(completions=CHAT, **TRL)) == [4.0, 7.0]


def test_an_async_factory_is_waited_for():
    def make_it(*, plus: float = 1.0):
        async def score(completions):
            return [len(text) + plus for text in completions]

        return score

    assert make("made", make_it)(completions=["four"]) == [5.0]


def test_parameters_are_set_in_a_copy_and_columns_of_their_name_do_not_reach_them():
    made = make("batch", batch)
    strict = made.configure(limit=3)
    columns = {"answer": ["four", "x"], "limit": [100, 100]}
    assert strict(completions=["four", "x"], trainer_state=None, **columns) == [0.0, 1.0]
    assert made(completions=["four", "x"], answer=["four", "x"], limit=3) == [0.0, 1.0]
    assert made(completions=["four", "x"], answer=["four", "x"]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"limt": 3}, "did you mean 'limit'"),
        ({"limit": "3"}, "should be a valid integer"),
        ({"limit": True}, "should be a valid integer"),
    ],
)
def test_a_wrong_parameter_is_refused(parameters, said):
    with pytest.raises(RequestError, match=said):
        make("batch", batch).configure(**parameters)


def test_choices_and_missing_parameters_are_checked():
    def chosen(completion, *, mode: Literal["a", "b"], n: int):
        return 0.0

    with pytest.raises(RequestError, match="'a' or 'b'"):
        make("chosen", chosen).configure(mode="c", n=1)
    with pytest.raises(RequestError, match="needs the parameter 'n'"):
        make("chosen", chosen).configure(mode="a")


def test_columns_are_told_by_the_signature():
    assert make("batch", batch).columns == ("answer",)
    assert make("per_sample", per_sample).columns == ()
    assert make("factory", factory).columns == ("answer",)
    with pytest.raises(RewardError, match="needs answer, and the data has completions"):
        make("batch", batch)(completions=["x"])


def test_a_taken_name_is_refused_with_both_places(clean_registry):
    @reward("taken_name")
    def first(completion):
        return 1.0

    with pytest.raises(RequestError, match=r"test_registry.py:\d+ and .*test_registry.py:\d+"):

        @reward("taken_name")
        def second(completion):
            return 0.0

    assert clean_registry["taken_name"] is first


def test_a_parameter_may_not_be_called_like_a_setting_of_recipes():
    def weighted(completion, *, weight: float = 1.0):
        return weight

    with pytest.raises(TypeError, match="recipes use that key"):
        make("weighted", weighted)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ([1.0], "1 values for 2 completions"),
        (1.0, "not a list"),
        ([1.0, "nan"], "'nan' for completion 1"),
        ([float("inf"), 0.0], "inf for completion 0"),
        (["1.0", 0.0], "'1.0' for completion 0"),
    ],
)
def test_results_that_are_not_one_number_each_are_refused(result, said):
    with pytest.raises(RewardError, match=said):
        floats(result, 2, "made")


def test_numbers_of_other_libraries_and_bools_are_converted():
    import numpy
    import torch

    values = [True, numpy.float32(0.5), None, torch.tensor(2), float("nan")]
    assert floats(values, 5, "made") == [1.0, 0.5, None, 2.0, None]


def test_text_of_messages():
    assert (
        text_of([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])
        == "ab"
    )
    assert text_of([{"role": "user", "content": "not this"}, {"role": "assistant", "content": "x"}]) == "x"


def test_gold_cases_that_come_out_otherwise_are_named():
    wrong = make("per_sample", per_sample, gold=[("four", {}, 4.0), ("four", {"scale": 2.0}, 4.0), ("x", {}, None)])
    said = check_gold(wrong)
    assert len(said) == 2
    assert "gave 8.0 to its gold case 'four', not 4.0" in said[0]


def test_gold_cases_of_an_async_reward_run():
    assert check_gold(make("later", later, gold=[("four", {}, 4.0)])) == []


def test_a_trl_reward_gets_what_trl_would_give_it():
    from trl.rewards import think_format_reward

    made = make("think", think_format_reward, plain=True)
    text = "<think>a</think>b"
    assert made(completions=[text]) == made(completions=[[{"role": "assistant", "content": text}]]) == [1.0]

    def course_style(completions, **kwargs):
        return [float(len(kwargs["answer"][0]) + len(completions[0]))]

    assert make("course", course_style, plain=True)(completions=["abc"], answer=["xy"], trainer_state=None) == [5.0]


def test_a_column_called_like_a_parameter_does_not_reach_the_function():
    def limited(completions, *, limit: int = 5, **columns):
        return [float(limit) for _ in completions]

    made = make("limited", limited)
    assert made.score({"completions": ["a"], "limit": [99], "other": [1]}) == [5.0]
    assert made(completions=["a"], limit=[99], trainer_state=None) == [5.0]


def test_functions_that_trl_takes_are_read_as_it_calls_them():
    import functools

    def scaled(completions, scale=1.0, **kwargs):
        return [scale * len(text) for text in completions]

    def everything(**kwargs):
        return [float(len(text)) for text in kwargs["completions"]]

    def by_keyword(*, completions, **kwargs):
        return [float(len(text)) for text in completions]

    @functools.wraps(later)
    def wrapped(completion):
        return later(completion)

    for function, expected in [
        (functools.partial(scaled, scale=3.0), 9.0),
        (everything, 3.0),
        (by_keyword, 3.0),
        (wrapped, 3.0),
    ]:
        assert make("made", function, plain=True)(completions=["abc"], trainer_state=None) == [expected]


def test_a_name_taken_twice_in_one_module_is_refused_but_a_cell_run_again_is_not(clean_registry, tmp_path):
    from rlkit.plugins import load_file

    code = "from rlkit import reward\n@reward('doubled')\ndef f(completion):\n    return 1.0\n"
    (tmp_path / "twice.py").write_text(code + "\n@reward('doubled')\ndef f(completion):\n    return 2.0\n")
    with pytest.raises(RequestError, match=r"twice.py:2 and .*twice.py:6"):
        load_file(tmp_path / "twice.py")
    clean_registry.pop("doubled")
    cell = {"__name__": "__main__"}
    exec(compile(code, "cell-1", "exec"), cell)
    exec(compile(code.replace("1.0", "2.0"), "cell-2", "exec"), cell)
    assert clean_registry["doubled"](completion="x") == 2.0


def test_parameters_of_types_that_yaml_has_not():
    from enum import Enum
    from pathlib import Path

    class Mode(Enum):
        FAST = "fast"

    def typed(completion, *, sizes: tuple[int, ...], where: Path, mode: Mode):
        return float(sum(sizes))

    made = make("typed", typed).configure(sizes=[1, 2], where="x", mode="fast")
    assert made.parameters == {"sizes": (1, 2), "where": Path("x"), "mode": Mode.FAST}


def test_an_async_reward_works_where_a_loop_runs_already():
    def make_it(*, plus: float = 1.0):
        async def score(completions):
            return [plus for _ in completions]

        return score

    async def in_a_notebook():
        return make("made", make_it)(completions=["x"])

    assert asyncio.run(in_a_notebook()) == [1.0]


def test_calls_that_mean_nothing_are_refused():
    with pytest.raises(TypeError, match="did you mean 'limit'"):
        make("batch", batch)(completions=["x"], answer=["x"], limt=3)
    with pytest.raises(TypeError, match="needs a name"):

        @reward
        def bare(completion):
            return 1.0

    with pytest.raises(RequestError, match="not a function"):
        make("cwd", lambda: "text").configure()


def test_common_slips_in_a_signature_are_named():
    def forgot_the_star(completion, limit=40):
        return 1.0

    def no_completion(text, answer):
        return 1.0

    with pytest.raises(RequestError, match=r"put \* before it"):
        make("slip", forgot_the_star).configure(limit=3)
    with pytest.raises(RequestError, match="call its first argument completion"):
        make("slip", no_completion).configure()


def test_a_package_that_is_missing_is_told_with_its_pip_line_before_anything_runs(clean_registry):
    @reward("wants", requires=("no_such_module", "rlkit[rewards]"))
    def wants(completion):
        return 1.0

    with pytest.raises(RequestError, match=r"needs no_such_module.*pip install 'rlkit\[rewards\]'"):
        wants.configure()


@pytest.mark.parametrize("timeout", [0, -1, True, "5", float("nan")])
def test_a_time_limit_is_seconds(timeout):
    with pytest.raises(RequestError, match="not seconds above 0"):
        make("made", lambda completion: 1.0).configure(timeout=timeout)
    assert make("made", lambda completion: 1.0, timeout=3.0).configure(timeout=None).timeout is None


def test_a_class_tells_the_columns_that_it_needs_besides_what_it_names():
    class Other:
        columns = ("answer", "numbers")

        def __call__(self, completion, answer, **columns):
            return float(columns["numbers"])

    made = make("other", Other).configure()
    assert made.columns == ("answer", "numbers")
    assert made(completions=["a"], answer=["x"], numbers=[3]) == [3.0]
    with pytest.raises(RewardError, match="needs"):
        made(completions=["a"], numbers=[3])
