"""`push:` a run's checkpoints on the Hub, while it goes on."""

from pydantic import Field

from rlkit.recipe.section import Section


class PushSection(Section):
    """Push checkpoints as they are saved, and the last model with its card when the run is done."""

    repo: str = Field(pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$")
    """OWNER/NAME; it is made where there is none."""
    every: int = Field(default=1, ge=1)
    """Every so many checkpoints one is pushed; `training.save_steps` says how often there is one."""
    public: bool = False
    """Everybody may see it; else it is made private."""
    replace_card: bool = False
    """At the end, write the card anew where the repository has one."""
    revision: str = "main"
    """The branch."""
