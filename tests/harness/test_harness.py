import json
import logging
import math
import os
import random
import re
import subprocess
import sys

import pytest
import yaml
from pydantic import ValidationError

pytest.importorskip("lm_eval", reason="needs lm-eval (pip install 'rlkit[eval]')")

import torch
import transformers
from conftest import SHARED
from tqdm import tqdm

from rlkit import harness, policy, tables
from rlkit.errors import MissingExtraError, RequestError, RunError
from rlkit.export import merged
from rlkit.harness import figures, guard
from rlkit.progress import Progress
from rlkit.recipe.harness import HarnessSection
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection

WRITTEN = {"until": ["\n\n"], "max_gen_toks": 8}


@pytest.fixture
def task(tmp_path):
    """Write a task, its rows beside it, into a folder of tasks."""
    folder = tmp_path / "tasks"
    folder.mkdir()

    def write(name, rows, **config):
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        made = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(file)}},
            "test_split": "test",
            "metadata": {"version": 2.0},
            **config,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(made))
        return folder

    return write


def metric(*names):
    return [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in names]


def sums(task, n=10, name="sums", **config):
    rows = [
        {"q": f"How many are {a} and {a + 1}?", "choices": [str(2 * a + 1), "nine apples", "7"], "label": a % 3}
        for a in range(n)
    ]
    fields = {"doc_to_text": "{{q}}", "doc_to_choice": "{{choices}}", "doc_to_target": "label"}
    made = {"output_type": "multiple_choice", "metric_list": metric("acc", "acc_norm"), **fields, **config}
    return rows, task(name, rows, **made)


def section(folder, *tasks, **fields):
    return HarnessSection(tasks=list(tasks), include_path=str(folder), apply_chat_template=False, **fields)


def test_choices_are_scored_as_torch_scores_them(task, tiny_model):
    rows, folder = sums(task)
    measured = harness.measure(tiny_model, section(folder, "sums", batch_size=4))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64)
    hits = {"acc": [], "acc_norm": []}
    for row, sample in zip(rows, measured.samples, strict=True):
        expected = []
        for choice in row["choices"]:
            start = len(tokenizer(row["q"])["input_ids"])
            ids = torch.tensor(tokenizer(f"{row['q']} {choice}")["input_ids"])
            with torch.no_grad():
                logs = model(ids[None]).logits[0, :-1].log_softmax(-1)
            expected.append(logs.gather(-1, ids[1:, None])[start - 1 :].sum().item())
        assert sample["loglikelihoods"] == pytest.approx(expected, abs=1e-4)
        assert sample["choices"] == [f" {choice}" for choice in row["choices"]]
        normed = [score / len(choice) for score, choice in zip(expected, row["choices"], strict=True)]
        for name, scores in (("acc", expected), ("acc_norm", normed)):
            hits[name].append(float(scores.index(max(scores)) == row["label"]))
            assert sample["metrics"][name] == hits[name][-1]
        assert sample["correct"] == hits["acc"][-1]
        assert sample["answer"] == f" {row['choices'][row['label']]}"
        assert sample["completion"] == sample["choices"][expected.index(max(expected))]
        assert sample["prompt"] == row["q"]
    assert 0 < sum(hits["acc"]) < len(rows), "the test tells nothing where all are alike"
    for name, values in hits.items():
        share = sum(values) / len(values)
        error = math.sqrt(share * (1 - share) / (len(values) - 1))
        assert measured.metrics[f"sums/{name}"] == pytest.approx(share)
        assert measured.metrics[f"sums/{name}_low"] == pytest.approx(max(0, share - 1.959964 * error), abs=1e-6)
        assert measured.metrics[f"sums/{name}_high"] == pytest.approx(min(1, share + 1.959964 * error), abs=1e-6)
    assert measured.metrics["n"] == 10
    about = measured.metrics["harness"]["tasks"]["sums"]
    assert about == {
        "version": 2.0,
        "n": 10,
        "num_fewshot": 0,
        "higher_is_better": {"acc": True, "acc_norm": True},
    }
    assert "sums/acc_norm" in tables.measured(measured.metrics)
    json.dumps([measured.metrics, measured.samples], allow_nan=False)


