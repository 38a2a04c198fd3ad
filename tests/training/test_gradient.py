"""The gradient of `GradientTrainer` is TRL's own, whatever it leaves out, shares or splits."""

import copy

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from rlkit import policy
from rlkit.recipe.groups import GroupsSection
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection
from rlkit.training import gradient, shared_prefix
from rlkit.training.clock import Clock
from rlkit.training.gradient import GradientTrainer

GROUP = 4
LENGTHS = [3, 7, 1, 5, 4, 4, 2, 9, 6, 1, 3, 8]
LOSSES = ["grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"]


def config(folder, **fields):
    return GRPOConfig(
        str(folder),
        use_cpu=True,
        bf16=False,
        report_to="none",
        num_generations=GROUP,
        per_device_train_batch_size=len(LENGTHS),
        max_completion_length=16,
        **{"gradient_checkpointing": False, **fields},
    )


@pytest.fixture
def make(tiny_model, tmp_path):
    """Both trainers on one model: (TRL's, ours), each with its own copy."""

    def both(groups=None, lora=None, corrected=False, **fields):
        loaded = policy.load(ModelSection(path=str(tiny_model)), lora)
        if lora:
            with torch.no_grad():
                for name, parameter in loaded.model.named_parameters():
                    if "lora_B" in name:
                        parameter.normal_(std=0.05)
        rows = Dataset.from_list([{"prompt": "x"}] * len(LENGTHS))
        common = {"reward_funcs": [lambda completions, **_: [0.0] * len(completions)], "train_dataset": rows}
        made = []
        for kind, more in (
            (GRPOTrainer, {}),
            (GradientTrainer, {"groups": groups or GroupsSection(), "clock": Clock(), "corrected": corrected}),
        ):
            args = config(tmp_path / "run", **fields)
            model = copy.deepcopy(loaded.model)
            made.append(kind(model=model, processing_class=loaded.tokenizer, args=args, **common, **more))
            made[-1].current_gradient_accumulation_steps = args.gradient_accumulation_steps
            made[-1].model.train()
        return made

    return both


