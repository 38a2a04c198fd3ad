"""The command line: one thin file a command, each over a function that Python calls just as well.

Data goes to stdout, words to stderr. Exit 0: done; 1: the run failed; 2: the request was wrong; 130: interrupted.
"""

import importlib
import logging
import sys
import traceback

import click

from rlkit.errors import RlkitError

COMMANDS = (
    "train",
    "eval",
    "export",
    "push",
    "chat",
    "generate",
    "score",
    "audit",
    "validate",
    "ls",
    "show",
    "cp",
    "init",
    "report",
    "env",
    "schema",
)


class LazyGroup(click.Group):
    """Imports a command's file when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"rlkit.cli.{name}").command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with: rlkit train quickstart. Any command takes --debug, which shows tracebacks.",
)
@click.version_option(package_name="rlkit")
def cli() -> None:
    """Align language models with reinforcement learning: reward functions, GRPO recipes, evaluation."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command; returns its exit code."""
    after: list[str] = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, after = arguments[:at], arguments[at + 1 :]
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of kernels that only its 4-bit wants
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        if after and "train" not in arguments:
            raise click.UsageError("what stands after -- goes to accelerate launch, which only `rlkit train` calls")
        code = cli.main(arguments, prog_name="rlkit", obj={"after": after}, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show(sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        print("\ninterrupted", file=sys.stderr)
        return 130
    except RlkitError as error:
        _show(error, str(error), debug)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except Exception as error:
        _show(error, f"{type(error).__name__}: {error}\n(a bug, or a library's own error; --debug shows where)", debug)
        return 1


def _show(error: Exception, text: str, debug: bool) -> None:
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    print(f"error: {text}", file=sys.stderr)