def problems(shared):
    """Questions of GSM8K where it is there, else made ones."""
    if shared.is_file():
        return [json.loads(line)["question"] for line in shared.read_text().splitlines()[:6]]
    return [f"How many apples are {a} and {a + 1}?" for a in range(6)]


def test_completions_are_the_greedy_ones_and_judged_by_every_filter(task, tiny_model):
    questions = problems(SHARED / "gsm8k" / "test_first1000.jsonl")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model)
    greedy = []
    for question in questions:
        ids = tokenizer(question, return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=8, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        greedy.append(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True).split("\n\n")[0])
    assert any(greedy)
    rows = [{"q": q, "a": said if i % 2 else "no"} for i, (q, said) in enumerate(zip(questions, greedy, strict=True))]
    plain, first = ({"name": name, "filter": made} for name, made in FILTERS.items())
    folder = task(
        "words",
        rows,
        output_type="generate_until",
        doc_to_text="{{q}}",
        doc_to_target="{{a}}",
        generation_kwargs=WRITTEN,
        metric_list=metric("exact_match"),
        filter_list=[plain, first],
    )
    measured = harness.measure(tiny_model, section(folder, "words", batch_size=3))
    assert [sample["completion"] for sample in measured.samples] == greedy
    assert [sample["answer"] for sample in measured.samples] == [row["a"] for row in rows]
    assert measured.metrics["words/exact_match/whole"] == 0.5
    assert len(measured.samples) == 6, "one row a document, whatever the filters"
    for sample, said in zip(measured.samples, greedy, strict=True):
        assert sample["read"] == {"whole": said, "letter": said[0]}
        assert sample["metrics"]["exact_match/letter"] == float(sample["answer"] == said[0])
    assert [sample["correct"] for sample in measured.samples] == [False, True] * 3


FILTERS = {
    "whole": [{"function": "take_first"}],
    "letter": [{"function": "regex", "regex_pattern": "(?s)^(.)"}, {"function": "take_first"}],
}


@pytest.fixture
def adapter(tmp_path, tiny_model):
    """An adapter that changes much, on a base that is kept in 16 bits."""
    base = tmp_path / "base"
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    model.save_pretrained(base)
    transformers.AutoTokenizer.from_pretrained(tiny_model).save_pretrained(base)
    made = policy.load(ModelSection(path=str(base)), LoraSection(r=4))
    torch.manual_seed(3)
    for name, weight in made.model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.3)
    made.model.save_pretrained(tmp_path / "adapter")
    made.tokenizer.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_is_measured_as_its_merged_export(task, tmp_path, adapter):
    _rows, folder = sums(task)
    asked = section(folder, "sums")
    merged.write(str(adapter), tmp_path / "merged", merged.stored_dtype(str(adapter)), Progress(quiet=True))
    tasks = harness.load(asked)
    found, shipped, base = (
        harness.measure(tmp_path / name, asked, tasks=tasks) for name in ("adapter", "merged", "base")
    )
    assert found == shipped
    ours, others = (torch.tensor([sample["loglikelihoods"] for sample in of.samples]) for of in (found, base))
    assert (ours - others).abs().max() > 0.5, "the test tells nothing where the adapter changes nothing"


def test_a_policy_that_is_loaded_stays_as_it_was(task, adapter):
    _rows, folder = sums(task)
    loaded = policy.load(ModelSection(path=str(adapter), dtype="float32"))
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    loaded.model.train()
    measured = harness.measure(loaded, section(folder, "sums"))
    assert loaded.model.training and hasattr(loaded.model, "merge_and_unload")
    after = loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
    ours = harness.measure(ModelSection(path=str(adapter), dtype="float32"), section(folder, "sums"))
    for one, other in zip(measured.samples, ours.samples, strict=True):  # merged in 32 bits, and in 16
        assert one["loglikelihoods"] == pytest.approx(other["loglikelihoods"], abs=0.5)


