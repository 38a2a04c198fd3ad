"""`select:` what each training stage measures its checkpoints by."""

import pytest

from rlkit.errors import RequestError
from rlkit.recipe.load import load
from rlkit.validation import shared_prompts, validate

STAGES = [
    {"sft": {"data": {"completion": "answer"}}},
    {"grpo": {"select": {"metric": "pass@4", "rewards": ["accuracy"], "split": "validation", "limit": 5}}},
    {"eval": {}},
]


def test_a_stage_measures_as_the_recipe_evaluates_and_its_own_section_comes_first(recipe_file):
    evaluation = {"data": {"split": "test"}, "samples": 2, "k": [1, 2], "by": "level"}
    file = recipe_file(stages=STAGES, select={"metric": "xmlcount"}, eval=evaluation)
    sft, grpo, last = load(str(file)).resolved()
    assert (sft.measure.kind, sft.measure.data.split, sft.measure.eval.samples) == ("eval", "test", 2)
    assert [entry.reward for entry in sft.measure.rewards] == ["xmlcount", "correctness"]
    assert (grpo.measure.data.split, grpo.measure.data.limit) == ("validation", 5)
    assert (grpo.measure.eval.samples, grpo.measure.eval.k) == (4, [4])
    assert grpo.measure.eval.by is None
    assert [entry.reward for entry in grpo.measure.rewards] == ["accuracy"]
    assert grpo.data.split == "train", "what is trained on stays"
    assert last.measure is None


def test_validate_looks_at_the_rows_that_checkpoints_are_measured_on(recipe_file, tmp_path):
    (tmp_path / "other.jsonl").write_text('{"question": "How many?", "solution": "5"}\n')
    select = {"metric": "reward"}
    file = recipe_file(select=select, eval={"data": {"path": str(tmp_path / "other.jsonl")}})
    with pytest.raises(RequestError, match=r"stage 'grpo select': data\.answer: unknown column 'answer'"):
        validate(str(file))
    assert validate(str(recipe_file(select=select, eval={"data": {"limit": 2}})))
    (found,) = shared_prompts(str(recipe_file(select=select, eval={"data": {"limit": 2}})))
    assert len(found.exact) == 2, "the same two rows are trained on"


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"select": {"metric": "accuracy"}}, "select.split: there is no eval.data"),
        ({"select": {"split": "test"}}, "select: metric is missing"),
        (
            {"select": {"metric": "reward", "split": "test", "rewards": ["acuracy"]}},
            "select.rewards.0: unknown reward 'acuracy'; did you mean 'accuracy'?",
        ),
        (
            {"select": {"metric": "reward", "split": "test", "every": 3}, "training": {"save_steps": 4}},
            "select.every: training.save_steps says that already",
        ),
        (
            {"select": {"metric": "reward", "split": "test"}, "training": {"load_best_model_at_end": True}},
            "select: training.load_best_model_at_end is what select sets itself",
        ),
    ],
)
def test_what_cannot_be_is_said_with_its_place(recipe_file, sections, said):
    with pytest.raises(RequestError) as refused:
        load(str(recipe_file(**sections)))
    assert said in str(refused.value)
