"""Two processes that call each other, one of which trusts the other with nothing but plain data.

Either may ask while it is asked: a function that is passed as an argument is called back. Changes that a call makes to
lists, dictionaries and sets among its arguments are carried back.
"""

import builtins
import json
import os
from collections.abc import Callable
from typing import Any

from .codec import Decoder, Encoder

LONGEST = 1 << 26
"""Bytes that one message may have."""


class GoneError(BaseException):
    """The other process has ended, or speaks nonsense."""


class Peer:
    """This end of the connection. What is no plain value crosses it as a number that the other end can use.

    Args:
        file: The descriptor of the socket.
        operations: What the other end may ask for, by name.
        lend: Says how the other end may use an object, or raises TypeError.
        borrow: Makes the stand-in for an object of the other end, from how it may be used.
    """

    def __init__(
        self,
        file: int,
        operations: dict[str, Callable[..., Any]],
        lend: Callable[[Any], list[Any]],
        borrow: Callable[[list[Any]], Any],
    ):
        self.file = file
        self.operations = operations
        self.lend = lend
        self.borrow = borrow
        self._reader = open(file, "rb", closefd=False)  # noqa: SIM115
        self._lent: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._borrowed: dict[int, Any] = {}
        self._theirs: dict[int, int] = {}

    def ask(self, operation: str, *arguments: Any, **named: Any) -> Any:
        """Have the other end do something, and wait for what comes of it."""
        encode = Encoder(self._refer)
        self._send(["ask", operation, [encode(a) for a in arguments], {key: encode(a) for key, a in named.items()}])
        ours = len(encode.kept)
        while True:
            said = self._receive()
            try:
                if said[0] == "ask":
                    failure = None
                elif said[0] == "error":
                    failure = _failure(said[1], said[2])
                else:
                    decode = Decoder(self._resolve, encode.kept)
                    result = decode(said[1])
                    for number, content in said[2]:
                        decode.fill(encode.kept[:ours][number], content)
                    return result
            except Exception as error:
                raise GoneError(f"it answered nonsense: {error!r}") from None
            if failure is not None:
                raise failure
            self._answer(said)

    def serve(self) -> None:
        """Do what the other end asks for, until it is gone."""
        while True:
            self._answer(self._receive())

    def _answer(self, said: list[Any]) -> None:
        try:
            _, operation, arguments, named = said
            decode = Decoder(self._resolve)
            arguments = [decode(argument) for argument in arguments]
            named = {key: decode(argument) for key, argument in named.items()}
            before = [Encoder(self._refer, list(decode.kept)).content(value) for value in decode.kept]
            result = self.operations[operation](*arguments, **named)
            encode = Encoder(self._refer, list(decode.kept))
            answer = ["value", encode(result), []]
            after = [encode.content(value) for value in decode.kept]
            answer[2] = [[n, content] for n, content in enumerate(after) if content != before[n]]
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            answer = ["error", _name(error), str(error)[:1000]]
        self._send(answer)

    def _refer(self, value: Any) -> list[Any]:
        if id(value) in self._theirs:
            return ["yours", self._theirs[id(value)]]
        how = self.lend(value)
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._lent)
            self._lent.append(value)
        return ["mine", self._numbers[id(value)], how]

    def _resolve(self, data: list[Any]) -> Any:
        whose, number = data[:2]
        if whose == "yours":
            return self._lent[number]
        if whose != "mine" or type(number) is not int:
            raise ValueError("no value")
        if number not in self._borrowed:
            self._borrowed[number] = made = self.borrow(data[2])
            self._theirs[id(made)] = number
        return self._borrowed[number]

    def _send(self, message: list[Any]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        try:
            while data:
                data = data[os.write(self.file, data) :]
        except OSError as error:
            raise GoneError(f"it is gone: {error}") from None

    def _receive(self) -> list[Any]:
        try:
            line = self._reader.readline(LONGEST)
            if not line.endswith(b"\n"):
                raise GoneError("it is gone" if len(line) < LONGEST else "it answered without end")
            said = json.loads(line)
            if not isinstance(said, list):
                raise ValueError("no message")
            return said
        except Exception as error:
            raise GoneError(f"it answered nonsense: {error!r}") from None


def _name(error: BaseException) -> str:
    """The built-in type of an error, or the nearest above it."""
    return next(kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind)


def _failure(name: str, said: str) -> BaseException:
    kind = getattr(builtins, str(name), None)
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        raise ValueError("no error")
    if not issubclass(kind, Exception):
        return GoneError(f"it ended itself: {name}")
    try:
        return kind(str(said))
    except TypeError:  # some want more than a text
        return Exception(str(said))