def test_groups_stand_first_with_their_aggregate(task, tiny_model):
    sums(task, n=9)
    _rows, folder = sums(task, n=3, name="more")
    group = {"group": "both", "task": ["sums", "more"], "metadata": {"version": 1.0}}
    group["aggregate_metric_list"] = [{"metric": "acc", "weight_by_size": True}]
    (folder / "both.yaml").write_text(yaml.safe_dump(group))
    measured = harness.measure(tiny_model, section(folder, "both"))
    figures = measured.metrics
    hits = [sample["metrics"]["acc"] for sample in measured.samples]
    assert list(figures)[:2] == ["n", "both/n"]
    assert figures["n"] == figures["both/n"] == 12
    assert (figures["sums/n"], figures["more/n"]) == (9, 3)
    assert figures["both/acc"] == pytest.approx(sum(hits) / 12, abs=1e-6)
    assert 0 <= figures["both/acc_low"] <= figures["both/acc"] <= figures["both/acc_high"] <= 1
    assert [sample["group"] for sample in measured.samples] == list(range(12))
    assert figures["harness"]["tasks"]["both"]["version"] == "1.0"


def test_texts_have_figures_without_an_interval(task, tiny_model):
    rows = [{"text": f"There are {a} apples."} for a in range(4)]
    folder = task("texts", rows, output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="{{text}}")
    measured = harness.measure(tiny_model, section(folder, "texts"))
    total = sum(sample["loglikelihoods"][0] for sample in measured.samples)
    size = sum(len(row["text"]) for row in rows)
    assert measured.metrics["texts/byte_perplexity"] == pytest.approx(math.exp(-total / size), rel=1e-5)
    assert "texts/byte_perplexity_low" not in measured.metrics
    assert measured.metrics["harness"]["tasks"]["texts"]["higher_is_better"]["byte_perplexity"] is False
    assert "correct" not in measured.samples[0]


def test_limit_examples_and_template_are_as_asked(task, tiny_model):
    _rows, folder = sums(task, fewshot_split="test")
    asked = {"tasks": ["sums"], "include_path": str(folder), "limit": 2, "num_fewshot": 2}
    plain, other, chat = (
        harness.measure(tiny_model, HarnessSection(**asked, **more))
        for more in ({"apply_chat_template": False}, {"apply_chat_template": False, "seed": 5}, {})
    )
    assert [sample["doc_id"] for sample in plain.samples] == [0, 1]
    assert all(sample["prompt"].count("How many are") == 3 for sample in plain.samples)
    assert plain.metrics["harness"]["tasks"]["sums"]["num_fewshot"] == 2
    assert [s["prompt"] for s in plain.samples] != [s["prompt"] for s in other.samples], "the seed draws the examples"
    assert all(sample["prompt"].count("<|user|>") == 3 for sample in chat.samples)
    assert not any("<|user|>" in sample["prompt"] for sample in plain.samples)


def test_the_process_is_left_as_it_was(task, tiny_model, capsys, monkeypatch):
    _rows, folder = sums(task, n=4)
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    random.seed(7)
    torch.manual_seed(7)
    shown, logger = tqdm.__init__, logging.getLogger("lm_eval")
    before = dict(os.environ), random.getstate(), logger.level, logger.propagate, logger.handlers[:]
    state = torch.get_rng_state()
    measured = harness.measure(tiny_model, section(folder, "sums"), Progress())
    assert before == (dict(os.environ), random.getstate(), logger.level, logger.propagate, logger.handlers)
    assert torch.equal(state, torch.get_rng_state()) and tqdm.__init__ is shown
    told = capsys.readouterr()
    assert told.out == ""
    assert re.search(r"lm_eval [\d.]+: sums \(1 task\)", told.err)
    assert "choices scored 12/12" in told.err
    assert "%|" not in told.err and "pretrained" not in told.err
    assert len(measured.samples) == 4


def test_what_lm_eval_cuts_off_is_told(task, tiny_model, capsys):
    _rows, folder = sums(task, n=2, doc_to_text="{{q * 300}}")
    harness.measure(tiny_model, section(folder, "sums"), Progress())
    assert re.search(r"lm_eval: .*exceeds model's maximum length \(512\).*such warnings", capsys.readouterr().err)


