"""`rlkit report`: the page of a run."""

from pathlib import Path

import click


@click.command(
    "report",
    short_help="Draw a run's curves and write its report.html.",
    epilog="Example: rlkit report runs/quickstart-20260101-120000",
)
@click.argument("run", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Draw the curves of a run and write its report.html, also while it goes on."""
    from rlkit import report
    from rlkit.errors import MissingExtraError, RequestError
    from rlkit.runs import RunDirectory, is_run

    if not is_run(run):
        raise RequestError(f"{run} is no run directory: it has no recipe.yaml and summary.json")
    try:
        from rlkit import curves

        curves.draw(RunDirectory(run))
    except ModuleNotFoundError as error:
        raise MissingExtraError("drawing curves", str(error.name), "plots") from None
    click.echo(str(report.write(RunDirectory(run))))
