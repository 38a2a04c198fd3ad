"""The card says what is known of a model, in commands that work, and nothing of the machine that it was made on."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rlkit.errors import RequestError
from rlkit.export.artifact import Artifact, Check
from rlkit.export.card import card, metadata, scrub
from rlkit.export.card.provenance import Provenance, is_on_hub
from rlkit.recipe.recipe import Recipe
from rlkit.runs import RunDirectory

TOKEN = "hf_" + "a1B2c3D4" * 4


def head_and_body(text):
    empty, head, body = text.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(head), body


def cells(body, first):
    """The cells of the table rows that begin with a text."""
    lines = [line for line in body.splitlines() if line.startswith(f"| {first}")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def block(body, language, containing=""):
    """The first block of code in a language that holds a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)\n```$", body, re.S | re.M)
    return next(found for found in blocks if containing in found)


@pytest.fixture
def make_run(tmp_path):
    """Write down a run that has ended: the stages of a recipe, what GRPO logged, what was measured."""

    def make(name="adder-20260101-120000", *, stages=("sft", "grpo", {"eval": {"name": "after"}}), texts=None, **more):
        recipe = {
            "description": "adds two numbers",
            "model": {"path": "acme/base-1b", "revision": "abc123"},
            "data": {"path": "acme/sums", "name": "main", "prompt": "question", "answer": "answer", "system": "xml"},
            "rewards": ["xmlcount", {"correctness": {"weight": 2.0}}],
            "generation": {"num_generations": 4, "max_completion_length": 32},
            "eval": {"data": {"split": "test"}},
            "stages": list(stages),
            **more,
        }
        recipe = Recipe.model_validate({key: value for key, value in recipe.items() if value is not None})
        run = RunDirectory.create(tmp_path / name, recipe)
        for stage in recipe.resolved():
            if stage.kind == "eval":
                figures = {"n": 50, "accuracy": 0.75, "accuracy_low": 0.6, "accuracy_high": 0.85, "clipped": 0.02}
                prompt = [{"role": "system", "content": "Add."}, {"role": "user", "content": "3 + 4 = ?"}]
                given = texts or ["<answer>\n7\n</answer>", "second", "third"]
                rows = [{"prompt": prompt, "answer": "7", "completion": text, "reward": 2.0} for text in given]
                run.write_result(stage, figures, rows)
                run.finish(stage, 3.0, figures)
                continue
            run.folder(stage).mkdir()
            (run.folder(stage) / "config.json").write_text("{}")
            (run.folder(stage) / "chat_template.jinja").write_text("{{ messages }}")
            for step in (1, 2, 3):
                rewards = {"rewards/xmlcount/mean": step / 10, "rewards/correctness/mean": step / 5, "reward": step / 2}
                run.log({"stage": stage.name, "step": step, **(rewards if stage.kind == "grpo" else {"loss": 0.5})})
            run.finish(stage, 60.0, {"steps": 3})
        return run

    return make


@pytest.fixture
def adapter(tmp_path, tiny_model):
    """A real adapter, as PEFT saves it, whose configuration names a base of our choice."""

    def make(base=None, **lora):
        import transformers

        from rlkit.policy import load
        from rlkit.recipe.lora import LoraSection
        from rlkit.recipe.model import ModelSection

        folder = tmp_path / "adapter"
        load(ModelSection(path=str(tiny_model)), LoraSection(**{"r": 4, **lora})).model.save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
        if base:
            rename_base(folder, base)
        return folder

    return make


def rename_base(folder, base):
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "base_model_name_or_path": base}))


@pytest.fixture
def gguf(tmp_path):
    """What `rlkit export --to gguf` leaves; of the files a card tells the name and the size."""

    def make(run=None, passed=True):
        folder = tmp_path / "gguf"
        folder.mkdir()
        (folder / "adder-Q4_K_M.gguf").write_bytes(b"x" * 1_500_000)
        (folder / "adder-Q8_0.gguf").write_bytes(b"x" * 2_500_000)
        checks = [
            Check("adder-Q4_K_M.gguf", "kl", 0.0123, 0.05, True),
            Check("adder-Q8_0.gguf", "tokens", 0 if passed else 2, 0, passed, "" if passed else "first: 'a|b'"),
        ]
        artifact = Artifact(
            folder, "gguf", "adder", "bfloat16", run=str(run.path) if run else None, prompts=8, checks=checks
        )
        artifact.write()
        return artifact

    return make


def test_the_head_tells_the_hub_what_the_model_is(make_run):
    run = make_run(lora={"r": 8})
    head, _ = head_and_body(card.write(run.path, None, "me/adder"))
    assert head["base_model"] == "acme/base-1b"
    assert head["base_model_relation"] == "finetune"
    assert head["library_name"] == "transformers"
    assert head["pipeline_tag"] == "text-generation"
    assert head["datasets"] == ["acme/sums"]
    assert {"rlkit", "trl", "grpo", "sft", "lora"} == set(head["tags"])
    assert "license" not in head


def test_the_hubs_own_client_reads_what_was_measured(make_run):
    from huggingface_hub import ModelCard

    (result,) = ModelCard(card.write(make_run().path, None, "me/adder")).data.eval_results
    assert (result.dataset_type, result.dataset_config, result.dataset_split) == ("acme/sums", "main", "test")
    assert (result.metric_type, result.metric_value, result.metric_name) == ("accuracy", 0.75, "accuracy (greedy)")
    assert result.metric_args == {"n": 50, "interval_95": [0.6, 0.85]}


@pytest.mark.parametrize(
    "where", ["{tmp}/base", "~/base", "./base", "../x/base", "models/old/base", "C:\\models\\base"]
)
def test_a_local_base_is_never_named_as_one_of_the_hub(make_run, tmp_path, where):
    run = make_run(model={"path": where.format(tmp=tmp_path)})
    text = card.write(run.path, None, "me/adder")
    head, body = head_and_body(text)
    assert not {"base_model", "base_model_relation"} & set(head)
    assert "not known" in body
    assert where.format(tmp=tmp_path) not in text


def test_a_folder_that_is_called_like_a_hub_id_is_local(make_run, tmp_path, monkeypatch):
    (tmp_path / "acme" / "base-1b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_on_hub("acme/base-1b")
    head, _ = head_and_body(card.write(make_run(data={"path": "x:y"}).path, None, "me/adder"))
    assert "base_model" not in head


@pytest.mark.parametrize("path", ["train.jsonl", "rlkit.recipes.addition:problems", "my.module.rows", "/data/sums"])
def test_data_that_is_not_on_the_hub_is_no_dataset_of_the_hub(make_run, path):
    head, body = head_and_body(card.write(make_run(data={"path": path, "prompt": "q"}).path, None, "me/adder"))
    assert "datasets" not in head
    assert head["model-index"][0]["results"][0]["dataset"]["type"] == "other"
    assert path.rpartition("/")[2] in body


def test_rewards_stand_with_their_weights_and_their_first_and_last_means(make_run):
    rewards = [
        {"xmlcount": {"weight": {"from": 1, "to": 0, "over": 20}, "clip": [0, 1]}},
        {"correctness": {"weight": 2.0, "gate": "xmlcount"}},
        {"length": {"limit": 9, "name": "short"}},
    ]
    _, body = head_and_body(card.write(make_run(rewards=rewards).path, None, "me/adder"))
    assert cells(body, "reward ") == [["reward", "parameters", "weight", "mean at step 1", "mean at step 3"]]
    assert cells(body, "`xmlcount`") == [
        ["`xmlcount`", "defaults", "1 to 0 over 20 steps (linear), clipped to [0, 1]", "0.1", "0.3"]
    ]
    assert cells(body, "`correctness`")[0][2:] == ["2, where `xmlcount` is above 0", "0.2", "0.6"]
    assert cells(body, "`short`") == [["`short`", "`limit=9`", "1", "–", "–"]]
    assert cells(body, "all together")[0][3:] == ["0.5", "1.5"]


def test_measurements_say_of_what_they_are(make_run):
    stages = [{"eval": {"name": "base"}}, "grpo", {"eval": {"name": "after", "samples": 4}}]
    _, body = head_and_body(card.write(make_run(stages=stages).path, None, "me/adder"))
    assert "| `base`: acme/base-1b | `after`: this model |" in body
    assert cells(body, "data")[0][1:] == ["acme/sums (main, test), n = 50"] * 2
    assert "on acme/sums (main, train); groups of 4 completions of at most 32 tokens" in body
    assert cells(body, "completions")[0][1:] == ["greedy", "4 samples a prompt, temperature 1"]
    assert cells(body, "`accuracy`") == [["`accuracy`"] + ["0.75 [0.6, 0.85]"] * 2]
    assert "2.0% of the measured completions were cut off" in body


def test_the_card_of_an_earlier_stage_tells_nothing_of_the_later_ones(make_run):
    stages = ["sft", {"eval": {"name": "before"}}, "grpo", {"eval": {"name": "after"}}]
    run = make_run(stages=stages)
    head, body = head_and_body(card.write(run.path / "1-sft", None, "me/warm"))
    assert "`before`: this model" in body
    assert "`after`" not in body
    assert "grpo" not in head["tags"]
    assert "## Rewards" not in body


def test_a_checkpoint_is_told_as_one(make_run):
    run = make_run()
    folder = run.path / "checkpoints" / "2-grpo" / "checkpoint-2"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    head, body = head_and_body(card.write(folder, None, "me/adder"))
    assert "checkpoint: training went on after step 2" in body
    assert cells(body, "reward ")[0][3:] == ["mean at step 1", "mean at step 2"]
    assert "model-index" not in head


def test_a_stage_with_a_model_of_its_own_does_not_come_from_those_before(make_run):
    stages = ["sft", {"grpo": {"model": {"path": "acme/other"}}}]
    head, body = head_and_body(card.write(make_run(stages=stages).path, None, "me/adder"))
    assert head["base_model"] == "acme/other"
    assert "**sft**" not in body


def test_samples_are_the_first_two_as_they_came_and_no_backticks_break_out(make_run):
    wild = "`````\n# not a title\n```python\nprint(1)\n```\n| a | b |\n---\n\n\n\n# end"
    long = "x" * 2_500
    text = card.write(make_run(texts=[wild, long, "third"]).path, None, "me/adder")
    assert f"``````text\n{wild}\n``````\n" in text
    assert "x" * 2_000 + "… (500 characters more)\n" in text
    assert "x" * 2_001 not in text
    assert "third" not in text
    assert "Completion (reward 2, right answer 7)" in text


