"""`push:` in a recipe: what a run leaves is on the hub while it goes on."""

import pytest
import yaml
from hub_server import OWNER, WRITE, Fault, HubServer

REPO = f"{OWNER}/run"


@pytest.fixture
def hub(tmp_path_factory):
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture
def recipe(recipe_file, questions):
    """Four steps of SFT with a checkpoint a step, every second of which is pushed."""
    training = {"max_steps": 4, "save_steps": 1, "per_device_train_batch_size": 4, "learning_rate": 0.01}
    data = {"path": str(questions), "prompt": "question", "completion": "answer"}
    push = {"repo": REPO, "every": 2}
    return recipe_file(lora={"r": 2}, data=data, training=training, rewards=None, generation=None, push=push, threads=1)


def test_every_second_checkpoint_is_pushed_and_the_last_model_with_its_card(rlkit, hub, recipe, tmp_path):
    done = rlkit("train", recipe, "--run-dir", "run", env=hub.environment(WRITE))
    assert done.code == 0, done.err
    commits = hub.repositories[REPO].branches["main"]
    name = "adapter_model.safetensors"
    pushed = [tree for tree in commits if name in tree]
    assert len({tree[name] for tree in pushed}) == 2, "of step 2, and of step 4"
    assert "README.md" not in pushed[0]
    files = hub.files(REPO)
    assert files[name] == (tmp_path / "run" / "1-sft" / name).read_bytes()
    assert "# run" in files["README.md"].decode()
    assert not {name for name in files if "optimizer" in name or "state" in name}
    assert hub.repositories[REPO].private
    assert WRITE not in done.err


def test_a_push_that_fails_is_told_of_and_training_goes_on(rlkit, hub, recipe, tmp_path):
    hub.faults.append(Fault("POST /api/repos/create", status=403))
    done = rlkit("train", recipe, "--run-dir", "run", env=hub.environment(WRITE))
    assert done.code == 0, done.err
    assert "warning: checkpoint-2 was not pushed" in done.err
    assert f"rlkit push run/checkpoints/1-sft/checkpoint-2 {REPO}" in done.err
    assert "README.md" in hub.files(REPO), "the next push made up for it"


def test_without_a_token_nothing_is_trained(rlkit, hub, recipe, tmp_path):
    done = rlkit("train", recipe, "--run-dir", "run", env=hub.environment(None))
    assert done.code == 2
    assert "there is no token" in done.err
    assert not (tmp_path / "run").exists()


def test_a_name_that_is_none_is_told_with_its_line(rlkit, recipe):
    body = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump({**body, "push": {"repo": "mine"}}))
    done = rlkit("validate", recipe)
    assert done.code == 2
    assert "repo" in done.err + done.out
