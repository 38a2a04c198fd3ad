"""`model.backend: unsloth`, in processes of its own: Unsloth wants to be imported first."""

import importlib.util
import json
import subprocess
import sys

import pytest
import yaml
from safetensors.torch import load_file

from rlkit.errors import RequestError
from rlkit.recipe.load import load

if importlib.util.find_spec("unsloth") is None:
    pytest.skip("needs unsloth (pip install 'rlkit[unsloth]')", allow_module_level=True)

SFT = {"data": {"completion": "answer"}}
GRPO = {"training": {"beta": 0.1}}


@pytest.fixture
def recipe(recipe_file):
    """SFT, then GRPO on the same adapter."""

    def write(**sections):
        training = {"max_steps": 3, "per_device_train_batch_size": 4, "learning_rate": 0.01, "logging_steps": 1}
        given = {
            "lora": {"r": 4},
            "training": training,
            "rewards": [{"length": {"target": 6, "unit": "characters"}}],
            "stages": [{"sft": SFT}, {"grpo": GRPO}],
        }
        return recipe_file(**{**given, **sections})

    return write


def steps(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_one_recipe_trains_alike_under_both_backends_and_is_exported(rlkit, recipe, tmp_path):
    file = recipe()
    for backend in ("peft", "unsloth"):
        done = rlkit("train", file, f"model.backend={backend}", "--run-dir", backend)
        assert done.code == 0, done.err
        assert ("backend unsloth" in done.err) == (backend == "unsloth")
        assert done.out.split() == [backend], "nothing else is data"
    mine, theirs = (steps(tmp_path / backend) for backend in ("peft", "unsloth"))
    assert len(mine) == 6
    for row, other in zip(mine, theirs, strict=True):
        for name in ("loss", "grad_norm", "kl", "reward", "mean_token_accuracy", "learning_rate"):
            assert other.get(name, 0.0) == pytest.approx(row.get(name, 0.0), rel=1e-3, abs=1e-5), (name, row["step"])
    for stage in ("1-sft", "2-grpo"):
        adapter, other = (load_file(tmp_path / b / stage / "adapter_model.safetensors") for b in ("peft", "unsloth"))
        assert adapter.keys() == other.keys()
        moved = sum(float(w.norm()) ** 2 for name, w in adapter.items() if "lora_B" in name) ** 0.5
        apart = sum(float((adapter[name] - other[name]).norm()) ** 2 for name in adapter) ** 0.5
        assert apart < 0.05 * moved, "Adam blows up what rounding leaves of a gradient that is nothing"
    done = rlkit("export", "unsloth", "--to", "merged", "-o", "merged")
    assert done.code == 0, done.err
    assert yaml.safe_load((tmp_path / "unsloth" / "recipe.yaml").read_text())["model"]["backend"] == "unsloth"


@pytest.mark.slow
def test_in_4_bits_with_checkpointed_activations(rlkit, recipe, tmp_path):
    pytest.importorskip("bitsandbytes")
    more = ["model.load_in_4bit=true", "training.gradient_checkpointing=true"]
    done = rlkit("train", recipe(), "model.backend=unsloth", *more, "--run-dir", "run")
    assert done.code == 0, done.err
    assert all(row["grad_norm"] > 0 for row in steps(tmp_path / "run"))


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"lora": None}, "unsloth trains adapters here"),
        ({"lora": {"r": 4, "use_dora": True}}, "lora.use_dora: unsloth does not take use_dora"),
        ({"lora": {"r": 4, "rank_pattern": {"q_proj": 2}}}, "lora.rank_pattern: unsloth"),
        (
            {"model": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}},
            "4 bits have bnb_4bit_quant_type: nf4",
        ),
        ({"model": {"attn_implementation": "eager"}}, "unsloth has attention of its own"),
    ],
)
def test_what_unsloth_does_not_take_is_refused_before_anything_is_loaded(recipe, tiny_model, sections, said):
    model = {"path": str(tiny_model), "backend": "unsloth", **sections.pop("model", {})}
    with pytest.raises(RequestError, match=said):
        load(str(recipe(model=model, **sections)))


def test_fast_inference_is_unsloths(recipe, tiny_model):
    with pytest.raises(RequestError, match="fast_inference: of the backend unsloth"):
        load(str(recipe(model={"path": str(tiny_model), "fast_inference": True})))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.optim=adamw_8bit", "unsloth makes it adamw_torch_fused here"),
        ("model.fast_inference=true", "needs a GPU"),
    ],
)
def test_what_it_would_change_unasked_is_refused_by_name(rlkit, recipe, tmp_path, override, said):
    import torch

    if torch.cuda.is_available():
        pytest.skip("tells of what Unsloth changes on a CPU")
    done = rlkit("train", recipe(), "model.backend=unsloth", override, "--run-dir", "run")
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "run").exists()


def test_trls_trainers_stay_trls_own():
    code = (
        "from rlkit.policy import unsloth\nunsloth.switch_on()\nimport inspect, trl, trl.trainer\n"
        "for name in unsloth.OURS.values():\n"
        "    for room in (trl, trl.trainer):\n"
        "        found = getattr(room, name)\n"
        "        assert '/trl/trainer/' in inspect.getsourcefile(found), (room, name)\n"
        "        assert not hasattr(found, '_unsloth_cpu') and 'nsloth' not in found.__name__\n"
        "        assert 'nsloth' not in inspect.getsourcefile(found.__init__)\n"
        "assert 'unsloth' not in inspect.getsource(trl.SFTTrainer.compute_loss)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_docs_say_which_fields_it_takes():
    from pathlib import Path

    from rlkit.recipe.lora import LoraSection
    from rlkit.recipe.unsloth import LORA

    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `lora.") and "warm_start" not in line]
    taken, left = ({name.removeprefix("lora.") for name in row.split("`")[1::2]} for row in rows)
    fields = [name for name in LoraSection.model_fields if name != "warm_start"]
    for name in fields:
        asked = {"alpha": "lora_alpha", "dropout": "lora_dropout"}.get(name, name)
        assert (name in taken) == (asked in LORA), name
        assert (name in left) == (asked not in LORA), name
