import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import hear_interrupts

from rlkit.cli import chat, generate
from rlkit.errors import RequestError

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
from made import speaking, templated


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return speaking(tmp_path_factory.mktemp("models") / "speaking")


def talk(model, lines, *options):
    """Lines piped into `rlkit chat`, in this process."""
    arguments = [str(model), "--max-tokens", "8", *map(str, options)]
    return CliRunner().invoke(
        chat.command, arguments, input="".join(f"{line}\n" for line in lines), catch_exceptions=False
    )


def answer(model, prompt, *options):
    arguments = [str(model), "--prompt", prompt, "--max-tokens", "8", *options]
    return CliRunner().invoke(generate.command, arguments, catch_exceptions=False).stdout


def test_each_line_is_a_turn_and_the_answers_alone_go_to_stdout(model):
    first = answer(model, "How many apples?")
    done = talk(model, ["How many apples?", "", "How many apples?", "/reset", "How many apples?", "/exit", "lost"])
    assert done.exit_code == 0
    assert done.stdout.startswith(first)
    assert done.stdout.endswith(first)
    assert done.stdout != first * 3  # the second answer knows the first turn
    assert done.stderr.count("cut off") == 3
    assert "forgotten" in done.stderr


def test_what_was_said_is_what_the_model_is_asked_with(model):
    from rlkit.engines import Sampling
    from rlkit.serving.conversation import Conversation
    from rlkit.serving.open import open_model
    from rlkit.serving.prompt import Prompter

    served, _ = open_model(str(model))
    prompter = Prompter(served, "Be brief.")
    conversation = Conversation(served, prompter, Sampling(max_completion_length=6, temperature=0.0))
    heard: list[str] = []
    conversation.ask("How many apples?", heard.append)
    assert conversation.messages == [
        {"role": "user", "content": "How many apples?"},
        {"role": "assistant", "content": "".join(heard)},
    ]

    def broken_off(piece):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversation.ask("And clips?", broken_off)
    assert [message["role"] for message in conversation.messages] == ["user", "assistant"] * 2
    assert conversation.messages[-1]["content"]
    kept = list(conversation.messages)
    with pytest.raises(RequestError, match="the model sees 512"):
        conversation.ask("long " * 600, heard.append)
    assert conversation.messages == kept


def test_a_system_prompt_is_said_and_used(model):
    done = talk(model, ["How many apples?"], "--system", "Be brief.")
    assert "system prompt: Be brief." in done.stderr
    assert done.stdout == answer(model, "How many apples?", "--system", "Be brief.")


def test_without_a_template_each_line_stands_by_itself_and_that_is_said(model, tmp_path):
    plain = templated(model, tmp_path / "plain", None)
    done = talk(plain, ["There are", "There are"])
    assert "no chat template" in done.stderr
    assert done.stdout == 2 * answer(plain, "There are", "--raw")


def test_a_conversation_that_is_too_long_ends_a_pipe_with_an_error(model):
    with pytest.raises(RequestError, match="the model sees 512"):
        talk(model, ["long " * 600])


def test_a_wrong_name_of_a_system_prompt_is_told_first():
    with pytest.raises(RequestError, match="xml"):
        talk("./no-model", [], "--system", "xnl")


class Terminal:
    """`rlkit chat` as a person has it."""

    def __init__(self, model, *options):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rlkit", "chat", str(model), *options],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=hear_interrupts,
        )
        os.close(slave)
        self.text = ""

    def until(self, wanted, timeout=120.0):
        """Read until something was shown; what was shown before it is forgotten."""
        end = time.monotonic() + timeout
        while wanted not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.master, 65_536).decode(errors="replace")
                except OSError:  # the other end is closed
                    assert wanted in self.text, self.text
        before, _, self.text = self.text.partition(wanted)
        return before

    def type(self, line):
        os.write(self.master, line.encode())

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.mark.slow
def test_at_a_terminal_an_answer_can_be_broken_off_and_the_conversation_goes_on(model):
    terminal = Terminal(model, "--max-tokens", "400")
    try:
        terminal.until("> ")
        terminal.type("How many apples?\n")
        terminal.until("apples?")
        terminal.until("\n")
        select.select([terminal.master], [], [], 60)  # the first piece of the answer
        os.kill(terminal.process.pid, signal.SIGINT)
        terminal.until("(broken off)")
        terminal.until("> ")
        terminal.type("long " * 600 + "\n")
        terminal.until("the model sees 512")
        terminal.until("> ")
        terminal.type("\x04")
        assert terminal.process.wait(timeout=60) == 0
    finally:
        terminal.close()
