"""Every built-in reward: its gold cases, its docstring, and the golden list that catches a lost registration."""

import pytest

from rlkit import plugins
from rlkit.registry import REGISTRY, check_gold

plugins.discover()
BUILT_IN = ["correctness", "format", "int", "length", "soft_format", "strict_format", "xmlcount"]


def test_the_registry_holds_what_it_should():
    assert sorted(REGISTRY) == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_gold_cases_score_as_they_say(name):
    made = REGISTRY[name]
    assert len(made.gold) >= 4
    assert len({case.expected for case in made.gold}) > 1, "gold cases that all score alike prove little"
    assert check_gold(made) == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_docstring_gives_range_none_and_source(name):
    doc = REGISTRY[name].__doc__
    for part in ("Range:", "None:", "Source:"):
        assert part in doc


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "length"])
@pytest.mark.parametrize(
    "completion", ["", " ", "\n" * 1000, "<answer>" * 500, "\x00", "𝟜 ٤ ४", "{" * 2000, "-" * 5000]
)
def test_no_completion_breaks_a_reward(name, completion):
    columns = {column: ["4"] for column in REGISTRY[name].columns}
    (value,) = REGISTRY[name](completions=[completion], **columns)
    assert 0.0 <= value <= 1.0
