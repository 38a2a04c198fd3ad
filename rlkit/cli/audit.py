"""`rlkit audit`: can a reward be fooled?"""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rlkit.audit import Audit


@click.command(
    "audit",
    short_help="Attack rewards: can they be fooled?",
    epilog="""Examples:

\b
  rlkit audit correctness
  rlkit audit my_reward --plugin my_rewards.py
  rlkit audit length:target=50,unit=words
  rlkit audit --json""",
)
@click.argument("rewards", nargs=-1, metavar="[NAME[:k=v,...]]...")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a reward.")
def command(rewards: tuple[str, ...], plugins: tuple[str, ...], as_json: bool) -> None:
    """Try attacks on rewards: empty and huge completions, tags alone, spam, several answers, nesting, disguises.

    Tells the highest score that an attack reached against that of the gold cases, what raised, what did not score the
    same twice or alone, and how long it took. Without names, all rewards that need no parameter are tried.

    Exit 1 where an attack scores as a right answer does, or where the gold cases do not score as they say.
    """
    import json

    from rlkit import audit
    from rlkit import plugins as found
    from rlkit.errors import RunError
    from rlkit.progress import Progress
    from rlkit.recipe import checks, spec

    for plugin in plugins:
        found.load_file(plugin)
    found.discover()
    progress = Progress()
    beaten, broken = [], []
    for entry in [spec.parse(reward) for reward in rewards] or _all(progress):
        reward = found.find(entry.reward) if not entry.parameters else checks.stack([entry])[0].reward
        progress.step(f"  attacking {reward.name}")
        made = audit.audit(reward)
        beaten += [made.reward] if made.beaten else []
        broken += [made.reward] if made.broken else []
        click.echo(json.dumps(_as_json(made)) if as_json else _text(made))
    if beaten:
        raise RunError(f"an attack scores as a right answer does: {', '.join(beaten)}")
    if broken:
        raise RunError(f"nothing was proven of {', '.join(broken)}: the reason stands above")


def _all(progress: Any) -> list[Any]:
    """Every reward that can be attacked as it stands."""
    from rlkit.recipe.recipe import RewardEntry
    from rlkit.registry import REGISTRY

    entries = []
    for name, reward in sorted(REGISTRY.items()):
        if reward.missing and not reward.gold:
            progress.say(
                f"{name}: left out, it needs {reward.missing[0]}: rlkit audit {name}:{reward.missing[0]}=VALUE"
            )
        else:
            entries.append(RewardEntry(name))
    return entries


def _as_json(made: "Audit") -> dict[str, Any]:
    best = made.best
    return {
        "reward": made.reward,
        "passed": not made.beaten and not made.broken,
        "broken": made.broken,
        "attacks": made.attacks,
        "gold": made.gold,
        "best_attack": best and {"kind": best.attack.kind, "score": best.score, "gold": best.gold},
        "beaten_by": [
            {"kind": s.attack.kind, "completion": s.attack.completion[:200], "score": s.score, "gold": s.gold}
            for s in made.beaten
        ],
        "errors": [{"kind": attack.kind, "error": error} for attack, error in made.errors],
        "timeouts": made.timeouts,
        "not_deterministic": len(made.random),
        "depends_on_batch": len(made.dependent),
        "slowest": made.slowest and {"kind": made.slowest[0].kind, "seconds": round(made.slowest[1], 3)},
    }


def _text(made: "Audit") -> str:
    lines = [f"{made.reward}: {'BEATEN' if made.beaten else 'BROKEN' if made.broken else 'passed'}"]
    lines += [f"  {made.broken}"] if made.broken else []
    if made.gold is None:
        lines.append("  no gold case for these parameters, so nothing says what a right answer scores")
    elif made.best:
        best = made.best
        lines.append(f"  best attack {best.score:.4g} ({best.attack.kind}) against gold {best.gold:.4g}")
    lines += [f"  {s.attack.kind}: {_short(s.attack.completion)} scores {s.score:.4g}" for s in made.beaten[:5]]
    if len(made.beaten) > 5:
        lines.append(f"  and {len(made.beaten) - 5} more")
    if made.errors:
        attack, error = made.errors[0]
        failed = f"{len(made.errors)} ({made.timeouts} at the time limit)"
        lines.append(f"  raised on {failed}, as on {_short(attack.completion)}: {error}")
    for what, which in (("did not score the same twice", made.random), ("depends on the batch", made.dependent)):
        if which:
            lines.append(f"  {what}: {len(which)}, as {_short(which[0].completion)}")
    if made.slowest:
        lines.append(f"  slowest {made.slowest[1]:.2g} s ({made.slowest[0].kind})")
    return "\n".join(lines)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:28]} ... {text[-28:]}")
