import math

import pytest

from rlkit.errors import RequestError
from rlkit.function import make
from rlkit.weighting import Gate, Weight, check_gates, term


def length(completion):
    return float(len(completion))


def made(name="length", **settings):
    return term(make(name, length), settings)


def test_a_plain_weight_stays():
    assert [made(weight=2).weight.at(step) for step in (0, 7, None)] == [2.0, 2.0, 2.0]
    assert made().weight == Weight(1.0, 1.0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("linear", [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
        ("cosine", [(1 + math.cos(math.pi * x / 4)) / 2 for x in range(5)] + [0.0]),
        ("step", [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]),
    ],
)
def test_schedules(shape, expected):
    weight = made(weight={"from": 1, "to": 0, "over": 4, "shape": shape}).weight
    assert [weight.at(step) for step in range(6)] == pytest.approx(expected)
    assert weight.at(None) == 0.0
    assert not weight.constant


def test_clip_then_gate():
    shaped = made(clip=[0, 5], gate="format")
    assert [shaped.shape(value, 1.0) for value in (-1.0, 3.0, 9.0, None)] == [0.0, 3.0, 5.0, None]
    assert shaped.shape(3.0, 0.0) == 0.0
    assert shaped.shape(3.0, None) is None, "a gate that failed shuts nothing"
    assert made(gate={"format": 0.5}).shape(3.0, 0.5) == 0.0
    assert made(gate={"format": 0.5}).gate == Gate("format", 0.5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weight": "heavy"}, "weight is 'heavy': not a number"),
        ({"weight": True}, "not a number"),
        ({"weight": {"from": 1, "to": 0}}, "{from: 1, to: 0, over: 200}"),
        ({"weight": {"from": 1, "to": 0, "ovr": 3}}, "did you mean 'over'"),
        ({"weight": {"from": 1, "to": 0, "over": 0}}, "over is 0"),
        ({"weight": {"from": 1, "to": 0, "over": 3, "shape": "cosin"}}, "did you mean 'cosine'"),
        ({"clip": [1, 0]}, "low end is above"),
        ({"clip": 3}, r"\[low, high\]"),
        ({"gate": {"a": 1, "b": 2}}, "name of a reward"),
        ({"on_error": "raize"}, "none, raise, or a number"),
    ],
)
def test_settings_of_the_wrong_form_are_refused(settings, said):
    with pytest.raises(RequestError, match=said):
        made(**settings)


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(RequestError) as caught:
        made(weight="x", clip=3, on_error="y")
    assert len(str(caught.value).split("\n")) == 3


@pytest.mark.parametrize("gate", ["formt", "length"])
def test_a_gate_is_another_reward_of_the_stack(gate):
    with pytest.raises(RequestError, match="no other reward of this stack"):
        check_gates([made(gate=gate), made("format")])
    check_gates([made(gate="format"), made("format")])
