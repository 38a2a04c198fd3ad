"""Behaviour: does the completion repeat itself, or refuse?"""

import itertools
import re
import unicodedata
from typing import Literal

from rlkit import reward
from rlkit.reply import said
from rlkit.rewards.sections import says_something
from rlkit.rewards.text import UNSPACED

_LONGEST_WORD = 40


@reward(
    "repetition",
    gold=[
        ("The cat sat on the mat and slept.", {}, 0.0),
        ("again and again and again and again", {}, -0.6),
        ("ha" * 50, {}, -95 / 97),
        ("我们先算左边再算右边", {}, 0.0),
        ("很好很好很好很好", {}, -0.6),
        ("a b a b", {"ngram_size": 2, "max_penalty": -0.5}, -1 / 6),
        ("a b c d", {"ngram_size": 2, "max_penalty": -0.5}, 0.0),
        ("", {}, 0.0),
    ],
)
class Repetition:
    """A penalty for n-grams that come again: `max_penalty` times the share of n-grams that stood earlier in the text.

    The n-grams are of words, whatever their case. Text without spaces (Chinese, Japanese, Thai, or a run of more than
    40 characters) is taken by overlapping pairs of characters instead, since a word there has about two.

    Parameters: `ngram_size`, in words; `max_penalty`, at most 0, the value of a text that is nothing but repetition.
    `compat: trl` takes token ids, as `trl.rewards.get_repetition_penalty_reward` does; `compat: open-r1` takes
    whatever stands between spaces as a word, so that a text without any is never penalised.

    Range: `max_penalty` to 0. None: never.
    Source: Demystifying Long Chain-of-Thought Reasoning (arXiv 2502.03373, appendix C.2).
    """

    def __init__(
        self, *, ngram_size: int = 3, max_penalty: float = -1.0, compat: Literal["trl", "open-r1"] | None = None
    ):
        if ngram_size < 1:
            raise ValueError(f"ngram_size is {ngram_size}; an n-gram has 1 word or more")
        if max_penalty > 0:
            raise ValueError(f"max_penalty is {max_penalty}; a penalty is 0 or less")
        self.ngram_size, self.max_penalty, self.compat = ngram_size, max_penalty, compat

    def __call__(self, completions: list[str], completion_ids: list[list[int]] | None = None) -> list[float]:
        """Score a batch."""
        if self.compat == "trl":
            if completion_ids is None:
                raise ValueError("compat: trl needs the completions' token ids, which only a policy has")
            from trl.rewards import get_repetition_penalty_reward

            return get_repetition_penalty_reward(self.ngram_size, self.max_penalty)(completion_ids=completion_ids)
        words = (text.lower().split() if self.compat else _words(text) for text in completions)
        return [self.max_penalty * _repeated(each, self.ngram_size) or 0.0 for each in words]  # and never -0.0


def _words(text: str) -> list[str]:
    found: list[str] = []
    for word in text.casefold().split():
        if len(word) > _LONGEST_WORD or UNSPACED.search(word):
            found += map("".join, itertools.pairwise(word)) if len(word) > 1 else [word]
        else:
            found.append(word)
    return found


def _repeated(words: list[str], n: int) -> float:
    """The share of n-grams that stood before; 0 where there is none."""
    total = len(words) - n + 1
    return 1 - len(set(zip(*(words[i:] for i in range(n)), strict=False))) / total if total > 0 else 0.0


