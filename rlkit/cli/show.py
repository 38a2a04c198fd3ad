"""`rlkit show`: one thing whole."""

from typing import Any

import click


@click.command(
    "show",
    short_help="Show one reward, recipe, task or engine whole.",
    epilog="""Examples:

\b
  rlkit show correctness
  rlkit show quickstart
  rlkit show suites/gsm8k
  rlkit show trl.rewards.think_format_reward""",
)
@click.argument("name")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(name: str, plugins: tuple[str, ...], as_json: bool) -> None:
    """Show a reward or a task (parameters, columns, docstring, where it stands), a recipe or an engine."""
    import json

    from rlkit import names, tasks
    from rlkit import plugins as found
    from rlkit.engines import available
    from rlkit.errors import RequestError
    from rlkit.recipe.files import SUITES, locate, named
    from rlkit.registry import REGISTRY

    for file in plugins:
        found.load_file(file)
    found.discover()
    shown: dict[str, Any]
    if name in available():
        shown, text = {"kind": "engine", "name": name, "summary": available()[name]}, f"{name}: {available()[name]}"
    elif name in tasks.TASKS:
        shown = tasks.described(name)
        rows = "\n".join(f"  {key} = {value}" for key, value in shown["parameters"].items())
        columns = "\n".join(f"  {role}: {', '.join(usual)}" for role, usual in shown["columns"].items())
        text = f"{name}  ({shown['source']})\ncolumns:\n{columns}\nparameters:\n{rows}\n\n{shown['doc']}"
    elif name in named() or name.startswith(SUITES) or name.endswith((".yaml", ".yml")):
        path = locate(name)
        text = path.read_text().rstrip()
        kind = "suite" if path.parent.name == SUITES.rstrip("/") else "recipe"
        shown = {"kind": kind, "name": path.stem, "source": str(path), "text": text}
        text = f"# {path}\n{text}"
    elif name in REGISTRY or "." in name or ":" in name:
        shown = _reward(name)
        text = _as_text(shown)
    else:
        everything = [*REGISTRY, *named(), *tasks.TASKS, *available()]
        raise RequestError(names.unknown("name", name, everything, "see `rlkit ls`"))
    click.echo(json.dumps(shown, default=str) if as_json else text)


def _reward(name: str) -> dict[str, Any]:
    from rlkit import plugins

    reward = plugins.find(name)
    return {
        "kind": "reward",
        "name": reward.name,
        "parameters": [str(parameter) for parameter in reward.signature.parameters.values()],
        "columns": list(reward.columns),
        "per_sample": reward.signature.per_sample,
        "async": reward.signature.is_async,
        "gold": [case._asdict() for case in reward.gold],
        "doc": reward.__doc__ or "",
        "source": ":".join(map(str, reward.source)),
        "timeout": reward.timeout,
        "answers": _answers(reward) if "rules" in reward.signature.parameters else [],
    }


def _answers(reward: Any) -> list[dict[str, Any]]:
    """Which rule of answer extraction takes what from each gold case, and where."""
    from rlkit import answers

    told = []
    for case in reward.gold:
        found = answers.extract(case.completion, case.columns.get("rules"))
        told.append({"completion": case.completion, **(found._asdict() if found else {"rule": None})})
    return told


def _as_text(shown: dict[str, Any]) -> str:
    lines = [
        f"{shown['name']}  ({shown['source']})",
        f"columns:    {', '.join(shown['columns']) or 'none'}",
        f"parameters: {'; '.join(shown['parameters']) or 'none'}",
        f"time limit: {shown['timeout']:g} s a sample" if shown["timeout"] else "time limit: none",
        f"gold cases: {len(shown['gold'])}",
        "",
        str(shown["doc"]),
    ]
    if shown["answers"]:
        from rlkit import answers

        lines += [
            "",
            f"It looks for the answer by these rules, in this order: {', '.join(answers.DEFAULT)}. In its gold cases:",
        ]
        for told in shown["answers"]:
            text = told["completion"] if len(told["completion"]) <= 60 else told["completion"][:57] + "..."
            took = (
                f"{told['rule']} takes {told['text']!r} from {told['start']}"
                if told["rule"]
                else "no rule takes anything"
            )
            lines.append(f"  {text!r}: {took}")
    return "\n".join(lines).rstrip()
