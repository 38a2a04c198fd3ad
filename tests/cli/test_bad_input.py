"""Bad input: a clear message, exit code 2, nothing written, no traceback."""

import pytest

CASES = {
    "not YAML": ("model: [\n", (), "not YAML"),
    "misspelt key": ("modle: {path: x}\n", (), "did you mean 'model'"),
    "misspelt reward": ({"rewards": ["xmlcont"]}, (), "did you mean 'xmlcount'"),
    "misspelt parameter": ({"rewards": [{"length": {"tagret": 5}}]}, (), "did you mean 'target'"),
    "misspelt column": ({}, ("data.prompt=qestion",), "unknown column 'qestion'"),
    "column that a reward needs": ({"rewards": ["trl.rewards.accuracy_reward"]}, (), "needs the column 'solution'"),
    "wrong type": ({}, ("training.max_steps=many",), "should be int"),
    "wrong type of a section": ({"generation": 3}, (), "generation"),
    "value that TRL would swallow": ({}, ("training.loss_type=gspo",), "importance_sampling_level"),
    "dataset that is missing": ({}, ("data.path=absent.jsonl",), "no such file or folder"),
    "dataset that is empty": ({}, ("data.path=empty.jsonl",), "empty"),
    "dataset without the split": ({}, ("data.split=tset",), "no split 'tset'"),
    "model that does not exist": ({}, ("model.path=./absent",), "there is no such folder"),
    "model that is on no hub": ({}, ("model.path=nobody/nothing",), "the hub cannot be reached"),
    "batch that groups do not divide": ({}, ("generation.num_generations=3",), "per_device_train_batch_size=3"),
    "too few prompts": ({}, ("data.limit=1", "training.per_device_train_batch_size=8"), "2 prompts are generated"),
    "override without a value": ({}, ("training.max_steps",), "is no override"),
    "recipe that is not there": ("absent", (), "no such file"),
}


@pytest.mark.parametrize("case", CASES)
def test_train_refuses(case, rlkit, recipe_file, tmp_path):
    given, overrides, said = CASES[case]
    (tmp_path / "empty.jsonl").write_text("")
    if isinstance(given, dict):
        file = recipe_file(**given)
    else:
        file = tmp_path / "bad.yaml"
        if given != "absent":
            file.write_text(given)
    before = sorted(tmp_path.rglob("*"))
    done = rlkit("train", file, *overrides)
    assert done.code == 2, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_directory_that_exists_is_refused_with_the_ways_out(rlkit, recipe_file, tmp_path):
    (tmp_path / "run").mkdir()
    done = rlkit("train", recipe_file(), "--run-dir", "run")
    assert done.code == 2
    for way in ("--resume", "--run-dir OTHER", "remove it"):
        assert way in done.err
    assert not list((tmp_path / "run").iterdir())


def test_resume_without_a_run_is_refused(rlkit, recipe_file, tmp_path):
    file = recipe_file()
    assert "needs the run to go on with" in rlkit("train", file, "--resume").err
    done = rlkit("train", file, "--resume", "--run-dir", "nowhere")
    assert (done.code, (tmp_path / "nowhere").exists()) == (2, False)


def test_a_plugin_that_does_not_import_is_named_with_file_and_line(rlkit, recipe_file, tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\nimport not_there\n")
    done = rlkit("train", recipe_file(), "--plugin", "mine.py")
    assert done.code == 2
    assert "mine.py: line 2: ModuleNotFoundError: No module named 'not_there'" in done.err


def test_a_missing_extra_prints_its_pip_line(rlkit, recipe_file, tmp_path, tiny_model):
    blocker = tmp_path / "blocked" / "sitecustomize.py"
    blocker.parent.mkdir()
    blocker.write_text(
        "import importlib.abc, sys\n"
        "class Blocked(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'bitsandbytes': raise ModuleNotFoundError(name=name)\n"
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'bitsandbytes' else real(name, *a)\n"
    )
    file = recipe_file(model={"path": str(tiny_model), "load_in_4bit": True}, lora={"r": 2})
    done = rlkit("validate", file, env={"PYTHONPATH": str(blocker.parent)})
    assert done.code == 2
    assert "pip install 'rlkit[bnb]'" in done.err


def test_eval_refuses_too(rlkit, recipe_file, tmp_path):
    done = rlkit("eval", "./absent", "--recipe", recipe_file())
    assert (done.code, done.out) == (2, "")
    assert "there is no such folder" in done.err
    assert rlkit("eval", "./absent").code == 2


def test_an_unknown_command_or_option_exits_2(rlkit):
    assert rlkit("trian", "quickstart").code == 2
    assert rlkit("train", "quickstart", "--run-dri", "x").code == 2


def test_dry_run_writes_nothing_and_prints_the_resolved_recipe(rlkit, recipe_file, tmp_path):
    import yaml

    file = recipe_file()
    before = sorted(tmp_path.rglob("*"))
    done = rlkit("train", file, "training.max_steps=7", "--dry-run", "--run-dir", "run")
    assert done.code == 0, done.err
    assert yaml.safe_load(done.out)["training"]["max_steps"] == 7
    assert sorted(tmp_path.rglob("*")) == before


LATE = {
    "no row has the mark": ("data.answer=after:@@@",),
    "a layer that is not there": ("lora.target_modules=[nope]",),
    "an attention kernel that is not there": ("model.attn_implementation=foo",),
    "a shape that is not there": ("model.path=null", "model.from_scratch.shape=foo"),
    "a vocabulary without room": ("model.path=null", "model.from_scratch.tokenizer.vocab_size=100"),
    "a template that does not fit": ("data.prompt={question:d}",),
    "conversations that are none": ("data.messages=question", "rewards=[]"),
    "a chat template that is not there": ("model.chat_template=absent.jinja",),
}


@pytest.mark.parametrize("case", LATE)
def test_what_only_the_data_or_the_model_can_tell_is_told_before_anything_is_written(
    case, rlkit, recipe_file, tmp_path
):
    file = recipe_file()
    before = sorted(tmp_path.rglob("*"))
    done = rlkit("train", file, *LATE[case])
    assert done.code == 2, done.err
    assert "a bug" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_eval_finds_a_wrong_output_before_it_generates(rlkit, recipe_file, tiny_model):
    done = rlkit("eval", tiny_model, "--recipe", recipe_file(), "-o", "no/such/folder.jsonl")
    assert done.code == 2
    assert "there is no folder" in done.err
    assert rlkit("ls", "--", "--num_processes", "2").code == 2
