"""To the Hub: a repository is made, gets what it lacks, and tells what went wrong in words that help."""

import hashlib
import json
import logging
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from rlkit.errors import RequestError, RlkitError
from rlkit.export.hub import answers
from rlkit.export.hub.upload import CARD, Upload, plan
from rlkit.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

__all__ = ["Upload", "plan", "push", "size"]

TRIES = 5
LARGE = 10_000_000
"""Bytes from which a file is sent by itself, before the commit: a push that breaks off has sent it for good."""
COMMIT_FILES = 100
WEIGHTS = re.compile(r"(model(-\d+-of-\d+)?\.safetensors|pytorch_model(-\d+-of-\d+)?\.bin)(\.index\.json)?")
"""Names under which transformers looks for whole weights."""
Made = TypeVar("Made")


def push(upload: Upload, progress: Progress) -> str:
    """Send what the repository does not hold yet; returns its url.

    The repository is made where there is none. What others put there stays, but for weights that the new ones
    stand for. The token is the one that huggingface_hub finds.

    Raises:
        RequestError: There is no token, the hub refuses it or the repository, or its visibility is not what was asked.
        RunError: The hub cannot be reached, or goes on failing.
    """
    import httpx
    import huggingface_hub

    import rlkit

    token(upload.repo)
    sizes = upload.sizes
    progress.say(f"push of {upload.kind} to {upload.repo}: {len(sizes)} files, {size(sum(sizes.values()))}")
    api = huggingface_hub.HfApi(library_name="rlkit", library_version=rlkit.__version__)
    with _words(progress):
        try:
            repository = _Repository(api, upload, progress)
            repository.open()
            repository.fill()
        except RlkitError:
            raise
        except (httpx.HTTPError, OSError, RuntimeError, ValueError) as error:
            raise answers.told(answers.root(error), upload.repo, api.endpoint) from None
    branch = "" if upload.revision == "main" else f"/tree/{upload.revision}"
    return f"{api.endpoint}/{upload.repo}{branch}"


def token(repo: str) -> None:
    """Make sure that there is a token to push with, and that the network may be used.

    Raises:
        RequestError: One of them is not so.
    """
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise RequestError(
            f"push to {repo}: the network is off: $HF_HUB_OFFLINE is set (unset it), or the hub could not be reached "
            f"when this command began"
        )
    if huggingface_hub.get_token() is None:
        raise RequestError(
            f"push to {repo}: there is no token; log in with `hf auth login`, or set $HF_TOKEN to a token with write "
            f"rights from {constants.ENDPOINT}/settings/tokens"
        )


