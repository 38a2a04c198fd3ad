"""The commands that --help and the heads of recipes print are commands: they parse, and name what there is."""

import re
import shlex

import click
import pytest

from rlkit.cli import COMMANDS, cli
from rlkit.recipe.files import named


def examples():
    context = click.Context(cli)
    texts = {}
    for name in COMMANDS:
        command = cli.get_command(context, name)
        inner = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        texts |= {f"help {name}": each.epilog or "" for each in inner}
    texts |= {f"recipe {name}": path.read_text().split("\ndescription:")[0] for name, path in named().items()}
    for source, text in texts.items():
        for line in re.findall(r"(rlkit [a-z][^\n;(`]*)", text):
            yield pytest.param(line.strip(), id=f"{source}: {line.strip()}")


@pytest.mark.parametrize("line", list(examples()))
def test_it_parses(line):
    words = shlex.split(line.partition(" > ")[0])[1:]
    words = words[: words.index("--")] if "--" in words else words
    name, arguments = words[0], words[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, name
    while isinstance(command, click.Group):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    parsed = command.make_context(name, list(arguments), obj={"after": []})
    recipe = parsed.params.get("recipe")
    if isinstance(recipe, str) and not recipe.endswith(".yaml") and recipe.islower():
        assert recipe in named()


def test_every_command_has_an_example():
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        epilogs = (
            [each.epilog for each in command.commands.values()]
            if isinstance(command, click.Group)
            else [command.epilog]
        )
        assert all(epilog and "rlkit" in epilog for epilog in epilogs), name
