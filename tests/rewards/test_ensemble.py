import cloudpickle
import pytest

from rlkit import plugins, reward
from rlkit.errors import RequestError, RunError

GOOD = "<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>"
WRONG = GOOD.replace("4", "5")


def ensemble(*members, **parameters):
    return plugins.find("ensemble").configure(of=list(members), **parameters)


def test_modes():
    completions, answers = [GOOD, WRONG, "4", "no"], ["4"] * 4  # soft_format: 1, 1, 0, 0; correctness: 1, 0, 1, 0
    values = {
        mode: ensemble("soft_format", "correctness", mode=mode)(completions=completions, answer=answers)
        for mode in ("mean", "min", "product", "any")
    }
    assert values == {
        "mean": [1.0, 0.5, 0.5, 0.0],
        "min": [1.0, 0.0, 0.0, 0.0],
        "product": [1.0, 0.0, 0.0, 0.0],
        "any": [1.0, 1.0, 1.0, 0.0],
    }
    weighted = ensemble("soft_format", {"correctness": {"weight": 3}})
    assert weighted(completions=completions, answer=answers) == [1.0, 0.25, 0.75, 0.0]


def test_a_member_without_a_value_is_left_out():
    made = ensemble("soft_format", {"correctness": {"weight": 3}})
    assert made(completions=[GOOD, "x"], answer=[None, None]) == [1.0, 0.0]
    assert ensemble("correctness")(completions=[GOOD], answer=[None]) == [None]


def test_it_needs_the_columns_of_its_members():
    inner = {"ensemble": {"of": ["correctness", {"token_f1": {"name": "f1"}}]}}
    assert ensemble("int", inner).columns == ("answer",)
    assert ensemble("int", {"entity_f1": {"whole": True}}).columns == ("entities",)
    assert ensemble("int", "soft_format").columns == ()
    assert ensemble("int", inner)(completions=[WRONG], answer=["4"]) == [0.5]


def test_members_get_what_the_trainer_makes():
    made = ensemble({"length": {"target": 3}}, {"repetition": {"compat": "trl", "ngram_size": 1}}, mode="min")
    assert made(completions=["x", "y"], completion_ids=[[7, 7, 7], [1, 2, 3]]) == [pytest.approx(-2 / 3), 1.0 - 1.0]


def test_it_can_be_sent_to_another_process():
    made = cloudpickle.loads(cloudpickle.dumps(ensemble("int", "correctness")))
    assert made(completions=[WRONG], answer=["4"]) == [0.5]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"of": []}, "name a reward"),
        ({"of": ["corectness"]}, "did you mean 'correctness'"),
        ({"of": [{"length": {"taget": 3}}]}, "did you mean 'target'"),
        ({"of": [{"int": {}, "length": {}}]}, "is not {NAME"),
        ({"of": ["int", "int"]}, "two members are called 'int'"),
        ({"of": [{"int": {"weight": 2}}], "mode": "min"}, "mode: mean alone"),
        ({"of": [{"int": {"weight": -1}}]}, "above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(parameters, said):
    with pytest.raises(RequestError, match=said):
        plugins.find("ensemble").configure(**parameters)


def test_a_member_that_breaks_is_left_out_and_ends_the_run_where_it_does_so_too_often(clean_registry, caplog):
    @reward("fragile")
    def fragile(completion: str) -> float:
        if "boom" in completion:
            raise ValueError("broken")
        return 1.0

    made = ensemble("int", "fragile")
    assert made(completions=["boom", *["<answer>4</answer>"] * 9]) == [0.0, *[1.0] * 9]
    assert "'fragile' failed" in caplog.text
    with pytest.raises(RunError, match="fragile"):
        made(completions=["boom"] * 20)
