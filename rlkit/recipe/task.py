"""`task:` a supervised task, by its name or with parameters."""

from typing import Annotated, Any

from pydantic import AfterValidator

from rlkit import tasks
from rlkit.errors import RequestError


def _exists(entry: str | dict[str, Any]) -> str | dict[str, Any]:
    try:
        tasks.make(entry)
    except RequestError as error:
        raise ValueError(str(error)) from None
    return entry


TaskEntry = Annotated[str | dict[str, dict[str, Any] | None], AfterValidator(_exists)]
