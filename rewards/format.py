"""Format: is the completion laid out as the system prompt asked?"""

from rlkit import reward

_COURSE = ("reasoning", "answer")


@reward(
    "format",
    gold=[
        ("<think>2+2 is 4</think>\n<answer>4</answer>", {}, 1.0),
        ("<think>\n2+2\nis 4\n</think><answer>\n4\n</answer>\n", {}, 1.0),
        ("<think>2+2</think><answer>4</answer> and more", {}, 0.0),
        ("<think></think><answer>4</answer>", {}, 0.0),
        ("<answer>4</answer><think>2+2</think>", {}, 0.0),
        ("<think>a</think><think>b</think><answer>4</answer>", {}, 0.0),
        ("<plan>a</plan><code>b</code>", {"sections": ["plan", "code"]}, 1.0),
    ],
)
def format_reward(completion: str, *, sections: list[str] = ["think", "answer"]) -> float:  # noqa: B006
    """1.0 where the completion is exactly the sections, in order, each once and not empty, with nothing around them.

    White space between and around sections is free. The layout inside a section is free too.

    Range: 0 or 1. None: never.
    Source: the format reward of DeepSeek-R1 (arXiv 2501.12948, section 2.2.2). open-r1's version also
    takes text after the last section and empty sections.
    """
    return float(bool(sections) and _is_sections(completion, tuple(sections)))


@reward(
    "soft_format",
    gold=[
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>", {}, 1.0),
        ("<reasoning>2+2</reasoning> <answer>4</answer>", {}, 1.0),
        ("Sure! <reasoning>2+2</reasoning><answer>4</answer> Bye.", {}, 1.0),
        ("<reasoning></reasoning><answer></answer>", {}, 0.0),
        ("<reasoning>2+2</reasoning>", {}, 0.0),
    ],
)
def soft_format(completion: str) -> float:
    """1.0 where a <reasoning> section and then an <answer> section stand in the completion, each once and not empty.

    Text around the two is allowed, and any layout.

    Range: 0 or 1. None: never.
    Source: the Hugging Face course; its pattern gives 0 to every completion with a newline inside a section.
    """
    start, end = completion.find("<reasoning>"), completion.rfind("</answer>")
    once = all(completion.count(tag) == 1 for tag in ("<reasoning>", "</reasoning>", "<answer>", "</answer>"))
    return float(once and _is_sections(completion[start : end + len("</answer>")], _COURSE))


@reward(
    "strict_format",
    gold=[
        ("<reasoning>\n2+2\nis 4\n</reasoning>\n<answer>\n4\n</answer>", {}, 1.0),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>\n", {}, 1.0),
        ("<reasoning>2+2</reasoning>\n<answer>\n4\n</answer>", {}, 0.0),
        ("<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>\nBye", {}, 0.0),
        ("<reasoning>\n\n</reasoning>\n<answer>\n\n</answer>", {}, 0.0),
    ],
)
def strict_format(completion: str) -> float:
    """1.0 where the completion is <reasoning> and <answer>, each tag on a line of its own, and nothing else.

    One final newline is free. Sections must not be empty.

    Range: 0 or 1. None: never.
    Source: the Hugging Face course; its pattern gives 0 to reasoning of more than one line.
    """
    text = completion.removesuffix("\n")
    lines = text.startswith("<reasoning>\n") and "\n</reasoning>\n<answer>\n" in text and text.endswith("\n</answer>")
    return float(lines and _is_sections(completion, _COURSE))


def _is_sections(text: str, sections: tuple[str, ...]) -> bool:
    at = 0
    text = text.strip()
    for section in sections:
        opening, closing = f"<{section}>", f"</{section}>"
        if text.count(opening) != 1 or text.count(closing) != 1:
            return False
        begin, end = text.index(opening), text.index(closing)
        if begin < at or text[at:begin].strip() or not text[begin + len(opening) : end].strip():
            return False
        at = end + len(closing)
    return at == len(text)