def test_a_task_that_the_model_has_no_room_for_fails_in_words(task, tiny_model):
    made = {"output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "1"}
    folder = task("words", [{"q": "How many?"}], **made, generation_kwargs=WRITTEN)
    with pytest.raises(RunError, match=r"words: .*\(600\) must be less than model's maximum sequence length \(512\)"):
        harness.measure(tiny_model, section(folder, "words", gen_kwargs={"max_gen_toks": 600}))


@pytest.mark.parametrize("how", ["flag", "metric", "group"])
def test_code_of_the_model_is_not_run(task, how, tmp_path):
    unsafe = {"metric_list": [{"metric": "code_eval"}]} if how == "metric" else {"unsafe_code": True}
    _rows, folder = sums(task, n=1, **unsafe)
    (folder / "code.yaml").write_text(yaml.safe_dump({"group": "code", "task": ["sums"]}))
    with pytest.raises(RequestError, match=r"harness.tasks sums: .*rlkit eval --suite humaneval"):
        harness.measure(tmp_path / "no-model", section(folder, "code" if how == "group" else "sums"))


@pytest.fixture(scope="module")
def builtin():
    """lm_eval's own index of tasks, read once: that takes seconds."""
    from lm_eval.tasks import TaskManager

    with guard.alone(Progress(quiet=True)):
        return TaskManager()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("arc_esy", "unknown task 'arc_esy'; did you mean 'arc_easy'"),
        ("humaneval_instruct", "--suite humaneval"),
        ("mbpp_plus", "--suite humaneval"),
    ],
)
def test_names_of_lm_eval_are_looked_at_before_a_model(builtin, monkeypatch, tmp_path, name, said):
    monkeypatch.setattr("lm_eval.tasks.TaskManager", lambda **_: builtin)
    with pytest.raises(RequestError, match=said):
        harness.measure(tmp_path / "no-model", HarnessSection(tasks=["gsm8k", name]))


def test_requests_that_cannot_be_met(task, tmp_path, tiny_model, monkeypatch):
    _rows, folder = sums(task, n=1)
    with pytest.raises(RequestError, match=r"include_path 'nowhere': there is no such folder"):
        harness.load(HarnessSection(tasks=["sums"], include_path="nowhere"), tmp_path)
    (tmp_path / "sums.jsonl").unlink()
    with pytest.raises(RequestError, match=r"harness.tasks sums: they cannot be loaded: .*sums.jsonl"):
        harness.load(HarnessSection(tasks=["sums"], include_path="tasks"), tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"lm-eval, which is not installed: pip install 'rlkit\[eval\]'"):
        harness.measure(tiny_model, section(folder, "sums"))


def test_the_example_of_the_section_works(tmp_path, tiny_model, monkeypatch):
    blocks = re.findall(r"\n\n((?:        .*\n)+)", HarnessSection.__doc__)
    written, recipe = (yaml.safe_load(block.replace("\n        ", "\n").removeprefix("        ")) for block in blocks)
    (tmp_path / "data").mkdir()
    (tmp_path / "benchmarks").mkdir()
    rows = [{"country": "France", "capital": "Paris", "choices": ["Lyon", "Paris"]}]
    (tmp_path / "data" / "capitals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "benchmarks" / "capitals.yaml").write_text(yaml.safe_dump(written))
    monkeypatch.chdir(tmp_path)
    asked = HarnessSection.model_validate({**recipe["harness"], "tasks": ["capitals"]})
    assert recipe["harness"]["tasks"] == ["capitals", "arc_easy"]
    measured = harness.measure(tiny_model, asked, folder=tmp_path)
    assert measured.samples[0]["answer"].strip() == "Paris" and "capitals/acc" in measured.metrics


@pytest.mark.parametrize("fields", [{"tasks": []}, {"limit": 0}, {"limit": 1.5}, {"batch_size": 0}, {"task": "x"}])
def test_the_section_refuses(fields):
    with pytest.raises(ValidationError):
        HarnessSection.model_validate({"tasks": ["sums"], **fields})


def test_the_section_is_light_to_import():
    code = "import sys, rlkit.recipe.harness; assert not {'torch', 'lm_eval', 'datasets'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_json_cannot_hold():
    import numpy

    given = {"a": (numpy.float32(0.5), math.nan, -math.inf), 3: numpy.array([1, 2]), "b": {numpy.bool_(True)}}
    assert figures.plain(given) == {"a": [0.5, None, None], "3": [1, 2], "b": [True]}