def test_no_path_and_no_secret_comes_into_a_card(make_run, tmp_path):
    plugin = tmp_path / "secret place" / "my_rewards.py"
    plugin.parent.mkdir()
    plugin.write_text("")
    data = tmp_path / "train.jsonl"
    data.write_text("{}\n")
    run = make_run(
        description=f"see {tmp_path}/notes/today.md",
        data={"path": str(data), "prompt": "question", "system": "/think first, then </answer>"},
        model={"path": str(tmp_path), "chat_template": "chatml"},
        training={
            "hub_token": "abc",
            "eos_token": "<|im_end|>",
            "deepspeed": f"{tmp_path}/ds.json",
            "x": [TOKEN],
            "headers": {"password": 1234},
        },
        rewards=[{"judge": {"base_url": f"http://me:{TOKEN}@10.0.0.3/v1", "cache": f"{tmp_path}/cache", "model": "m"}}],
        generation={"engine": "vllm_server", "servers": ["http://10.0.0.7:8000"], "adapter_folder": "/mnt/shared/a"},
        plugins=[str(plugin)],
        texts=[f"{Path.home()}/x and {tmp_path}/y and {TOKEN} and 1/2/3", "b"],
    )
    text = card.write(run.path, None, "me/adder")
    for hidden in (str(tmp_path), str(Path.home()) + "/", TOKEN, "abc\n", "10.0.0.7", "/mnt", "secret place"):
        assert hidden not in text, hidden
    recipe = yaml.safe_load(block(text, "yaml"))
    assert recipe["data"] == {"path": "train.jsonl", "prompt": "question", "system": "/think first, then </answer>"}
    assert recipe["training"] == {
        "hub_token": "(removed)",
        "eos_token": "<|im_end|>",
        "deepspeed": "ds.json",
        "x": ["(removed)"],
        "headers": {"password": "(removed)"},
    }
    assert recipe["plugins"] == ["my_rewards.py"]
    assert "1/2/3" in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/home/jo/data/x.jsonl", "x.jsonl"),
        ("in ~/data/x.jsonl, or ../y/z", "in x.jsonl, or z"),
        ("file=/srv/a/b.txt", "file=b.txt"),
        (r"C:\Users\jo\x.txt", "x.txt"),
        ("acme/base-1b", "acme/base-1b"),
        ("https://host.example/a/b", "https://host.example/a/b"),
        ("<think>/</think> and/or km/h 3/4/5", "<think>/</think> and/or km/h 3/4/5"),
        (r"\boxed{\frac{1}{2}}", r"\boxed{\frac{1}{2}}"),
        ("https://jo:pass@host/x", "https://(removed)@host/x"),
        ("sk-proj-abcdefghijklmnop1234", "(removed)"),
        ("a task-specific-long-hyphened-word", "a task-specific-long-hyphened-word"),
    ],
)
def test_words_keep_what_is_no_path_and_no_secret(before, after):
    assert scrub.words(before) == after


