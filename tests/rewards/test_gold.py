"""Every built-in reward: its gold cases, its docstring, its audit, and the golden list that catches a lost one."""

import re

import pytest

from rlkit import plugins
from rlkit.audit import audit
from rlkit.registry import REGISTRY, check_gold
from rlkit.scoring import attempt

plugins.discover()
BUILT_IN = [
    "accuracy",
    "bleu",
    "brevity",
    "chrf",
    "code",
    "code_format",
    "correctness",
    "cosine_length",
    "countdown",
    "ensemble",
    "entity_f1",
    "exact_match",
    "format",
    "game24",
    "instructions",
    "int",
    "json_schema",
    "judge",
    "label",
    "language_consistency",
    "length",
    "multiple_choice",
    "no_refusal",
    "numeric",
    "python_syntax",
    "reasoning_steps",
    "regex",
    "repetition",
    "reward_model",
    "rouge",
    "soft_format",
    "soft_overlong",
    "strict_format",
    "tag_count",
    "token_f1",
    "xml_fields",
    "xml_valid",
    "xmlcount",
]
MODELS = {"judge", "reward_model"}
"""They need a server or a model: tests/rewards/test_judge.py and test_models.py give them one."""
PUBLISHED = {
    "brevity": (-0.5, 0.5),
    "cosine_length": (-2.0, 1.0),
    "soft_overlong": (-1.0, 0.0),
    "repetition": (-1.0, 0.0),
}
"""Ranges that a paper gives; all others lie in 0..1."""


def test_the_registry_holds_what_it_should():
    assert sorted(REGISTRY) == BUILT_IN


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "reward_model"])
def test_gold_cases_score_as_they_say(name):
    made = REGISTRY[name]
    assert len(made.gold) >= 4 or name in MODELS
    assert len({case.expected for case in made.gold}) > 1, "gold cases that all score alike prove little"
    assert check_gold(made) == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_docstring_gives_range_none_and_source(name):
    doc = REGISTRY[name].__doc__
    for part in ("Range:", "None:", "Source:"):
        assert part in doc


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BUILT_IN if name not in MODELS])
def test_no_attack_passes_for_an_answer_and_none_breaks_it(name):
    made = audit(REGISTRY[name])
    assert [(strike.attack.kind, strike.attack.completion[:80], strike.score) for strike in made.beaten] == []
    assert [error for _, error in made.errors if not re.match("took longer", error)] == []
    assert made.random == []
    assert made.dependent == []
    low, high = PUBLISHED.get(name, (0.0, 1.0))
    own = [strike.score for strike in made.strikes if strike.score is not None and strike.gold <= high]
    assert all(low <= score <= high for score in own)


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name not in MODELS])
@pytest.mark.parametrize("completion", ["", "\n" * 1000, "<answer>" * 500, "\x00", "𝟜 ٤ ४", "{" * 2000])
def test_no_completion_breaks_a_reward(name, completion):
    made = REGISTRY[name]
    case = made.gold[0]
    parameters = {key: value for key, value in case.columns.items() if key in made.signature.parameters}
    columns = {key: [value] for key, value in case.columns.items() if key not in parameters}
    batch = {"prompts": ["2+2?"], "completions": [completion], "completion_ids": [[0] * len(completion)], **columns}
    (value,), errors = attempt(made.configure(**parameters), batch)
    assert errors == {}
    low, high = PUBLISHED.get(name, (0.0, 1.0))
    assert value is None or low <= value <= high
