"""A recipe that was found to work: its rows prepared, its rewards configured, its models there. Nothing is written."""

import os
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from rlkit import data, policy, scratch, sources
from rlkit.data import Prepared
from rlkit.errors import RequestError
from rlkit.recipe import checks, optimizer
from rlkit.recipe.batch import generation_batch
from rlkit.recipe.model import ModelSection
from rlkit.recipe.recipe import Recipe, Stage
from rlkit.weighting import Term


@dataclass
class Plan:
    """The stages of a recipe and, by stage index, what each needs."""

    recipe: Recipe
    stages: list[Stage]
    rewards: dict[int, list[Term]] = field(default_factory=dict)
    rows: dict[int, Prepared] = field(default_factory=dict)
    tokenizers: dict[int, Any] = field(default_factory=dict)
    read: dict[int, str] = field(default_factory=dict)
    """What each stage's rows were read from, to tell which stages share them."""

    @classmethod
    def make(cls, recipe: Recipe, stages: list[Stage] | None = None) -> "Plan":
        """Load and prepare the data of every stage, and see that the models exist.

        Args:
            recipe: From `rlkit.recipe.load`.
            stages: Other stages than the recipe's own.

        Raises:
            RequestError: With everything that is wrong with data and models at once.
        """
        plan = cls(recipe, stages or recipe.resolved())
        if any((stage.model or recipe.model).backend == "unsloth" and stage.kind != "eval" for stage in plan.stages):
            policy.unsloth.switch_on()  # before anything imports transformers
        problems: list[str] = []
        loaded: dict[str, Any] = {}
        for stage in plan.stages:
            plan.rewards[stage.index] = checks.stack(stage.rewards, recipe._folder) if stage.kind != "sft" else []
            try:
                plan._prepare(stage, loaded)
            except RequestError as error:
                said = str(error)
                problems.append(said if said.startswith("stage ") else f"stage {stage.name!r}: {said}")
        if problems:
            raise RequestError("\n".join(dict.fromkeys(problems)))
        return plan

    def _prepare(self, stage: Stage, loaded: dict[str, Any]) -> None:
        import torch

        _can_run(stage, (stage.model or self.recipe.model).load_in_4bit)
        section = stage.data
        source = section.model_dump_json(include={"path", "name", "split", "revision", "args"})
        if source not in loaded:
            loaded[source] = sources.load(section, self.recipe._folder)
        rows, self.read[stage.index] = loaded[source], source
        needed = [column for term in self.rewards[stage.index] for column in term.reward.columns]
        missing = data.missing(section, rows.column_names, stage.kind, needed)
        if missing:
            raise RequestError("\n".join(f"stage {stage.name!r}: {said}" for said in missing))
        model = stage.model
        if model is not None and model.from_scratch:
            tokenizer = scratch.make_tokenizer(model.from_scratch.tokenizer, data.texts(rows, section))
            with torch.device("meta"):
                scratch.make_model(model.from_scratch, tokenizer, self.recipe.seed)
        elif model is not None:
            policy.exists(model.path or "", model.revision)
            tokenizer = policy.load_tokenizer(model)
            policy.rehearse(model, stage.lora)
            _has_gpu_for(model)
        else:
            before = [index for index in self.tokenizers if index < stage.index]
            if not before:
                return  # the stage before failed, and that is said already
            tokenizer = self.tokenizers[max(before)]
            self._rehearse_inherited(stage, tokenizer)
        self.tokenizers[stage.index] = tokenizer
        make = data.demonstrations if stage.kind == "sft" else data.prompts
        self.rows[stage.index] = make(rows, section, tokenizer)
        if stage.kind == "grpo":
            _enough_prompts(stage, len(self.rows[stage.index].dataset))

    def _rehearse_inherited(self, stage: Stage, tokenizer: Any) -> None:
        """See that a new adapter fits the model that earlier stages will have trained."""
        earlier = [s for s in self.stages if s.index < stage.index]
        base = next(s.model for s in reversed(earlier) if s.model is not None)
        if stage.lora is None or (stage.lora.warm_start == "continue" and any(s.lora for s in earlier)):
            return
        import torch

        if not base.from_scratch:
            policy.rehearse(base, stage.lora)
            return
        with torch.device("meta"):
            model = scratch.make_model(base.from_scratch, tokenizer, self.recipe.seed)
            policy.add_adapter(policy.Policy(model, tokenizer), stage.lora)

    def measured_on_training_rows(self) -> list[Stage]:
        """Eval stages whose rows are those of a training stage."""
        trained = {self.read[stage.index] for stage in self.stages if stage.kind != "eval"}
        return [stage for stage in self.stages if stage.kind == "eval" and self.read[stage.index] in trained]


def _enough_prompts(stage: Stage, prompts: int) -> None:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    need = generation_batch(stage.training, processes) // stage.generation.num_generations
    if prompts < need:
        raise RequestError(
            f"stage {stage.name!r}: {need} prompts are generated for at a time, and the data has {prompts}: "
            f"lower training.per_device_train_batch_size or gradient_accumulation_steps, or raise num_generations"
        )


def _has_gpu_for(model: ModelSection) -> None:
    import torch

    if model.fast_inference and not torch.cuda.is_available():
        raise RequestError("model.fast_inference needs a GPU, and there is none: set model.fast_inference=false")


def _can_run(stage: Stage, in_4bit: bool) -> None:
    """Raise where this machine is known not to run a stage."""
    import torch

    version, cuda = metadata.version("trl"), torch.cuda.is_available()
    if wrong := optimizer.problem(stage.training.get("optim"), cuda):
        raise RequestError(f"stage {stage.name!r}: training.optim: {wrong}")
    if stage.kind != "sft" and stage.generation.engine == "vllm":
        from rlkit.engines import vllm_arguments

        vllm_arguments.check(stage.generation.vllm)
        vllm_arguments.refuse(in_4bit, cuda)
    if stage.kind == "grpo" and version.startswith("1.15.") and not cuda:
        raise RequestError(
            f"stage {stage.name!r}: TRL {version} cannot train GRPO on a CPU (its fused head needs Triton): "
            f"pip install trl==1.16.0"
        )