def test_the_licence_comes_from_the_bases_own_folder(make_run, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: apache-2.0\ntags: [x]\n---\n# Base\n")
    head, body = head_and_body(card.write(make_run(model={"path": str(base)}).path, None, "me/adder"))
    assert head["license"] == "apache-2.0"
    assert "**Licence.**" not in body
    (base / "README.md").write_text("no head at all")
    head, body = head_and_body(card.write(tmp_path / "adder-20260101-120000", None, "me/adder"))
    assert "license" not in head
    assert "Set `license:`" in body


def test_the_licence_comes_from_the_bases_card_in_the_cache(make_run, tmp_path):
    repo = tmp_path / "hub" / "models--acme--base-1b"
    (repo / "snapshots" / "abc123").mkdir(parents=True)
    (repo / "snapshots" / "abc123" / "README.md").write_text(
        "---\nlicense: other\nlicense_name: acme-terms\nlicense_link: LICENSE.txt\n---\n"
    )
    code = (
        "import sys; from pathlib import Path; from rlkit.export.card import card\n"
        "print(card.write(Path(sys.argv[1]), None, 'a/b'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(make_run(model={"path": "acme/base-1b", "revision": "abc123"}).path)],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
    )
    head, _ = head_and_body(done.stdout)
    assert (head["license"], head["license_name"]) == ("other", "acme-terms")
    assert head["license_link"] == "https://huggingface.co/acme/base-1b/blob/main/LICENSE.txt"


def test_an_adapter_names_its_base_and_the_commands_that_serve_it(adapter):
    head, body = head_and_body(card.write(adapter("acme/base-1b", r=12), None, "me/adder"))
    assert head["base_model"] == "acme/base-1b"
    assert head["base_model_relation"] == "adapter"
    assert head["library_name"] == "peft"
    assert "lora" in head["tags"]
    served = "vllm serve acme/base-1b --enable-lora --max-lora-rank 16 --lora-modules adder=me/adder"
    assert served in block(body, "sh")
    assert "No record of the training" in body


def test_an_adapter_that_vllm_does_not_take_says_why(adapter):
    _, body = head_and_body(card.write(adapter("acme/base-1b", use_dora=True), None, "me/adder"))
    assert "vLLM does not take this adapter as it is: it has use_dora: True" in body
    assert "--enable-lora" not in body


def test_an_adapter_on_a_local_base_says_that_it_does_not_run_alone(adapter, tiny_model):
    text = card.write(adapter(), None, "me/adder")
    head, body = head_and_body(text)
    assert "base_model" not in head
    assert "rlkit push FOLDER me/adder" in body
    assert "from_pretrained" not in body
    assert str(tiny_model) not in text


def test_the_code_for_peft_runs(adapter, tiny_model, capsys):
    folder = adapter("acme/base-1b")
    code = block(card.write(folder, None, "me/adder"), "python", "peft").replace(
        "max_new_tokens=256", "max_new_tokens=4"
    )
    rename_base(folder, str(tiny_model))
    exec(code.replace("me/adder", str(folder)), {})
    assert capsys.readouterr().out


def test_the_code_for_transformers_runs(tiny_model, capsys):
    code = block(card.write(tiny_model, None, "me/tiny"), "python").replace("max_new_tokens=256", "max_new_tokens=4")
    exec(code.replace("me/tiny", str(tiny_model)), {})
    assert capsys.readouterr().out


def test_gguf_files_are_listed_with_their_sizes_and_the_comparison(gguf, make_run):
    artifact = gguf(make_run())
    head, body = head_and_body(card.write(artifact.folder, artifact, "me/adder-GGUF"))
    assert (head["library_name"], head["base_model_relation"]) == ("llama.cpp", "quantized")
    assert "gguf" in head["tags"]
    assert "llama-server -hf me/adder-GGUF:Q4_K_M" in body
    assert "ollama run hf.co/me/adder-GGUF:Q4_K_M" in body
    assert 'filename="adder-Q4_K_M.gguf"' in body
    assert cells(body, "`adder-Q4_K_M.gguf`") == [
        ["`adder-Q4_K_M.gguf`", "Q4_K_M", "1.5 MB"],
        ["`adder-Q4_K_M.gguf`", "kl", "0.0123", "0.05", "passed"],
    ]
    assert "given 8 prompts" in body
    assert "`after`: the trained model" in body
    assert (
        head["model-index"][0]["results"][0]["metrics"][0]["name"] == "accuracy (greedy, before the conversion to GGUF)"
    )


def test_a_comparison_that_failed_says_so(gguf):
    artifact = gguf(passed=False)
    _, body = head_and_body(card.write(artifact.folder, artifact, "me/adder"))
    assert cells(body, "`adder-Q8_0.gguf`")[1][4] == r"FAILED: first: 'a\|b'"


def test_the_curves_go_with_the_card(make_run, gguf):
    run = make_run()
    assert card.pictures(run.path, None) == {}
    assert "curves.png" not in card.write(run.path, None, "me/adder")
    (run.path / "curves.png").write_bytes(b"png")
    assert card.pictures(run.path / "2-grpo", None) == {"curves.png": run.path / "curves.png"}
    artifact = gguf(run)
    assert card.pictures(artifact.folder, artifact) == {"curves.png": run.path / "curves.png"}
    assert "(curves.png)" in card.write(artifact.folder, artifact, "me/adder")


def test_a_run_that_is_gone_or_of_another_version_leaves_a_card_without_it(gguf, make_run):
    run = make_run()
    artifact = gguf(run)
    recipe = run.path / "recipe.yaml"
    recipe.write_text("a_section_of_the_future: {}\n")
    assert "No record of the training" in card.write(artifact.folder, artifact, "me/adder")
    run.path.rename(run.path.parent / "moved")
    assert "No record of the training" in card.write(artifact.folder, artifact, "me/adder")


def test_a_run_without_a_model_is_refused(make_run):
    with pytest.raises(RequestError, match="no stage has left a model"):
        card.write(make_run(stages=["eval"]).path, None, "me/adder")


def test_a_base_under_an_adapter_or_an_earlier_run_is_found(make_run, tmp_path):
    first = make_run("first")
    second = make_run("second", model={"path": str(first.path / "2-grpo")})
    assert Provenance.of(second.path).base == "acme/base-1b"
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "adapter_config.json").write_text('{"base_model_name_or_path": "acme/base-7b", "r": 4}')
    third = make_run("third", model={"path": str(trained)})
    assert Provenance.of(third.path).base == "acme/base-7b"


