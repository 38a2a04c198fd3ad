"""The card of a model, its repository's README.md: what is known and was measured, and nothing else."""

import importlib.resources
import re
from pathlib import Path
from typing import Any

import yaml

from rlkit.export.artifact import Artifact
from rlkit.export.card import citations, figures, metadata, prose, scrub, usage
from rlkit.export.card.figures import Table
from rlkit.export.card.provenance import Provenance
from rlkit.runs import RunDirectory

SAMPLES = 2
LONGEST = 2_000
"""Characters of a sample that are shown."""


def write(path: Path, artifact: Artifact | None, repo: str) -> str:
    """The whole text of a card, its YAML head included; nothing is written to disk.

    It says what rlkit knows and measured, with no path of this machine and no secret in it.

    Args:
        path: An export, an adapter, a run directory or a folder of one: what is pushed.
        artifact: The manifest of an export; None where there is none.
        repo: The repository that it goes to, `owner/name`; the commands in the card name it.

    Raises:
        RequestError: It is a run that has left no model, or one whose recipe cannot be read.
    """
    import jinja2

    model = Provenance.of(path, artifact)
    title = repo.rpartition("/")[2]
    head = metadata.of(model, title)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"fence": fence, "table": table, "oneline": lambda text: " ".join(text.split())}
    template = importlib.resources.files("rlkit.export.card").joinpath("card.md").read_text(encoding="utf-8")
    body = environment.from_string(template).render(title=title, repo=repo, head=head, **_view(model, repo))
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)
    text = f"---\n{front}---\n\n{body}"
    return scrub.secrets(scrub.folders(text, _folders(model, path)))


def pictures(path: Path, artifact: Artifact | None) -> dict[str, Path]:
    """Files that the card shows, name in the repository -> where they are; the curves, where the run drew them.

    Args:
        path: As for `write`.
        artifact: As for `write`.
    """
    return _pictures(Provenance.of(path, artifact).run)


def _pictures(run: RunDirectory | None) -> dict[str, Path]:
    file = run.path / "curves.png" if run else None
    return {file.name: file} if file and file.is_file() else {}


def fence(text: str, language: str = "") -> str:
    """A text as a block of code that no backticks within it can end."""
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def table(made: Table) -> str:
    """A table in Markdown."""
    lines = [made.header, ["---"] * len(made.header), *made.rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _view(model: Provenance, repo: str) -> dict[str, Any]:
    """What the template shows."""
    system = usage.system_of(model)
    named = model.trained[-1].stage.data.system if model.trained else None
    return {
        "kind": model.kind,
        "intro": prose.intro(model),
        "description": scrub.words(model.recipe.description or "") if model.recipe else "",
        "no_licence": prose.no_licence(model),
        "stages": [prose.stage(model, done) for done in model.trained],
        "ways": usage.ways(model, repo),
        "cannot_serve": usage.cannot_serve(model) if model.base else None,
        "files": _files(model),
        "prompts": prose.prompts(model, system),
        "system": system,
        "format": prose.FORMATS.get(named or "", ""),
        "rewards": figures.rewards(model),
        "picture": next(iter(_pictures(model.run)), None),
        "measured": figures.measured(model),
        "how_measured": prose.measured(model),
        "checks": figures.checks(model),
        "compared": prose.compared(model),
        "samples": [_sample(row) for row in model.samples(SAMPLES)],
        "limits": prose.limits(model),
        "recipe": _recipe(model),
        "made_with": prose.made_with(model),
        "citations": "\n\n".join(_citations(model)),
    }


def _files(model: Provenance) -> Table | None:
    """The GGUF files, each with its size."""
    if model.kind != "gguf":
        return None
    rows = [[f"`{file.name}`", kind, f"{file.stat().st_size / 1e6:,.1f} MB"] for kind, file in model.gguf.items()]
    return Table("files", ["file", "type", "size"], rows)


def _sample(row: dict[str, Any]) -> dict[str, str]:
    prompt = row["prompt"]
    text = prompt if isinstance(prompt, str) else "\n\n".join(f"[{m['role']}]\n{m.get('content')}" for m in prompt)
    about = [f"reward {figures.number(row.get('reward'))}"]
    if row.get("answer") not in (None, ""):
        about.append(f"right answer {_cut(' '.join(str(row['answer']).split()), 80)}")
    return {"prompt": _cut(text), "completion": _cut(row["completion"]), "about": ", ".join(about)}


def _cut(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} characters more)"


def _recipe(model: Provenance) -> str:
    if model.run is None or model.recipe is None:
        return ""
    shown = scrub.settings(yaml.safe_load((model.run.path / "recipe.yaml").read_text()))
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100).strip()


def _citations(model: Provenance) -> list[str]:
    if not model.trained:
        return [citations.LORA] if metadata.is_lora(model) else []
    found = [citations.GRPO] if any(done.stage.kind == "grpo" for done in model.trained) else []
    found.append(citations.TRL)
    if metadata.is_lora(model):
        found.append(citations.LORA)
    if model.in_4bit:
        found.append(citations.QLORA)
    return found


def _folders(model: Provenance, path: Path) -> list[Path]:
    """Folders of this machine whose names could have come into a text."""
    known = [Path.home(), Path.cwd(), path.expanduser().resolve(), path.expanduser().absolute(), model.folder]
    if model.run:
        known += [model.run.path, model.run.path.resolve()]
    if model.recipe:
        known += scrub.paths(model.recipe.model_dump(exclude_unset=True))
    if folder := model.environment.get("recipe_folder"):
        known.append(Path(folder))
    return known
