"""Where a model lies: a folder, or a repository on the hub; and what lies under an adapter."""

import json
from pathlib import Path
from typing import Any

from rlkit import hub
from rlkit.errors import RequestError


def exists(path: str, revision: str | None = None) -> None:
    """Make sure, before anything is loaded, that a path holds a model.

    Raises:
        RequestError: It is neither a folder with a model nor a model on the hub.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not any((folder / name).exists() for name in ("config.json", "adapter_config.json")):
            raise RequestError(f"model {path}: the folder has no config.json and no adapter_config.json")
        return
    if not hub.is_hub_id(path):
        raise RequestError(f"model {path}: there is no such folder (from {Path.cwd()})")
    hub.reachable()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    for name in ("config.json", "adapter_config.json"):
        try:
            hf_hub_download(path, name, revision=revision)
            return
        except GatedRepoError:
            raise RequestError(
                f"model {path}: the hub grants access on request: ask on its page, then `hf auth login`"
            ) from None
        except LocalEntryNotFoundError:
            raise RequestError(
                f"model {path}: there is no such folder, the hub cannot be reached, and the cache has no such model"
            ) from None
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, ValueError) as error:
            said = str(error).split("\n")[0]
            raise RequestError(f"model {path}: no such folder, and on the hub: {said}") from None
    raise RequestError(f"model {path}: the repository has no config.json and no adapter_config.json")


def adapter_config(path: str) -> dict[str, Any] | None:
    """What PEFT wrote of the adapter at a path; None where there is none."""
    return described(path, "adapter_config.json")


def described(path: str, name: str, revision: str | None = None) -> dict[str, Any] | None:
    """A JSON file of a model, in its folder or as `exists` fetched it from the hub; None where there is none."""
    file = Path(path).expanduser() / name
    if not Path(path).expanduser().is_dir():
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(path, name, revision=revision)
        if not isinstance(cached, str):
            return None
        file = Path(cached)
    return json.loads(file.read_text()) if file.exists() else None


def is_adapter(path: str) -> bool:
    """Whether a path (a folder, or a hub id that `exists` has looked at) holds an adapter."""
    return adapter_config(path) is not None


def base(path: str) -> tuple[str, str | None]:
    """The model that an adapter was trained on, and its revision; a model itself is its own.

    Local ones come as absolute paths.

    Raises:
        RequestError: The adapter's base is neither where it was, nor beside the adapter, nor on the hub.
    """
    adapter = adapter_config(path)
    under = str(adapter["base_model_name_or_path"]) if adapter else path
    beside = Path(path).expanduser().resolve().parent / Path(under).name  # a run directory that was moved
    for folder in (Path(under).expanduser(), beside) if adapter else (Path(under).expanduser(),):
        if folder.is_dir():
            return str(folder.resolve()), adapter.get("revision") if adapter else None
    if adapter is None:
        return under, None
    try:
        exists(under)
    except RequestError as error:
        raise RequestError(f"model {path} is an adapter, and its base is not there: {error}") from None
    return under, adapter.get("revision")
