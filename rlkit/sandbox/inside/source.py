"""How a model's text and the prompt make one program."""

from contextlib import suppress

ONLY_PARSE = 0x400  # ast.PyCF_ONLY_AST; the module ast takes longer to import than all else here
DEFINITIONS = ("FunctionDef", "AsyncFunctionDef", "ClassDef")
LINES = 50
"""How many lines of a prompt may come before its code."""


def parse(text: str) -> list[object] | None:
    """The statements of a program, or None where it is none."""
    try:
        statements: list[object] = compile(text, "<program>", "exec", ONLY_PARSE).body
        return statements
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def assemble(text: str, prompt: str, entry: str) -> list[str]:
    """The program as a list of texts to run one after the other.

    A text that defines what is asked for stands alone, after what the prompt defines besides. A text that does
    not is the body of the prompt's last function; where its first line, or each, has lost its indentation, it gets it.
    """
    name = entry.split("(")[0].split(".")[0]
    before = code_of(prompt)
    if not before:
        return [text]
    statements = parse(text)
    if statements is not None and (not name or name in _defined(statements)):
        return [besides(before, name), text]
    stub = before if before.endswith("\n") else before + "\n"
    body = "".join("    " + line for line in text.splitlines(keepends=True))
    shifted = "    " + text.lstrip()
    tries = [stub + text, stub + shifted, stub + body] if text[:1].isspace() else [stub + shifted, stub + body]
    for program in (*tries, before + text):
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            compile(program, "<program>", "exec", dont_inherit=True)
            return [program]
    return [text]


def code_of(prompt: str) -> str:
    """The code that a prompt holds: all of it, its last fenced block, or what follows an instruction; else nothing."""
    tries = [prompt]
    fenced = prompt.split("```")
    tries += [block.partition("\n")[2] for block in fenced[1::2][::-1]]
    lines = prompt.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines[:LINES]) if not line[:1].isspace()]
    tries += ["".join(lines[number:]) for number in starts[1:]]
    for text in tries:
        for code in (text, text.rstrip() + "\n    pass\n"):  # a function that has no body yet
            statements = parse(code)
            if statements and any(type(one).__name__ in DEFINITIONS for one in statements):
                return text if code == text else text.rstrip() + "\n"
    return ""


def besides(code: str, name: str) -> str:
    """A prompt's code without what it asks for: imports, constants and helpers."""
    statements = parse(code) or parse(code + "    pass\n") or []
    lines = code.encode().split(b"\n")
    for one in statements:
        if type(one).__name__ in DEFINITIONS and (getattr(one, "name", "") == name or _is_stub(one)):
            first = min([one.lineno, *(mark.lineno for mark in one.decorator_list)])  # type: ignore[attr-defined]
            lines[first - 1 : one.end_lineno] = [b""] * (one.end_lineno - first + 1)  # type: ignore[attr-defined]
    return b"\n".join(lines).decode()


def _is_stub(definition: object) -> bool:
    """Whether a function has nothing but a docstring, `pass` or `...`."""
    is_class = type(definition).__name__ == "ClassDef"
    body: list[object] = definition.body  # type: ignore[attr-defined]
    plain = (type(getattr(one, "value", None)).__name__ == "Constant" or type(one).__name__ == "Pass" for one in body)
    return not is_class and all(type(one).__name__ in ("Expr", "Pass") for one in body) and all(plain)


def _defined(statements: list[object]) -> set[str]:
    names: set[str] = set()
    for one in statements:
        if type(one).__name__ in DEFINITIONS:
            names.add(one.name)  # type: ignore[attr-defined]
        for target in [*getattr(one, "targets", []), getattr(one, "target", None)]:
            names.add(getattr(target, "id", ""))
        for alias in getattr(one, "names", []) if type(one).__name__ in ("Import", "ImportFrom") else []:
            names.add(alias.asname or alias.name)
    return names
