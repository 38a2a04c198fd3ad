"""What the run that made a model says of how the model is asked."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import ValidationError

from rlkit.errors import RequestError
from rlkit.export.artifact import Artifact
from rlkit.prompts import system_prompt
from rlkit.recipe.model import ModelSection
from rlkit.recipe.recipe import Recipe
from rlkit.runs import is_run


@dataclass
class Origin:
    """How a model was asked when it was trained; the defaults where no run says so."""

    system: str | None = None
    """Its system prompt."""
    chat: bool = True
    """Whether prompts were conversations, where its tokenizer has a chat template."""
    max_tokens: int | None = None
    """Tokens of a completion at the most."""
    loading: ModelSection = field(default_factory=ModelSection)
    """How its run loaded it."""
    notes: list[str] = field(default_factory=list)
    """What a person should know of that."""


def origin(folder: Path) -> Origin:
    """Where a model's folder comes from: the stage of a run, or what was exported of one.

    Raises:
        RequestError: The recipe of its run cannot be read.
    """
    folder = folder.expanduser().resolve()
    if is_run(folder.parent):
        return _of_run(folder.parent, folder.name)
    artifact = Artifact.read(folder)
    if artifact is None or artifact.run is None:
        return Origin()
    if not is_run(Path(artifact.run)):
        return Origin(notes=[f"its run {artifact.run} is not there: no system prompt is known (--system sets one)"])
    found = _of_run(Path(artifact.run), artifact.stage)
    found.loading = ModelSection()  # an export stands in the dtype that it is to be used in
    return found


def _of_run(run: Path, stage: str | None) -> Origin:
    """What a run's recipe says; `stage`: of the stage with this folder, else of the last that trained."""
    try:
        recipe = Recipe.model_validate(yaml.safe_load((run / "recipe.yaml").read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise RequestError(f"run {run}: its recipe.yaml cannot be read: {str(error).splitlines()[0]}") from None
    stages = [each for each in recipe.resolved() if each.kind != "eval"]
    made = [each for each in stages if each.folder == stage] or stages[-1:]
    if not made:
        return Origin()
    data, base = made[0].data, made[0].model or recipe.model
    # The stage's own folder holds what these have come to; the adapter is PEFT's, whatever applied it in training.
    gone = {"path": None, "from_scratch": None, "revision": None, "chat_template": None, "backend": "peft"}
    loading = base.model_copy(update=gone)
    return Origin(system_prompt(data.system), data.chat, made[0].generation.max_completion_length, loading)
