import json
import shutil

import pytest

from rlkit.errors import RequestError
from rlkit.export.artifact import Artifact, Check
from rlkit.export.hub import hub
from rlkit.recipe.load import load
from rlkit.runs import RunDirectory

PASSED = Check(file=".", name="tokens", value=0.0, bound=0.0, passed=True)
FAILED = Check(file="tiny-Q4_0.gguf", name="kl", value=0.5, bound=0.1, passed=False, detail="at prompt 3")


@pytest.fixture
def export(tiny_model, tmp_path):
    """Make an export of whole weights."""

    def make(*checks, kind="merged", base_model=None):
        folder = tmp_path / "export"
        shutil.copytree(tiny_model, folder)
        made = Artifact(folder, kind, "tiny", "float32", base_model, checks=list(checks))
        made.write()
        return folder

    return make


@pytest.fixture
def run(recipe_file, tiny_model, tmp_path):
    """A run whose one training stage left whole weights."""
    recipe = load(str(recipe_file(stages=["grpo", "eval"])))
    made = RunDirectory.create(tmp_path / "run", recipe)
    stage = recipe.resolved()[0]
    shutil.copytree(tiny_model, made.folder(stage))
    (made.folder(stage) / "training_args.bin").write_bytes(b"\0")
    return made, stage


def test_an_export_is_its_files_and_no_others(export):
    folder = export(PASSED)
    (folder / "diary.txt").write_text("put here later")
    upload = hub.plan(folder, "me/tiny")
    assert {*upload.files} == {f.name for f in folder.iterdir()} - {"rlkit.json", "diary.txt"}
    assert (upload.kind, upload.public, upload.revision) == ("merged", False, "main")
    assert upload.sizes["model.safetensors"] == (folder / "model.safetensors").stat().st_size
    assert upload.sizes["README.md"] == len(upload.card.encode())


def test_a_run_stands_for_its_last_model(run):
    made, stage = run
    with pytest.raises(RequestError, match="no stage has left a model"):
        hub.plan(made.path, "me/tiny")
    made.finish(stage, 1.0, {})
    by_run, by_stage = hub.plan(made.path, "me/tiny"), hub.plan(made.folder(stage), "me/tiny")
    assert by_run == by_stage
    assert by_run.kind == "model"
    assert "model.safetensors" in by_run.files
    assert by_run.notes == ["stays here: training_args.bin"]


def test_the_pictures_of_a_run_go_with_its_card(run):
    made, stage = run
    made.finish(stage, 1.0, {})
    (made.path / "curves.png").write_bytes(b"\x89PNG")
    upload = hub.plan(made.path, "me/tiny")
    assert upload.pictures == {"curves.png": made.path / "curves.png"}
    assert "curves.png" in upload.card
    assert [*upload.sizes][-2:] == ["curves.png", "README.md"]
    assert "curves.png" not in upload.files


def test_settings_lose_the_places_of_this_machine_and_nothing_else(export, tiny_model):
    folder = export(PASSED, base_model="owner/base")
    file = folder / "config.json"
    config = json.loads(file.read_text())
    there = {"_name_or_path": "owner/base", "inner": {"name_or_path": "../base", "eos": "/s"}, "cache": str(tiny_model)}
    file.write_text(json.dumps({**config, **there}))
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tiny_model), "r": 2}))
    Artifact(folder, "merged", "tiny", "float32", "owner/base", checks=[PASSED]).write()
    upload = hub.plan(folder, "me/tiny")
    assert json.loads(upload.files["config.json"]) == {**config, "_name_or_path": "owner/base", "inner": {"eos": "/s"}}
    assert json.loads(upload.files["adapter_config.json"]) == {"base_model_name_or_path": "owner/base", "r": 2}
    assert upload.files["generation_config.json"] == folder / "generation_config.json"
    assert len(upload.notes) == 2


def test_what_was_not_proven_is_refused(export):
    with pytest.raises(RequestError, match="never compared with the model that was trained"):
        hub.plan(export(), "me/tiny")


def test_what_failed_is_refused_by_name(export):
    with pytest.raises(RequestError, match=r"tiny-Q4_0.gguf: kl 0.5, and 0.1 is the most that passes \(at prompt 3\)"):
        hub.plan(export(PASSED, FAILED, kind="gguf"), "me/tiny")


def test_what_changed_since_is_refused(export):
    folder = export(PASSED)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        RequestError, match=r"changed or gone since .*: config.json, model.safetensors; export it again"
    ):
        hub.plan(folder, "me/tiny")


@pytest.mark.parametrize("name", ["tiny", "me/tiny/x", "me/ti ny", "me/--"])
def test_a_name_that_is_none_is_refused(name, export):
    with pytest.raises(RequestError, match="repository '"):
        hub.plan(export(PASSED), name)


def test_what_is_no_model_of_a_run_is_refused_with_the_way_to_one(tiny_model, tmp_path):
    with pytest.raises(RequestError, match="there is no such folder"):
        hub.plan(tmp_path / "absent", "me/tiny")
    with pytest.raises(RequestError, match="it is a file; name the folder"):
        hub.plan(tiny_model / "config.json", "me/tiny")
    with pytest.raises(RequestError, match=r"neither an export .*\n  rlkit export .* --to merged"):
        hub.plan(tiny_model, "me/tiny")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(RequestError, match=r"no adapter_model.safetensors"):
        hub.plan(tmp_path, "me/tiny")
