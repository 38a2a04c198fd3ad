import re

import pytest

from rlkit.recipe.batch import generation_batch, groups_problem, problem
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.groups import GroupsSection


def said(group, processes=1, **training):
    return problem(training, GenerationSection(num_generations=group), processes)


@pytest.mark.parametrize(
    ("group", "training"),
    [
        (8, {}),
        (4, {"per_device_train_batch_size": 4}),
        (6, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}),
        (8, {"per_device_train_batch_size": 2, "steps_per_generation": 4}),
        (8, {"per_device_train_batch_size": 2, "generation_batch_size": 16}),
    ],
)
def test_sizes_that_work_are_accepted_here_and_by_trl(group, training, tmp_path):
    from trl import GRPOConfig

    assert said(group, **training) is None
    config = GRPOConfig(str(tmp_path), num_generations=group, use_cpu=True, bf16=False, **training)
    assert config.generation_batch_size == generation_batch(training)


@pytest.mark.parametrize(
    ("group", "training"),
    [
        (6, {}),
        (5, {"per_device_train_batch_size": 3}),
        (16, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}),
        (4, {"per_device_train_batch_size": 2, "steps_per_generation": 3}),
    ],
)
def test_each_setting_that_an_error_names_works(group, training):
    message = said(group, **training)
    ways = re.findall(r"(training|generation)\.(\w+)=(\d+)", message)
    assert len(ways) >= 2
    for section, name, value in ways:
        changed, size = dict(training), group
        if section == "generation":
            size = int(value)
        else:
            changed[name] = int(value)
        assert said(size, **changed) is None, (name, value)


def test_processes_count():
    assert said(8, processes=2, per_device_train_batch_size=4) is None
    assert said(8, processes=1, per_device_train_batch_size=4) is not None


def test_a_generation_batch_that_is_no_multiple_of_the_batch():
    message = said(4, per_device_train_batch_size=8, generation_batch_size=12)
    assert "generation_batch_size=8 or generation_batch_size=16" in message


@pytest.mark.parametrize(
    ("groups", "training", "processes", "expected"),
    [
        ({"extra_prompts": 4}, {"per_device_train_batch_size": 8}, 2, None),
        ({"extra_prompts": 4}, {"per_device_train_batch_size": 4}, 2, "4 completions a process are not groups of 8"),
        ({"curriculum": {}}, {"per_device_train_batch_size": 4}, 2, "whole groups"),
        ({}, {"per_device_train_batch_size": 4}, 2, None),
        ({"overlap": True}, {"gradient_accumulation_steps": 4}, 1, None),
        ({"overlap": True}, {"num_iterations": 1}, 1, None),
        ({"overlap": True}, {"steps_per_generation": 2, "gradient_accumulation_steps": 2}, 1, None),
        ({"overlap": True}, {"steps_per_generation": 1, "gradient_accumulation_steps": 2}, 1, "steps_per_generation"),
        ({"overlap": True}, {"num_iterations": 2}, 1, "leave out training.num_iterations"),
        ({"overlap": True}, {"per_device_train_batch_size": "8"}, 1, None),
    ],
)
def test_groups_and_sizes_go_together(groups, training, processes, expected):
    section = GroupsSection.model_validate(groups)
    found = groups_problem(training, GenerationSection(num_generations=8), section, processes)
    assert found is None if expected is None else expected in found
