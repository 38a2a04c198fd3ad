import pytest

from rlkit.errors import RequestError
from rlkit.recipe.spec import parse


@pytest.mark.parametrize(
    ("text", "name", "parameters", "settings"),
    [
        ("xmlcount", "xmlcount", {}, {}),
        ("length:target=50,unit=words,weight=0.5", "length", {"target": 50, "unit": "words"}, {"weight": 0.5}),
        ("format:sections=[plan, code]", "format", {"sections": ["plan", "code"]}, {}),
        (
            "correctness:weight={from: 1, to: 0, over: 5}",
            "correctness",
            {},
            {"weight": {"from": 1, "to": 0, "over": 5}},
        ),
        ("regex:pattern=don't,weight=2", "regex", {"pattern": "don't"}, {"weight": 2}),
        ("regex:pattern='a,b',weight=1e3", "regex", {"pattern": "a,b"}, {"weight": 1000.0}),
        ("trl.rewards:think_format_reward", "trl.rewards:think_format_reward", {}, {}),
        ("trl.rewards:f:k=1", "trl.rewards:f", {"k": 1}, {}),
    ],
)
def test_forms(text, name, parameters, settings):
    entry = parse(text)
    assert (entry.reward, entry.parameters, entry.settings) == (name, parameters, settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("length:target", "write length:key=value"),
        ("length:target=3,words", "'words' is no key=value"),
        (":k=1", "has no name"),
        ("int:name=5", "name is 5, not a text"),
        ("length:target=[1", "not YAML"),
    ],
)
def test_other_forms_are_refused(text, said):
    with pytest.raises(RequestError, match=said):
        parse(text)