class _Repository:
    """A repository on the hub while it is pushed to."""

    def __init__(self, api: "HfApi", upload: Upload, progress: Progress):
        self.api = api
        self.upload = upload
        self.progress = progress

    def open(self) -> None:
        """Make it, or see that it is as private as was asked; then its branch."""
        repo, public = self.upload.repo, self.upload.public
        self._patiently(lambda: self.api.create_repo(repo, private=not public, exist_ok=True))
        private = self._patiently(lambda: self.api.repo_info(repo)).private
        if public and private:
            self.progress.say(
                f"  {repo} exists and is private: it stays so until its settings on the hub say otherwise"
            )
        if not (public or private):
            raise RequestError(f"push to {repo}: it exists and everybody can see it; --public says that you mean it")
        if self.upload.revision != "main":
            branch = self.upload.revision
            self._patiently(lambda: self.api.create_branch(repo, branch=branch, exist_ok=True))

    def fill(self) -> None:
        """Send the files that it lacks, large ones each by itself, and commit them."""
        held = self._held()
        self._refuse_a_mixture(held)
        operations = self._operations(keep_card=CARD in held and not self.upload.replace_card)
        lacking = [operation for operation in operations if not _same(operation, held.get(operation.path_in_repo))]
        large = [operation for operation in lacking if operation.upload_info.size >= LARGE]
        for done, operation in enumerate(large, start=1):
            self.api.preupload_lfs_files(self.upload.repo, [operation], revision=self.upload.revision)
            said = f"{operation.path_in_repo} ({size(operation.upload_info.size)})"
            self.progress.say(f"  {said} is there, {done} of {len(large)} large files")
        sent = self._patiently(lambda: self._commit(operations))
        if not lacking:
            self.progress.say(f"  {self.upload.repo} holds all of it already")
        elif sent:
            self.progress.say(f"  {len(lacking)} files sent, {len(operations) - len(lacking)} were there")

    def _held(self) -> dict[str, Any]:
        """Name -> what the hub knows of a file that is there."""
        listed = self._patiently(
            lambda: list(self.api.list_repo_tree(self.upload.repo, recursive=True, revision=self.upload.revision))
        )
        return {entry.path: entry for entry in listed if hasattr(entry, "blob_id")}

    def _refuse_a_mixture(self, held: dict[str, Any]) -> None:
        """Raise where an adapter and whole weights would lie together: libraries then load one on the other."""
        kind, repo = self.upload.kind, self.upload.repo
        if kind in ("merged", "model") and "adapter_config.json" in held:
            raise RequestError(
                f"push to {repo}: it holds an adapter, which would be laid over these weights; name another"
            )
        if kind == "adapter" and any(WEIGHTS.fullmatch(name) for name in held):
            raise RequestError(f"push to {repo}: it holds whole weights, which an adapter would hide; name another")

    def _operations(self, keep_card: bool) -> list["CommitOperationAdd"]:
        from huggingface_hub import CommitOperationAdd

        card = self.upload.shown
        if card and keep_card:
            self.progress.say(f"  the {CARD} of {self.upload.repo} stays as it is; --replace-card writes it anew")
            card = {}
        files = {**self.upload.files, **card}
        return [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in files.items()]

    def _commit(self, operations: list["CommitOperationAdd"]) -> bool:
        """Commit what is not there; whether anything was not. After a lost answer, it finds what has been done."""
        from huggingface_hub import CommitOperationDelete

        held = self._held()
        lacking = [operation for operation in operations if not _same(operation, held.get(operation.path_in_repo))]
        old = self._replaced(held)
        if old:
            self.progress.say(f"  weights that these replace are taken out: {', '.join(old)}")
        groups = [lacking[at : at + COMMIT_FILES] for at in range(0, len(lacking), COMMIT_FILES)] or (
            [[]] if old else []
        )
        for number, group in enumerate(groups, start=1):
            part = f" ({number} of {len(groups)})" if len(groups) > 1 else ""
            gone = [CommitOperationDelete(name) for name in old] if number == len(groups) else []
            self.api.create_commit(
                self.upload.repo,
                [*group, *gone],
                commit_message=f"Upload {self.upload.kind} with rlkit{part}",
                revision=self.upload.revision,
            )
        return bool(groups)

    def _replaced(self, held: dict[str, Any]) -> list[str]:
        """Weights in the repository that would be loaded beside, or instead of, those that are pushed."""
        if self.upload.kind not in ("merged", "model"):
            return []
        return sorted(name for name in held if WEIGHTS.fullmatch(name) and name not in self.upload.files)

    def _patiently(self, action: Callable[[], Made]) -> Made:
        """Do it again after what passes: 429 (when the hub says), 409, 5xx, a connection that breaks."""
        import httpx

        for tried in range(1, TRIES):
            try:
                return action()
            except (httpx.HTTPError, RuntimeError, json.JSONDecodeError) as error:
                wait = answers.wait(answers.root(error), tried)
                if wait is None:
                    raise
                self.progress.say(
                    f"  {answers.reason(answers.root(error))}; again in {wait:g} s ({tried} of {TRIES - 1})"
                )
                time.sleep(wait)
        return action()


def size(count: int) -> str:
    """Bytes as a person says them."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def _same(operation: "CommitOperationAdd", there: Any) -> bool:
    """Whether a file of the repository holds what would be sent."""
    if there is None or there.size != operation.upload_info.size:
        return False
    if there.lfs:
        return bool(operation.upload_info.sha256.hex() == there.lfs.sha256)
    with operation.as_file() as file:
        content = file.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == there.blob_id


class _Words(logging.Handler):
    """What huggingface_hub logs, in the progress's own way."""

    def __init__(self, progress: Progress):
        super().__init__(logging.WARNING)
        self.progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        self.progress.say(f"  {answers.clean(record.getMessage())}")


@contextmanager
def _words(progress: Progress) -> Iterator[None]:
    """Let the library speak through `progress`; its bars only where there is a terminal."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    logger = logging.getLogger("huggingface_hub")
    before, upwards, bars = logger.handlers[:], logger.propagate, not are_progress_bars_disabled()
    logger.handlers[:], logger.propagate = [_Words(progress)], False
    if progress.quiet or not sys.stderr.isatty():
        disable_progress_bars()
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        logger.handlers[:], logger.propagate = before, upwards
        if bars:
            enable_progress_bars()
        for warning in caught:
            if not issubclass(warning.category, DeprecationWarning):
                progress.say(f"  {answers.clean(str(warning.message))}")
