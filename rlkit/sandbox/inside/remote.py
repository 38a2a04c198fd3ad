"""Stand-ins for the candidate's objects, in the process that examines it."""

from typing import Any

from .codec import VERDICTS


class Remote:
    """Stands for an object of the candidate's process: what it does is done there.

    It is equal to nothing, so that the candidate cannot say that it is. Nor has it the methods by which plain values
    say yes or no (`startswith`), unless the tests made it from a class that they name: a function that has to
    give a text gives one, not an object that says yes to all.
    """

    __slots__ = ("__ask", "__is_class", "__is_made")

    def __init__(self, ask: Any):
        for name, value in (("ask", ask), ("is_class", False), ("is_made", False)):
            object.__setattr__(self, f"_Remote__{name}", value)

    def __getattr__(self, name: str) -> Any:
        if (name.startswith("__") and name != "__name__") or (
            name in VERDICTS and not (self.__is_made or self.__is_class)
        ):
            raise AttributeError(name)
        return self.__ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__ask("setattr", self, name, value)

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: D102
        made = self.__ask("call", self, *arguments, **named)
        if self.__is_class and isinstance(made, Remote):
            object.__setattr__(made, "_Remote__is_made", True)
        return made

    def __iter__(self) -> Any:
        return self.__ask("iter", self)

    def __next__(self) -> Any:
        return self.__ask("next", self)

    def __len__(self) -> Any:
        return self.__ask("len", self)

    def __bool__(self) -> Any:
        return self.__ask("bool", self)

    def __int__(self) -> Any:
        return self.__ask("int", self)

    def __float__(self) -> Any:
        return self.__ask("float", self)

    def __index__(self) -> Any:
        return self.__ask("index", self)

    def __str__(self) -> Any:
        return self.__ask("str", self)

    def __repr__(self) -> Any:
        return self.__ask("repr", self)

    def __getitem__(self, key: Any) -> Any:
        return self.__ask("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__ask("setitem", self, key, value)

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__