@pytest.mark.slow
def test_the_card_of_a_real_run_holds_the_figures_of_that_run(recipe_file, rlkit, tmp_path):
    stages = [{"eval": {"name": "before", "data": {"limit": 4}}}, "grpo", {"eval": {"data": {"limit": 4}}}]
    file = recipe_file(stages=stages)
    done = rlkit("train", file, "--run-dir", "run")
    assert done.code == 0, done.err
    run = RunDirectory(tmp_path / "run")
    text = card.write(run.path, None, "me/tiny")
    head, body = head_and_body(text)
    assert str(tmp_path) not in text
    rows = run.metrics("grpo")
    ends = [f"{rows[i]['rewards/xmlcount/mean']:.3g}" for i in (0, -1)]
    assert cells(body, "`xmlcount`")[0][3:] == ends
    before, after = (run.summary()[i]["metrics"]["reward"] for i in (0, 2))
    figures = cells(body, "`reward`")[0]
    assert [figures[1].split()[0], figures[2].split()[0]] == [f"{before:.3g}", f"{after:.3g}"]
    sample = json.loads((run.path / "3-eval" / "samples.jsonl").read_text().splitlines()[0])
    assert sample["completion"] in body
    assert head["model-index"][0]["results"][0]["metrics"][0]["args"]["n"] == 4
    assert metadata.data_name(Provenance.of(run.path).measured[-1]) == "questions.jsonl"
    assert yaml.safe_load(block(body, "yaml"))["model"]["path"] == "tiny"
