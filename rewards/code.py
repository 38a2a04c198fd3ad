"""Code: does the program that the completion wrote pass its tests?"""

import ast
import re
from collections.abc import Collection
from typing import Any, Literal

from rlkit import answers, reward

LONGEST = 100_000
"""Characters of a program; a longer one is none that was asked for."""
MOST_BLOCKS = 20
"""Blocks that make one program."""
_DEFINITION = re.compile(
    r"^(?:(?:async[ \t]+)?def|class)[ \t]+(\w+)|^(?:import|from[ \t]+[\w.]+[ \t]+import)[ \t]+\(?(.+)"
    r"|^(\w+)[ \t]*(?::[^=\n]+)?=(?!=)",
    re.MULTILINE,
)
_BEGIN = re.compile(r"^(?:(?:async )?def \w|class \w|import \w|from [\w.]+ import |@\w)", re.MULTILINE)
_SENTENCE = re.compile(r"^[A-Z][\w']*(?:[ ,!][^=\n]*|:[ \t]*)$", re.MULTILINE)

_ADD = {"test": "assert add(1, 2) == 3\nassert add(-1, 1) == 0\nassert add(2, 2) == 4\nassert add(0, 0) == 0"}
_CHECK = {"test": "def check(candidate):\n    assert candidate(3) == 9\n    assert candidate(-2) == 4"}
_SQUARE = {**_CHECK, "entry_point": "square", "prompt": 'def square(x):\n    """The square of x."""\n'}


@reward(
    "code",
    gold=[
        ("```python\ndef add(a, b):\n    return a + b\n```", _ADD, 1.0),
        ("<think>easy</think>Here:\n```python\ndef add(a, b):\n    return a + b\n```\nIt adds.", _ADD, 1.0),
        ("def add(a, b):\n    return a - b", _ADD, 0.0),
        ("def add(a, b):\n    return a - b", {**_ADD, "mode": "fraction"}, 0.25),
        ("    return x * x\n", _SQUARE, 1.0),
        ("def square(x):\n    return x + x", _SQUARE, 0.0),
        ("import os\nos._exit(0)", _ADD, 0.0),
        ("class Any:\n    __eq__ = lambda *_: True\ndef add(a, b):\n    return Any()", _ADD, 0.0),
        ("", _ADD, 0.0),
        ("def add(a, b):\n    return a + b", {"test": None}, None),
    ],
    timeout=60.0,
)
class Code:
    """1.0 where the completion's program passes the tests in the column `test`, run in a sandbox.

    The program is the last fenced Python block after the thinking that defines `entry_point` (where it is not given,
    a name that the tests use), or the whole text without sentences before and after it; inside `<answer>`, where there
    is one. Other blocks come before it where they define what it uses.

    `test` is Python with assert statements, or a list of them, as MBPP has it; where it defines `check(candidate)`, as
    HumanEval's does, `check` is called with the function named in `entry_point`. A program that does not
    define `entry_point` continues the code in `prompt`; one that does gets the prompt's imports and helpers before it.

    The program runs in one process and the tests in another, which gets plain values from it, so that no program passes
    by leaving early, by changing how values compare or by looking for the expected ones. What the
    program returns counts as its built-in type; an object of another type equals nothing.

    Parameters: `mode` "all" gives 1 where every assert statement holds, "fraction" the share of them that does;
    `sandbox` is the kind of isolation (`rlkit env` says which this machine has; "none" is none at all);
    `time_limit` in seconds of computing, or twice as many on the clock: a longer program is wrong; `memory_mb` in
    megabytes.

    Range: 0 to 1. None: the row has no test.
    Source: HumanEval (arXiv 2107.03374) and MBPP (arXiv 2108.07732), whose harnesses run program and tests in one
    process, where a program that exits early or redefines what the tests use can pass. open-r1's version compares
    printed output with the expected, line by line, as far as there is output: a correct beginning passes there.
    """

    def __init__(
        self,
        *,
        mode: Literal["fraction", "all"] = "all",
        sandbox: Literal["auto", "bubblewrap", "unshare", "none"] = "auto",
        time_limit: float = 5.0,
        memory_mb: int = 1024,
    ):
        from rlkit.sandbox import choose

        if time_limit <= 0 or memory_mb < 64:
            raise ValueError("time_limit has to be above 0 seconds, and memory_mb 64 or more")
        self.fraction = mode == "fraction"
        self.kind = choose(sandbox)
        self.time_limit = time_limit
        self.memory_mb = memory_mb

    def __call__(
        self, completion: str, test: str | list[str] | None, entry_point: str | None = None, prompt: Any = None
    ) -> float | None:
        """Score one completion."""
        from rlkit.sandbox import examine

        tests = test if isinstance(test, str) else "\n".join(test or [])
        if not tests.strip():
            return None
        entry = (entry_point or "").strip()
        program = program_of(completion, [entry.split("(")[0].split(".")[0]] if entry else _needed(tests))
        if not program.strip() or len(program) > LONGEST:
            return 0.0
        return examine(
            program,
            tests,
            entry=entry,
            prompt=_text(prompt),
            fraction=self.fraction,
            kind=self.kind,
            seconds=self.time_limit,
            memory_mb=self.memory_mb,
        ).share


