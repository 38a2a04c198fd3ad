"""Can the model hub be reached? Asked once, so that a machine without one is told in seconds."""

import functools
import os
import socket
from pathlib import Path
from urllib.parse import urlparse


def is_hub_id(path: str) -> bool:
    """Whether a path means a repository on the hub: `owner/name` or `name`, and nothing local is called so."""
    return not Path(path).exists() and path.count("/") <= 1 and not path.startswith((".", "/", "~"))


@functools.cache
def reachable(timeout: float = 5.0) -> bool:
    """Whether the hub answers; where it does not, the libraries are told to use their caches and not to retry."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    endpoint = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    try:
        port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        socket.create_connection((endpoint.hostname or "", port), timeout).close()
        return True
    except OSError:
        _go_offline()
        return False


def _go_offline() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets.config
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = True
    datasets.config.HF_HUB_OFFLINE = True
