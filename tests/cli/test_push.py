import json
import shutil

import pytest

from rlkit.export.artifact import Artifact, Check

NOWHERE = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": ""}


@pytest.fixture
def merged(tiny_model, tmp_path):
    folder = tmp_path / "merged"
    shutil.copytree(tiny_model, folder)
    passed = Check(file=".", name="tokens", value=0.0, bound=0.0, passed=True)
    Artifact(folder=folder, kind="merged", name="tiny", dtype="float32", checks=[passed]).write()
    return folder


def test_a_dry_run_prints_the_files_and_the_card_and_touches_nothing(rlkit, merged, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done = rlkit("push", merged, "me/tiny", "--dry-run", env=NOWHERE)
    assert done.code == 0, done.err
    head, _, card = done.out.partition("\n\n")
    assert head.startswith("merged to me/tiny, private, branch main:\n")
    names = [line.split()[-1] for line in head.splitlines()[1:]]
    assert names[-1] == "README.md"
    assert {*names} == {file.name for file in merged.iterdir()} - {"rlkit.json"} | {"README.md"}
    assert card.startswith("---\n") and "me/tiny" in card
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_for_programs(rlkit, merged):
    done = rlkit("push", merged, "me/tiny", "--dry-run", "--json", "--public", "--revision", "v2", env=NOWHERE)
    told = json.loads(done.out)
    assert (told["repo"], told["kind"], told["public"], told["revision"]) == ("me/tiny", "merged", True, "v2")
    assert {"name": "model.safetensors", "size": (merged / "model.safetensors").stat().st_size} in told["files"]
    assert told["card"].startswith("---\n")


def test_what_may_not_be_pushed_ends_with_2_and_nothing_on_stdout(rlkit, merged):
    (merged / "config.json").write_text("{}")
    done = rlkit("push", merged, "me/tiny", "--dry-run", env=NOWHERE)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: push") and "config.json" in done.err


def test_without_a_token_it_says_how_to_get_one(rlkit, merged, tmp_path):
    alone = {**NOWHERE, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
    done = rlkit("push", merged, "me/tiny", env=alone)
    assert (done.code, done.out) == (2, "")
    assert "`hf auth login`" in done.err


@pytest.mark.slow
def test_a_hub_that_is_not_there_is_told(rlkit, merged, tmp_path):
    alone = {**NOWHERE, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_" + "w" * 34}
    done = rlkit("push", merged, "me/tiny", env=alone)
    assert (done.code, done.out) == (1, "")
    assert "http://127.0.0.1:9 ($HF_ENDPOINT sets which hub) cannot be reached" in done.err
