"""A reward in a package of its own: `pip install rlkit-tidy`, and any recipe may name `short_lines`."""

from rlkit import reward


@reward(
    "short_lines",
    gold=[
        ("one\ntwo", {}, 1.0),
        ("one\na line that is longer than that", {"limit": 10}, 0.5),
        ("a line that is longer than that", {"limit": 10}, 0.0),
        ("", {}, 0.0),
    ],
)
def short_lines(completion: str, *, limit: int = 40) -> float:
    """Share of the lines that have at most `limit` characters; blank lines do not count.

    Range: 0 to 1. None: never.
    """
    lines = [line for line in completion.splitlines() if line.strip()]
    return sum(len(line) <= limit for line in lines) / len(lines) if lines else 0.0
