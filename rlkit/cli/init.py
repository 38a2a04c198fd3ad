"""`rlkit init`: start a plugin."""

from pathlib import Path

import click


@click.group("init")
def command() -> None:
    """Start something of your own."""


@command.command(
    "reward",
    epilog="Example: rlkit init reward concise\n\n"
    "Next: pytest test_concise.py; rlkit audit concise --plugin concise.py",
)
@click.argument("name")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), help="Where; the working folder.")
def reward(name: str, folder: Path) -> None:
    """Write NAME.py with a reward and its gold cases, and test_NAME.py that runs them."""
    import builtins
    import importlib.util
    import keyword
    import sys

    from rlkit import plugins
    from rlkit.errors import RequestError
    from rlkit.registry import REGISTRY

    if not name.isidentifier() or keyword.iskeyword(name):
        raise RequestError(f"{name!r} is no Python name: use letters, digits and _, as concise or unit_price")
    if name in ("answers", "reward") or hasattr(builtins, name):
        raise RequestError(f"{name!r} means something else in a plugin already; choose another name")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise RequestError(f"a file {name}.py would stand before the module of that name; choose another")
    plugins.discover()
    if name in REGISTRY:
        raise RequestError(f"a reward is called {name!r} already: {':'.join(map(str, REGISTRY[name].source))}")
    if not folder.is_dir():
        raise RequestError(f"there is no folder {folder}")
    files = {folder / f"{name}.py": REWARD, folder / f"test_{name}.py": TEST}
    for path in files:
        if path.exists():
            raise RequestError(f"{path} exists; nothing was written")
    for path, text in files.items():
        path.write_text(text.replace("NAME", name))
        click.echo(str(path))
    test, plugin = folder / f"test_{name}.py", folder / f"{name}.py"
    click.echo(f"next: pytest {test}; rlkit audit {name} --plugin {plugin}", err=True)


REWARD = '''"""A reward plugin: rlkit train RECIPE --plugin NAME.py"""

from rlkit import answers, reward


@reward(
    "NAME",
    gold=[  # completion, columns (and parameters) beside it, what it should score
        ("Two and two make four, so the answer is 4.", {"answer": "4"}, 1.0),
        ("<answer>4</answer>", {"answer": "4"}, 1.0),
        ("<answer>5</answer>", {"answer": "4"}, 0.0),
        ("I thought long and hard: <answer>4</answer>", {"answer": "4", "limit": 3}, 0.0),
        ("", {"answer": "4"}, 0.0),
    ],
)
def NAME(completion: str, answer: str, *, limit: int = 50) -> float:
    """1.0 where the completion gives the right answer in at most `limit` words.

    Before the * stands data: the completion, and columns of the dataset. After it stand parameters,
    which a recipe sets: rewards: [{NAME: {limit: 20, weight: 0.5}}]

    Range: 0 or 1. None: never.
    """
    found = answers.extract(completion)  # not `answer in completion`, which takes a list of all numbers
    right = found is not None and answers.normalise(found.text) == answers.normalise(answer)
    return float(right and len(completion.split()) <= limit)
'''

TEST = '''"""The gold cases of NAME come out as they say."""

from pathlib import Path

import pytest

from rlkit.plugins import load_file
from rlkit.registry import check_gold

REWARDS = load_file(Path(__file__).with_name("NAME.py"))


@pytest.mark.parametrize("reward", REWARDS, ids=lambda reward: reward.name)
def test_gold_cases_score_as_they_say(reward):
    assert reward.gold, "a reward without gold cases proves nothing"
    assert check_gold(reward) == []
'''