def batch(tokenizer, old=None, flat=(1,), sampled=None):
    """Three groups under prompts of 3, 11 and 6 tokens; the groups in `flat` have no advantage."""
    draw = torch.Generator().manual_seed(0)
    pad = tokenizer.pad_token_id
    prompts = [torch.randint(5, 300, (n,), generator=draw) for n in (3, 11, 6) for _ in range(1)]
    rows = [prompts[i // GROUP] for i in range(len(LENGTHS))]
    completions = [torch.randint(5, 300, (n,), generator=draw) for n in LENGTHS]
    width, height = max(LENGTHS), 11
    made = {
        "prompt_ids": torch.stack([torch.cat([torch.full((height - len(p),), pad), p]) for p in rows]),
        "prompt_mask": torch.stack([torch.tensor([0] * (height - len(p)) + [1] * len(p)) for p in rows]),
        "completion_ids": torch.stack([torch.cat([c, torch.full((width - len(c),), pad)]) for c in completions]),
        "completion_mask": torch.stack([torch.tensor([1] * n + [0] * (width - n)) for n in LENGTHS]),
        "advantages": torch.randn(len(LENGTHS), generator=draw),
        "num_items_in_batch": torch.tensor(sum(LENGTHS)),
    }
    for group in flat:
        made["advantages"][group * GROUP : (group + 1) * GROUP] = 0.0
    for name, spread in (("old_per_token_logps", old), ("sampling_per_token_logps", sampled)):
        if spread is not None:
            noise = spread * torch.randn(made["completion_ids"].shape, generator=draw)
            made[name] = (noise - 5.7) * made["completion_mask"]
    return made


def gradient_of(trainer, inputs):
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, dict(inputs))
    loss.backward()
    found = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
    assert any(g.abs().max() > 1e-6 for g in found.values())
    return loss.detach(), found


def same(trainers, inputs, within=1e-5):
    (loss, expected), (ours, found) = (gradient_of(trainer, inputs) for trainer in trainers)
    assert ours == pytest.approx(float(loss), abs=within)
    scale = max(float(g.abs().max()) for g in expected.values())
    for name, g in expected.items():
        apart = float((found[name] - g).abs().max()) if name in found else float(g.abs().max())
        assert apart <= within * max(scale, 1.0), name


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("old", [None, 0.3], ids=["on-policy", "off-policy"])
@pytest.mark.parametrize("budget", [None, 24])
def test_leaving_out_and_sharing_keep_the_gradient_of_each_loss(make, loss, old, budget):
    trainers = make(GroupsSection(tokens_per_microbatch=budget), loss_type=loss)
    same(trainers, batch(trainers[0].processing_class, old))
    assert trainers[1].unshared is None
    assert trainers[1]._padding == 0, "the shared prefix was used"


@pytest.mark.parametrize("fields", [{"gradient_checkpointing": True}, {"beta": 0.1}, {"temperature": 0.7}], ids=str)
@pytest.mark.parametrize("lora", [None, LoraSection(r=4)], ids=["full", "lora"])
def test_the_gradient_holds_under_lora_checkpointing_kl_and_temperature(make, lora, fields):
    trainers = make(GroupsSection(tokens_per_microbatch=40), lora, **fields)
    inputs = batch(trainers[0].processing_class)
    if "beta" in fields:
        inputs["ref_per_token_logps"] = -5.5 * inputs["completion_mask"]
    same(trainers, inputs)


@pytest.mark.skipif(not gradient.FUSED, reason="TRL before 1.15 has no fused head")
def test_the_gradient_holds_where_logits_are_not_kept(make, monkeypatch):
    monkeypatch.setattr(gradient, "SMALL", 0)
    trainers = make(temperature=0.7)
    same(trainers, batch(trainers[0].processing_class))


def test_a_model_that_computes_something_else_with_shared_prompts_does_not_share_them(make, monkeypatch, caplog):
    trainers = make()
    seen = shared_prefix.Layout.make

    def wrong(*args):
        layout = seen(*args)
        layout.mask.fill_(True)  # completions see what comes after
        return layout

    monkeypatch.setattr(shared_prefix.Layout, "make", wrong)
    same(trainers, batch(trainers[0].processing_class))
    assert "differ" in trainers[1].unshared
    assert "not shared" in caplog.text


@pytest.mark.parametrize("switched_off", [{"shared_prefix": False}, {"leave_out_flat": False}], ids=str)
@pytest.mark.parametrize("budget", [None, 24])
def test_each_saving_can_be_switched_off(make, switched_off, budget):
    trainers = make(GroupsSection(tokens_per_microbatch=budget, **switched_off))
    same(trainers, batch(trainers[0].processing_class))


def test_a_step_without_any_variance_has_gradient_zero(make):
    _, ours = make()
    inputs = batch(ours.processing_class, flat=(0, 1, 2))
    ours.compute_loss(ours.model, inputs).backward()
    assert all(p.grad is None or not p.grad.any() for p in ours.model.parameters())


def test_the_order_of_the_rows_does_not_matter(make):
    _, ours = make(GroupsSection(tokens_per_microbatch=30))
    inputs = batch(ours.processing_class)
    order = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(1))
    other = {name: value[order] if value.dim() else value for name, value in inputs.items()}
    (_, one), (_, two) = gradient_of(ours, inputs), gradient_of(ours, other)
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5


@pytest.mark.parametrize("loss", ["dapo", "grpo", "vespo"])
@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
def test_importance_sampling_weighs_as_trl_does_for_vllm(make, mode, loss):
    bounds = {"vllm_importance_sampling_clip_min": 0.8, "vllm_importance_sampling_clip_max": 1.3}
    trainers = make(corrected=True, loss_type=loss, vllm_importance_sampling_mode=mode, **bounds)
    theirs, ours = trainers
    inputs = batch(theirs.processing_class, old=0.0, sampled=0.2)
    # What TRL does with `use_vllm`, whose ratio it makes when it generates.
    with torch.no_grad():
        logps = theirs._get_per_token_logps_and_entropies(
            theirs.model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
            inputs["completion_ids"].shape[1],
        )[0]
    inputs["old_per_token_logps"] = logps
    inputs["sampling_per_token_logps"] = logps + 0.2 * torch.randn(
        logps.shape, generator=torch.Generator().manual_seed(3)
    )
    gap = (logps - inputs["sampling_per_token_logps"]) * inputs["completion_mask"]
    ratio = (gap.sum(-1, keepdim=True) if "sequence" in mode else gap).exp()
    outside = (ratio < 0.8) | (ratio > 1.3)
    inputs["importance_sampling_ratio"] = (
        ratio.clamp(0.8, 1.3) if "truncate" in mode else ratio.masked_fill(outside, 0.0)
    )
    theirs.use_vllm = theirs.vllm_importance_sampling_correction = True
    _, expected = gradient_of(theirs, inputs)
    for name in ("importance_sampling_ratio", "old_per_token_logps"):
        inputs.pop(name)
    _, found = gradient_of(ours, inputs)
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < 1e-5
