"""A task's classic pipeline, by transformers' Trainer (over accelerate: one process or several)."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import SequentialSampler
from transformers import EarlyStoppingCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments

from rlkit.measurement import rounded
from rlkit.recipe.recipe import Stage
from rlkit.tasks import Example, Task
from rlkit.tasks.figures import figures
from rlkit.tasks.language import Language
from rlkit.training.arguments import arguments, build
from rlkit.training.callback import RunCallback, go


def config(stage: Stage, seed: int, output: Path) -> Seq2SeqTrainingArguments:
    """The Trainer's configuration of the stage.

    The model is measured ten times a run, and the best checkpoint by the task's metric is kept, unless the recipe says
    otherwise.

    Raises:
        RequestError: transformers refuses a field.
    """
    task = stage.task
    assert task is not None
    every = {"eval_strategy": "steps", "eval_steps": 0.1, "load_best_model_at_end": True}
    best = {"metric_for_best_model": f"eval_{task.metric}", "greater_is_better": not task.falls}
    fields = {**every, **best, **arguments(stage, seed, output)}
    if fields["eval_strategy"] == "epoch" and "save_strategy" not in stage.training:
        fields["save_strategy"] = "epoch"
    elif "eval_steps" in stage.training and "save_steps" not in stage.training:
        fields["save_steps"] = fields["eval_steps"]
    fixed = {"predict_with_generate": task.head == "seq2seq", "remove_unused_columns": not task.summed}
    return build(Seq2SeqTrainingArguments, {**fields, **fixed}, stage)


STATES = ["encoder_last_hidden_state", "past_key_values", "hidden_states", "attentions"]
"""Outputs that no task reads; they would be kept for every row."""


class Measured(NamedTuple):
    """What a model came to over held-out rows."""

    figures: dict[str, Any]
    predictions: list[Any]
    rows: list[Example]
    """What the predictions are of, one each."""


class TaskTrainer(Seq2SeqTrainer):
    """Trainer that measures by a task's own metric.

    Args:
        task: The task, fitted.
        examples: What the model is measured on: a dataset with the task's roles.
        kwargs: Seq2SeqTrainer's arguments.
    """

    def __init__(self, task: Task, examples: Any, **kwargs: Any):
        self.task, self.examples = task, examples
        self._features = task.features(examples, kwargs["processing_class"], training=False)
        super().__init__(**kwargs, eval_dataset=self._features)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        """In order: predictions are matched with their rows by place, and batches by length would shuffle them."""
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Trainer's: each row once. Seq2SeqTrainer's would keep those that fill up the processes' last batches."""
        self.gather_function = self.accelerator.gather_for_metrics
        return super().evaluation_loop(*args, **kwargs)

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
        """The task's figures over the examples, logged."""
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.measured().figures.items()}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def measured(self) -> Measured:
        """The figures (with the loss, where there is one), a prediction for each row, and the rows."""
        output = self.predict(self._features, metric_key_prefix="at", ignore_keys=STATES)
        predictions = self.task.predict(output.predictions, self._features, self.examples, self.processing_class)
        loss = {"loss": output.metrics["at_loss"]} if "at_loss" in output.metrics else {}
        rows = list(self.examples)
        return Measured({**loss, **self.task.measure(predictions, rows)}, predictions, rows)

    def baseline(self, training: Any) -> tuple[str, list[Any]]:
        """What the task gets without a model: its name, and predictions of what `measured` has."""
        return self.task.baseline(list(training), list(self.examples))


class LossTrainer(TaskTrainer):
    """For a task whose losses are summed: logits of a whole evaluation fit in no memory."""

    task: Language

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False  # the task's loss is a mean over the batch

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The task's own."""
        outputs = model(**self.task.inputs(inputs))
        loss = self.task.loss(model, inputs, outputs)
        return (loss, outputs) if return_outputs else loss

    def measured(self) -> Measured:
        """Perplexity over the chunks, and of each its nats and tokens; `loss` is the mean nats of a token."""
        pairs: list[tuple[float, int]] = []
        for batch in self.get_eval_dataloader():
            own = torch.tensor(self.task.losses(self.model, batch), dtype=torch.float64, device=self.args.device)
            pairs += [(nats, int(tokens)) for nats, tokens in self.accelerator.gather_for_metrics(own).tolist()]
        rows = list(self._features)
        figures = self.task.measure(pairs, rows)
        return Measured({"loss": math.log(figures["perplexity"]), **figures}, pairs, rows)

    def baseline(self, training: Any) -> tuple[str, list[Any]]:
        """Each token as likely as it is common in the training data."""
        return "unigrams", self.task.unigram(self.train_dataset, self._features, self.processing_class)


def train(
    task: Task,
    model: Any,
    tokenizer: Any,
    rows: tuple[Any, Any],
    args: Seq2SeqTrainingArguments,
    callback: RunCallback,
    checkpoint: Path | None,
) -> TaskTrainer:
    """Train in place; returns the trainer, whose model is the best one by the task's metric.

    Args:
        task: The task, fitted.
        model: With the task's head.
        tokenizer: The model's.
        rows: Examples to train on, and to measure on.
        args: From `config`.
        callback: Hears every log.
        checkpoint: Go on from here.
    """
    training, held_out = rows
    patience = callback.stage.patience
    stopping = [EarlyStoppingCallback(patience)] if patience and args.load_best_model_at_end else []
    trainer = kind(task)(
        task,
        held_out,
        model=model,
        args=args,
        train_dataset=task.features(training, tokenizer, training=True),
        data_collator=task.collator(tokenizer, model),
        processing_class=tokenizer,
        callbacks=[callback, *stopping],
    )
    return go(trainer, checkpoint)


def evaluate(
    task: Task, model: Any, tokenizer: Any, examples: Any, batch_size: int, folder: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Measure a model with the task's head.

    Args:
        task: The task, fitted.
        model: With the task's head.
        tokenizer: The model's.
        examples: A dataset with the task's roles.
        batch_size: Examples at a time.
        folder: One that the Trainer may know of; nothing is written.
    """
    args = Seq2SeqTrainingArguments(
        output_dir=folder,
        per_device_eval_batch_size=batch_size,
        predict_with_generate=task.head == "seq2seq",
        remove_unused_columns=not task.summed,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = kind(task)(
        task,
        examples,
        model=model,
        args=args,
        data_collator=task.collator(tokenizer, model),
        processing_class=tokenizer,
    )
    return sampled(task, trainer.measured())


def kind(task: Task) -> type[TaskTrainer]:
    """The trainer that a task needs."""
    return LossTrainer if task.summed else TaskTrainer


def sampled(task: Task, found: Measured) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures with their interval, and each row with what was predicted."""
    metrics = figures(task, found.predictions, found.rows)
    samples = [{**row, "prediction": made} for row, made in zip(found.rows, found.predictions, strict=True)]
    return rounded(metrics), samples