@reward(
    "python_syntax",
    gold=[
        ("```python\nprint(1)\n```", {}, 1.0),
        ("def f(x):\n    return x", {}, 1.0),
        ("<think>x = (</think>x = 1", {}, 1.0),
        ("```python\nprint(1\n```", {}, 0.0),
        ("Here is the program.", {}, 0.0),
        ("# nothing", {}, 0.0),
        ("42", {}, 0.0),
        ("", {}, 0.0),
    ],
    timeout=10.0,
)
def python_syntax(completion: str) -> float:
    """1.0 where the completion's program is Python, by this interpreter's grammar; it does not run.

    The program is found as the reward `code` finds it. Comments alone, or values alone (a number, a word), are no
    program; nor are more than 100,000 characters.

    Range: 0 or 1. None: never.
    Source: this project; the usual check of a code block's fence says nothing about what stands in it.
    """
    program = program_of(completion)
    if len(program) > LONGEST:
        return 0.0
    try:
        statements = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0.0
    return float(any(not isinstance(one, ast.Expr) or _acts(one.value) for one in statements))


def program_of(completion: str, wanted: Collection[str] = ()) -> str:
    """The program that a completion gives: a fenced block of it, or all of it after the thinking.

    Args:
        completion: The text that the policy wrote.
        wanted: What the program should define (empty: anything). The last block that does is the program, after those
            that define what it uses and what else is wanted.
    """
    text = completion[answers.after_thinking(completion) :]
    at = text.rfind("<answer>")
    if at >= 0:
        text = text[at + len("<answer>") :].partition("</answer>")[0]
    blocks = _blocks(text)
    if not blocks:
        return _without_prose(text)
    python = [block for language, block in blocks if language in ("python", "python3", "py")]
    return _together(python or [block for _, block in blocks], set(wanted))


def _together(blocks: list[str], wanted: set[str]) -> str:
    """The last block that defines what is wanted, and before it those that it needs."""
    if len(blocks) == 1:
        return blocks[0]
    defined = [_defined(block) for block in blocks]
    makers = [n for n, names in enumerate(defined) if names & wanted] or [
        n for n, block in enumerate(blocks) if re.search(r"\b(?:def|class)\s+\w", block)
    ]
    last = makers[-1] if makers else len(blocks) - 1
    chosen, bound, needed = [last], defined[last], wanted | _needed(blocks[last])
    while len(chosen) < MOST_BLOCKS:
        helpers = [n for n, names in enumerate(defined) if n not in chosen and names & (needed - bound)]
        if not helpers:
            break
        chosen.append(helpers[-1])
        bound, needed = bound | defined[helpers[-1]], needed | _needed(blocks[helpers[-1]])
    return "\n".join(blocks[n] for n in [*sorted(chosen[1:]), last])


def _defined(block: str) -> set[str]:
    """The names that a block gives at its outer level, also where it is no Python as a whole."""
    return {
        name for match in _DEFINITION.finditer(block) for name in re.findall(r"\w+", match[1] or match[2] or match[3])
    }


def _needed(code: str) -> set[str]:
    """The names that code uses and does not bind; none where it is no Python."""
    from rlkit.sandbox.inside.asserts import free

    try:
        return free(ast.parse(code)) if len(code) <= LONGEST else set()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()


def _without_prose(text: str) -> str:
    """The code of a text that has no fences: from its first definition or import, where sentences go before it.

    A sentence starts with a capital letter, without indentation; one after the code ends it.
    """
    begin = _BEGIN.search(text)
    lead = text[: begin.start()] if begin else ""
    if begin is None or not _SENTENCE.match(lead.lstrip("\n")) or _needed(lead):
        return text
    code = text[begin.start() :]
    end = _SENTENCE.search(code)
    return code[: end.start()] if end else code


def _blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a text, with the language that each names; the last may have no end."""
    blocks: list[tuple[str, str]] = []
    lines: list[str] | None = None
    fence = language = ""
    indent = 0
    for line in text.splitlines(keepends=True):
        mark = line.strip()
        sign = mark[:1] if mark[:1] in ("`", "~") else "`"
        length = len(mark) - len(mark.lstrip(sign))
        if lines is None:
            if length >= 3 and "`" not in mark[length:]:
                fence, language, lines = mark[:length], mark[length:].strip().lower(), []
                indent = len(line) - len(line.lstrip())
        elif mark == sign * length and mark.startswith(fence):
            blocks.append((language, "".join(lines)))
            lines = None
        else:
            lines.append(line[min(indent, len(line) - len(line.lstrip(" \t"))) :])
    return [*blocks, (language, "".join(lines))] if lines is not None else blocks


def _text(prompt: Any) -> str:
    """The text of a prompt, or of the last message in it that a user wrote."""
    if isinstance(prompt, str) or not prompt:
        return prompt or ""
    written = [message.get("content") or "" for message in prompt if message.get("role") == "user"]
    content = written[-1] if written else ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _acts(value: ast.expr) -> bool:
    """Whether an expression does anything, as a call does."""
    return any(isinstance(node, ast.Call | ast.Await | ast.Yield | ast.NamedExpr) for node in ast.walk(value))
