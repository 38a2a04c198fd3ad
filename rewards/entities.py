"""Entities: did the completion find the names in the text, and of what type each is?"""

from typing import Any

from rlkit import entities as listed
from rlkit import reward
from rlkit.reply import said


@reward(
    "entity_f1",
    gold=[
        ("LOC: Paris; PER: Ada Lovelace", {"entities": [["LOC", "Paris"], ["PER", "Ada Lovelace"]]}, 1.0),
        ("- **PER**: Ada Lovelace\n- **LOC**: Rome", {"entities": [["LOC", "Paris"], ["PER", "Ada Lovelace"]]}, 0.5),
        ('[{"type": "loc", "text": "Paris"}]', {"entities": [{"type": "LOC", "text": "Paris"}]}, 1.0),
        ('```json\n{"LOC": ["Paris", "Rome"]}\n```', {"entities": [{"type": "LOC", "text": "Paris"}]}, 2 / 3),
        ("PER: Paris; LOC: Paris; ORG: Paris", {"entities": [["LOC", "Paris"]]}, 0.5),
        ("<answer>none</answer>", {"entities": []}, 1.0),
        ("LOC: none", {"entities": [["LOC", "Paris"]]}, 0.0),
        ("", {"entities": []}, 0.0),
        ("I see Paris.", {"entities": [["LOC", "Paris"]]}, 0.0),
        ("LOC: Paris", {"entities": None}, None),
    ],
)
def entity_f1(completion: str, entities: Any, *, whole: bool = False) -> float | None:
    """F1 of the entities that the completion's answer lists, each with its type, against the column `entities`.

    The answer (as for the text metrics) lists them in one of these forms; bullets, bold type, quotes and a code fence
    around are fine:

    - `TYPE: text`, one a line or with semicolons between;
    - JSON: a list of {"type": ..., "text": ...} or of [type, text], or {TYPE: [text, ...]}.

    `none` or an empty JSON list says that there is none. The column holds any of the JSON forms. An entity is right
    where type and text are, but for case, white space and punctuation around it; one that is named twice counts once.
    An answer that cannot be read scores 0. Of more than 20,000 characters, which are over 100 times those of the gold
    entities, no more is read.

    Range: 0 to 1; 1 where both list none. None: the row has no entities to compare with, or they cannot be read.
    Source: the CoNLL-2003 shared task (aclanthology.org/W03-0419), whose F1 is over a corpus and by position; this
    is over one text and by name.
    """
    wanted = listed.from_text(entities) if isinstance(entities, str) else listed.from_json(entities)
    if wanted is None:
        return None
    longest = max(20_000, 100 * sum(len(kind) + len(text) for kind, text in wanted))
    given = listed.from_text(said(completion, whole)[:longest])
    if given is None:
        return 0.0
    return 2 * len(given & wanted) / (len(given) + len(wanted)) if given or wanted else 1.0
