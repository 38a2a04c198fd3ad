"""Where the sentences of a text end, near enough for a baseline and for rougeLsum."""

import re

_END = re.compile(
    r"(?<!\b[A-Z])(?<!\b(?:Mr|Ms|Dr|St|vs|cf|al))(?<!\b(?:Mrs|e\.g|i\.e))([.!?][\"')\]”’]*)\s+(?=[\"'(\[“‘]*[^\W_a-z])"
)


def sentences(text: str) -> list[str]:
    """The sentences: each line apart, cut after . ! and ? where no small letter follows; "et al." ends none."""
    return [part.strip() for line in text.splitlines() for part in _END.sub(r"\1\n", line).split("\n") if part.strip()]