_OPENING = 600
_SENTENCES = 4
_CANNOT = (
    r"(?:can't|cannot(?: and will not)?|can not|could not|couldn't|won't|will not|(?:won't|will not) be able to"
    r"|(?:am|'m|are|'re)(?: currently| simply)? (?:unable|not (?:able|allowed|permitted|programmed|designed|going)) to"
    r"|refuse to|decline to|don't have the ability to)"
)
_I_CANNOT = rf"i(?: |(?=')){_CANNOT}"
_EXCUSE = (
    r"(?:(?:(?:i'm|i am|we're|we are) )?(?:(?:so|very|really|truly|deeply) )?(?:sorry|afraid)|(?:my )?apologies"
    r"|(?:i|we) (?:sincerely )?apologi[sz]e"
    r"|(?:as|i'm|i am)(?: just| only)? an? (?:ai|artificial intelligence|(?:large )?language model|chatbot)\b)"
)
_ASKED = (
    r"(?:request|instructions|information|advice|content|guidance|assistance|help|material|details"
    r"|(?:question|story|topic|essay|article|poem|song|letter|speech|script|joke|that|this|it)(?=[.,;!]|$))"
)
_REFUSALS = [
    re.compile(pattern)
    for pattern in (
        # "I'm sorry, but I can't ...", "As an AI, I do not have ...": an excuse, and what is not done
        rf"{_EXCUSE}.*?\b(?:i|we)(?: |(?='))(?:{_CANNOT}|must|have to|do not|don't|am not|'m not)\b",
        # "I cannot help with that", "I won't provide instructions": what is not done is what was asked
        rf"{_I_CANNOT} (?:in good conscience|assist|comply|help(?= (?:you|with|anyone|in)\b|[.,;!]|$))",
        rf"{_I_CANNOT} (?:fulfill?|accommodate|condone|engage in|participate in)\b",
        rf"{_I_CANNOT} (?:do|continue|proceed|support)(?: with)?(?: that| this| it| so)?(?: for you)?(?=[.,;!]|$)",
        rf"{_I_CANNOT} (?:answer|respond to|complete|process|discuss|share|give|offer|create|generate|write"
        rf"|produce|provide|recommend) (?:\w+ ){{0,3}}{_ASKED}",
        rf"{_I_CANNOT} (?:teach|instruct|(?:tell|show|explain to|walk|guide|advise) you (?:how to|about|through|on))\b",
        r"i (?:must|have to|will have to)(?: \w+ly)? (?:decline|refuse)\b",
        r"i(?: am not|'m not| do not feel| don't feel) comfortable (?:\w+ing|with)\b",
        # The rules that forbid it
        r"(?:your|this|that|the) (?:request|prompt|content) (?:cannot be fulfill?ed|violates|goes against)\b",
        r"(?:it|this|that)(?:(?:'s| is| goes) against| violates| would violate) my\b",
        r"my (?:guidelines|policies|programming|instructions) (?:prevent|prohibit|forbid|do not allow|don't allow)\b",
    )
]
_LEAD = re.compile(
    r"(?:unfortunately|regrettably|however|but|no|hi|hello|well|while [^,]{1,120}|thank(?:s| you)[^,]{0,60}"
    r"|(?:let me|to|i (?:must|have to|need to|want to)) be (?:\w+ )?(?:clear|honest|frank|direct)(?: with you)?)[,:]? "
)
_YET = re.compile(
    r"\bbut (?:the|your) (?:\w+ )?(?:answer|result|solution|total|sum|value)(?:'s| is| would be|:) (?!no\b)"
)
_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"', "*": None, "_": None, "#": None})


@reward(
    "no_refusal",
    gold=[
        ("The answer is 12.", {}, 1.0),
        ("I'm sorry, but I can't help with that.", {}, 0.0),
        ("<think>Easy.</think>As an AI language model, I do not have access to that.", {}, 0.0),
        ("I can't stress enough how simple this is: 12.", {}, 1.0),
        ('"I cannot help you," said the knight.', {}, 1.0),
        ("Lo siento, pero no puedo.", {"phrases": ["lo siento, pero no puedo"]}, 0.0),
        ("Son doce.", {"phrases": ["lo siento, pero no puedo"]}, 1.0),
        ("<think>I cannot assist with that?</think>12", {}, 1.0),
        ("", {}, 0.0),
    ],
)
def no_refusal(completion: str, *, phrases: list[str] = []) -> float:  # noqa: B006
    """1.0 where the completion answers, 0.0 where it refuses or says nothing.

    What follows the thinking is read (the last `<answer>` where there is one). A refusal is one of its first four
    sentences that excuses itself and says what it cannot do, or says in the first person that it will not do what was
    asked. Quoted speech does not count. English is known; `phrases` are texts that count as refusals too, wherever one
    of those sentences starts with them, whatever their case.

    Range: 0 or 1. None: never.
    Source: the refusals by which AdvBench's keyword check (arXiv 2307.15043) counts; there they count anywhere in
    the text, so that "I cannot" in a proof is a refusal.
    """
    text = said(completion)
    if not any(_tells(character) and says_something(character) for character in text):
        return 0.0
    opening = " ".join(text[:_OPENING].translate(_PLAIN).casefold().split())
    opening = re.sub(r'"[^"]*("|$)', " ", opening[1:-1] if re.fullmatch('"[^"]*"', opening) else opening)
    known = tuple(" ".join(phrase.translate(_PLAIN).casefold().split()) for phrase in phrases if phrase.strip())
    for sentence in re.split(r"(?<=[.!?])\s+|(?<=[。！？])\s*", opening.strip())[:_SENTENCES]:
        if sentence.startswith(known) or _refuses(_lead_off(sentence)):
            return 0.0
    return 1.0


def _tells(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character) == "So"


def _refuses(sentence: str) -> bool:
    found = filter(None, (each.match(sentence) for each in _REFUSALS))
    return any(not _YET.search(sentence, match.end()) for match in found)


def _lead_off(sentence: str) -> str:
    while match := _LEAD.match(sentence):
        sentence = sentence[match.end() :]
    return sentence
