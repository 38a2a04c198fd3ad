"""Pushes what a run leaves while it goes on: see `Pusher`."""

from dataclasses import replace
from pathlib import Path

from rlkit.errors import RlkitError
from rlkit.export.hub import hub
from rlkit.progress import Progress
from rlkit.recipe.push import PushSection


class Pusher:
    """Pushes every so many checkpoints without a card, and the last model with its own.

    A push that fails is told of and ends nothing: the next one sends what is missing.

    Args:
        section: The recipe's `push:`.
        progress: Where lines for a person go.

    Raises:
        RequestError: There is no token, or the network is forbidden: told before anything is trained.
    """

    def __init__(self, section: PushSection, progress: Progress):
        self.section, self.progress = section, progress
        self._saved = 0
        hub.token(section.repo)

    def saved(self, checkpoint: Path) -> None:
        """A checkpoint is there."""
        self._saved += 1
        if self._saved % self.section.every == 0:
            self._push(checkpoint, card=False)

    def done(self, run: Path) -> None:
        """The run is done."""
        self._push(run, card=True)

    def _push(self, path: Path, card: bool) -> None:
        asked = self.section
        try:
            upload = hub.plan(
                path, asked.repo, public=asked.public, replace_card=asked.replace_card, revision=asked.revision
            )
            url = hub.push(upload if card else replace(upload, card=None), self.progress)
            self.progress.say(f"  {path.name} pushed: {url}")
        except RlkitError as error:
            again = f"rlkit push {path} {asked.repo}" + (" --public" if asked.public else "")
            self.progress.say(f"  warning: {path.name} was not pushed: {error}\n  again with: {again}")
