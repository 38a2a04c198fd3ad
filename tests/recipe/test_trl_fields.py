import dataclasses

import pytest

from rlkit.recipe.trl_fields import CONFIGS, ELSEWHERE, fields, problem


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_fields_read_from_source_are_the_ones_that_the_class_has(kind):
    import transformers
    import trl

    config = getattr(transformers if kind == "task" else trl, CONFIGS[kind])
    real = {field.name for field in dataclasses.fields(config) if field.init}
    assert {name for name in real if not name.startswith("_")} == set(fields(kind))


def test_every_loss_that_trl_documents_is_accepted():
    choices = set(fields("grpo")["loss_type"].choices)
    assert {"grpo", "dapo", "dr_grpo", "bnpo"} <= choices
    assert set(fields("grpo")["scale_rewards"].choices) == {"group", "batch", "none"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("loss_type", "gspo", "importance_sampling_level: sequence"),
        ("loss_type", "dapoo", "did you mean 'dapo'"),
        ("scale_rewards", "grp", "did you mean 'group'"),
        ("importance_sampling_level", "tokens", "did you mean 'token'"),
        ("learning_rate", "fast", "should be float"),
        ("max_steps", 2.5, "should be int"),
        ("max_steps", "many", "should be int"),
        ("beta", -0.1, "below 0"),
        ("per_device_train_batch_size", 0, "below 1"),
        ("optim", "adamw_tourch", "did you mean 'adamw_torch'"),
        ("temperature", 0.5, "generation.temperature"),
        ("reward_weights", [1.0], "give each reward its weight"),
        ("vllm_mode", "colocate", "generation.engine"),
        ("hub_token", "secret", "a token in a file leaks"),
        ("trust_remote_code", True, "no code from model repositories"),
        ("max_stepz", 1, "did you mean 'max_steps'"),
    ],
)
def test_what_trl_would_swallow_is_refused(name, value, said):
    assert said in problem("grpo", name, value)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("grpo", "learning_rate", 1),
        ("grpo", "scale_rewards", "none"),
        ("grpo", "warmup_steps", 0.1),
        ("grpo", "lr_scheduler_kwargs", {"num_cycles": 2}),
        ("grpo", "epsilon_high", None),
        ("grpo", "loss_type", "dapo"),
        ("sft", "packing", True),
        ("sft", "packing_strategy", "wrapped"),
        ("sft", "max_length", None),
        ("sft", "lr_scheduler_type", "cosine"),
    ],
)
def test_what_trl_takes_is_accepted(kind, name, value):
    assert problem(kind, name, value) is None


def test_what_belongs_elsewhere_is_a_field_of_trl():
    known = {*fields("grpo"), *fields("sft")}
    assert set(ELSEWHERE) <= known
