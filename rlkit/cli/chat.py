"""`rlkit chat`: a conversation with a model."""

import sys
from collections.abc import Iterator
from typing import Any

import click

HELP = "/reset forgets what was said, /exit (or Ctrl-D) ends"


@click.command(
    "chat",
    short_help="Talk with a model.",
    epilog="""Examples:

\b
  rlkit chat runs/first
  rlkit chat ./model-Q4_K_M.gguf --system "Answer in one sentence." --temperature 0.7
  echo "What is 12 + 30?" | rlkit chat ./my-adapter""",
)
@click.argument("path")
@click.option("--system", metavar="TEXT", help='System prompt, or the name of one; the run\'s by default, "" for none.')
@click.option("--max-tokens", type=click.IntRange(1), help="Tokens of an answer at the most; as the run, else 1024.")
@click.option("--temperature", type=click.FloatRange(0), default=0.0, show_default=True, help="0 is greedy.")
def command(path: str, system: str | None, max_tokens: int | None, temperature: float) -> None:
    """Talk with PATH: a run, the folder of a model or an adapter, a hub id, or a .gguf file.

    A line is a turn; the answer comes as it is written. /reset forgets what was said, /exit or Ctrl-D ends, Ctrl-C
    breaks an answer off. Where lines are piped in, each is a turn, and the answers alone go to stdout.
    """
    from rlkit.progress import Progress
    from rlkit.prompts import system_prompt

    own = system_prompt(system) if system else None  # a misspelt name is told before the weights are loaded

    from rlkit.engines import Sampling
    from rlkit.serving.conversation import Conversation
    from rlkit.serving.open import open_model
    from rlkit.serving.prompt import Prompter

    progress = Progress()
    served, origin = open_model(path)
    try:
        for note in (*served.notes, *origin.notes):
            progress.say(note)
        prompter = Prompter(served, origin.system if system is None else own, origin.chat)
        if not prompter.chat:
            why = "the run trained on plain text" if served.has_template else "the model has no chat template"
            progress.say(f"{why}: it goes on from each line by itself, and forgets the ones before")
        if prompter.system:
            progress.say(f"system prompt: {prompter.system}")
        sampling = Sampling(max_tokens or origin.max_tokens or 1024, temperature)
        _talk(Conversation(served, prompter, sampling), progress)
    finally:
        served.close()


def _talk(conversation: Any, progress: Any) -> None:
    from rlkit.errors import RequestError

    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if terminal:
        progress.say(HELP)
    for line in _lines(terminal):
        text = line.strip()
        if text == "/exit":
            return
        if text == "/reset":
            conversation.reset()
            progress.say("forgotten")
            continue
        if not text:
            continue
        try:
            ended = conversation.ask(text, lambda piece: click.echo(piece, nl=False))
            click.echo()
            if not ended:
                progress.say("(cut off: --max-tokens, or the model's context)")
        except KeyboardInterrupt:
            if not terminal:
                raise
            click.echo()
            progress.say("(broken off)")
        except RequestError as error:
            if not terminal:
                raise
            progress.say(f"error: {error}\n{HELP}")


def _lines(terminal: bool) -> Iterator[str]:
    """The user's lines until there are no more."""
    if not terminal:
        yield from sys.stdin
        return
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # input() then edits lines and remembers them
    while True:
        try:
            yield input("> ")
        except EOFError:
            click.echo()
            return
