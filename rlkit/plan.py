"""A recipe that was found to work: its rows prepared, its rewards configured, its models there. Nothing is written."""

import os
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from rlkit import data, leaks, measurement, names, policy, scratch, sources
from rlkit.data import Prepared
from rlkit.errors import RequestError
from rlkit.recipe import checks, optimizer
from rlkit.recipe.batch import generation_batch
from rlkit.recipe.data import DataSection
from rlkit.recipe.model import ModelSection
from rlkit.recipe.recipe import Recipe, Stage
from rlkit.tasks import Task
from rlkit.weighting import Term


@dataclass
class Plan:
    """The stages of a recipe and, by stage index, what each needs."""

    recipe: Recipe
    stages: list[Stage]
    rewards: dict[int, list[Term]] = field(default_factory=dict)
    rows: dict[int, Prepared] = field(default_factory=dict)
    tokenizers: dict[int, Any] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    """The task of each stage that has one, fitted to the first rows that it was seen with."""
    held_out: dict[int, Prepared] = field(default_factory=dict)
    """What the best checkpoint of a task's classic pipeline is chosen on."""
    harness: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Of each stage that measures tasks of lm-evaluation-harness: the tasks."""
    selections: dict[int, tuple[Prepared, list[Term]]] = field(default_factory=dict)
    """Of each stage that selects its checkpoint: the rows that it is measured on, and by which rewards."""

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
        if stage.harness:
            from rlkit import harness

            self.harness[stage.index] = harness.load(stage.harness, self.recipe._folder)
            if stage.model is not None and not stage.model.from_scratch:
                policy.exists(stage.model.path or "", stage.model.revision)
            return
        section = stage.data
        rows = self._read(section, loaded)
        classic = stage.kind == "task" or self.classic(stage)
        if classic and stage.task:
            found = data.examples(rows, section, stage.task)
            task = self._fitted(stage, found)
        if not classic:
            rows, section = self._as_text(stage, rows, self.rewards[stage.index])
        model = stage.model
        if model is not None and model.from_scratch:
            texts = (
                (text for row in found.dataset for text in task.texts(row)) if classic else data.texts(rows, section)
            )
            tokenizer = scratch.make_tokenizer(model.from_scratch.tokenizer, texts)
            with torch.device("meta"):
                kind, config = (task.head, task.config()) if classic else ("causal-lm", {})
                scratch.make_model(model.from_scratch, tokenizer, self.recipe.seed, kind, **config)
        elif model is not None:
            if not model.path:
                raise RequestError("there is no model to measure: set model.path=... (a hub id or a folder)")
            policy.exists(model.path, model.revision)
            tokenizer = policy.load_tokenizer(model)
            if not classic:
                policy.rehearse(model, stage.lora)
            _has_gpu_for(model)
        else:
            before = [index for index in self.tokenizers if index < stage.index]
            if not before:
                return  # the stage before failed, and that is said already
            tokenizer = self.tokenizers[max(before)]
            if not classic:
                self._rehearse_inherited(stage, tokenizer)
        self.tokenizers[stage.index] = tokenizer
        if classic:
            self.rows[stage.index] = found
            if stage.kind == "task":
                self._hold_out(stage, task, loaded)
            return
        make = data.demonstrations if stage.kind == "sft" else data.prompts
        self.rows[stage.index] = make(rows, section, tokenizer)
        if stage.kind == "grpo":
            _enough_prompts(stage, len(self.rows[stage.index].dataset))
        if stage.measure:
            self._select(stage, stage.measure, loaded, tokenizer)

    def _as_text(self, stage: Stage, rows: Any, terms: list[Term]) -> tuple[Any, DataSection]:
        """The rows of a stage as they are read, and how; where it has a task, its examples."""
        section = stage.data
        if stage.task:
            found = data.examples(rows, section, stage.task)
            task = self.tasks.get(stage.index) or self._fitted(stage, found)
            rows, section = data.as_text(found, task), section.model_copy(update=data.AS_TEXT)
        needed = [column for term in terms for column in term.reward.columns]
        if missing := data.missing(section, rows.column_names, stage.kind, needed):
            raise RequestError("\n".join(f"stage {stage.name!r}: {said}" for said in missing))
        return rows, section

    def _select(self, stage: Stage, measure: Stage, loaded: dict[str, Any], tokenizer: Any) -> None:
        """Prepare what a training stage's checkpoints are measured on.

        Raises:
            RequestError: What they are to be selected by is no figure of it.
        """
        terms = checks.stack(measure.rewards, self.recipe._folder)
        rows, section = self._as_text(measure, self._read(measure.data, loaded), terms)
        prepared = data.prompts(rows, section, tokenizer)
        self.selections[stage.index] = prepared, terms
        known = measurement.offered(measure, terms)
        if stage.task:
            example = prepared.dataset[0]
            known |= {*stage.task.measure([stage.task.unread(example)], [example])}
        assert stage.select is not None
        if stage.select.metric not in known:
            said = names.unknown("figure", stage.select.metric, sorted(known))
            raise RequestError(f"stage {stage.name!r}: select.metric: {said}")

    def classic(self, stage: Stage) -> bool:
        """Whether an eval stage measures the classic pipeline of its task: a model with the task's own head."""
        if stage.kind != "eval" or stage.task is None:
            return False
        before = [each for each in self.stages if each.index < stage.index and each.kind != "eval"]
        if stage.model is None and before:
            return before[-1].kind == "task"
        model = stage.model or self.recipe.model
        return model.from_scratch is None and policy.holds(model.path or "", stage.task.head, model.revision)

    def _fitted(self, stage: Stage, found: Prepared) -> Task:
        """The stage's task with what it learned of the rows that a stage before it had, else of its own."""
        assert stage.task is not None
        before = [task for index, task in self.tasks.items() if index < stage.index and task.name == stage.task.name]
        learned = before[0].learned() if before else stage.task.fit(found.dataset).learned()
        self.tasks[stage.index] = stage.task.model_copy(update=learned)
        return self.tasks[stage.index]

    def _hold_out(self, stage: Stage, task: Task, loaded: dict[str, Any]) -> None:
        """The rows of `eval.data`, or a share of the stage's own."""
        if isinstance(stage.held_out, float):
            rows, dataset = self.rows[stage.index], self.rows[stage.index].dataset
            if len(dataset) < 2:
                raise RequestError(f"stage {stage.name!r}: one row cannot be split: set eval.data")
            parts = dataset.train_test_split(
                test_size=max(1, int(stage.held_out * len(dataset))), seed=self.recipe.seed
            )
            self.rows[stage.index] = Prepared(parts["train"], rows.left_out)
            self.held_out[stage.index] = Prepared(parts["test"])
            return
        self.held_out[stage.index] = data.examples(self._read(stage.held_out, loaded), stage.held_out, task)

    def _read(self, section: DataSection, loaded: dict[str, Any]) -> Any:
        """The rows of a section, read once however many stages take them."""
        source = section.model_dump_json(include={"path", "name", "split", "revision", "args"})
        if source not in loaded:
            loaded[source] = sources.load(section, self.recipe._folder)
        return loaded[source]

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

    def measured_on_training_rows(self) -> list[leaks.Leak]:
        """Where prompts of an eval stage stand in the data of a training stage; of giant data a part is looked at."""
        rows = [(stage, self.rows[stage.index].dataset) for stage in self.stages if stage.index in self.rows]
        selected = [each for each in self.stages if each.measure]
        rows += [(stage.measure, self.selections[stage.index][0].dataset) for stage in selected if stage.measure]
        return [found for found in leaks.find(rows, prepared=True, most=leaks.MOST) if found]


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
