"""`rlkit ls`: what there is."""

from typing import Any

import click

KINDS = ("recipes", "suites", "rewards", "tasks", "engines")


@click.command(
    "ls",
    short_help="List recipes, suites, rewards, tasks and engines.",
    epilog="""Examples:

\b
  rlkit ls
  rlkit ls rewards
  rlkit ls rewards --plugin my_rewards.py --json

Next: rlkit show NAME""",
)
@click.argument("kind", required=False, type=click.Choice(KINDS))
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(kind: str | None, plugins: tuple[str, ...], as_json: bool) -> None:
    """List recipes, suites, rewards, tasks and engines, each with a line that says what it is."""
    import json

    from rlkit import plugins as found

    for file in plugins:
        found.load_file(file)
    listed = [row for each in KINDS if kind in (None, each) for row in rows(each)]
    if as_json:
        click.echo(json.dumps(listed))
        return
    width = max((len(row["name"]) for row in listed), default=0)
    for each in KINDS:
        mine = [row for row in listed if row["kind"] == each.removesuffix("s")]
        if mine and kind is None:
            click.echo(f"{each}:")
        for row in mine:
            click.echo(f"{'  ' if kind is None else ''}{row['name']:<{width}}  {row['summary']}".rstrip())
    for point, reason in found.discover().items():
        click.echo(f"warning: the plugin {point} cannot be imported: {reason}", err=True)


def rows(kind: str) -> list[dict[str, Any]]:
    """One object for each thing of a kind: kind, name, summary and where it stands."""
    if kind == "recipes":
        from rlkit.recipe.files import builtin, describe

        return [
            {"kind": "recipe", "name": name, "summary": describe(path), "source": str(path)}
            for name, path in builtin().items()
        ]
    if kind == "suites":
        from rlkit.recipe.files import describe, suites

        return [
            {"kind": "suite", "name": name, "summary": describe(path), "source": str(path)}
            for name, path in suites().items()
        ]
    if kind == "tasks":
        from rlkit import tasks

        return [{"kind": "task", "name": name, "summary": tasks.summary(name)} for name in tasks.TASKS]
    if kind == "engines":
        from rlkit.engines import available

        return [{"kind": "engine", "name": name, "summary": said} for name, said in available().items()]
    from rlkit import plugins
    from rlkit.registry import REGISTRY

    plugins.discover()
    return [
        {"kind": "reward", "name": name, "summary": reward.summary, "source": ":".join(map(str, reward.source))}
        for name, reward in sorted(REGISTRY.items())
    ]
