"""`rlkit push`: a model to the Hub, with its card."""

from pathlib import Path

import click


@click.command(
    "push",
    short_help="Put a model on the Hub, with a card that holds what was measured.",
    epilog="""Examples:

\b
  rlkit push runs/quickstart-20260101-120000 me/quickstart-lora --dry-run
  rlkit push ./merged me/quickstart
  rlkit push ./gguf me/quickstart-gguf --public""",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("repo")
@click.option("--public", is_flag=True, help="Let everybody see the repository; else it is made private.")
@click.option("--replace-card", is_flag=True, help="Write README.md anew where the repository has one.")
@click.option("--revision", metavar="BRANCH", help="Push to this branch, which is made where there is none.")
@click.option("--dry-run", is_flag=True, help="Print the files and the card, and touch no network.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    path: Path, repo: str, public: bool, replace_card: bool, revision: str | None, dry_run: bool, as_json: bool
) -> None:
    """Push PATH (an export's folder, an adapter, or a run: its last model) to REPO, as OWNER/NAME.

    Files that the repository holds already are not sent again, also after a push that broke off. An export that was
    not found equal to the trained model is refused. The token is the one of `hf auth login`, or $HF_TOKEN.
    """
    import json

    from rlkit.export.hub import hub
    from rlkit.progress import Progress

    progress = Progress()
    upload = hub.plan(path, repo, public=public, replace_card=replace_card, revision=revision)
    for note in upload.notes:
        progress.say(f"  {note}")
    url = None if dry_run else hub.push(upload, progress)
    if as_json:
        files = [{"name": name, "size": count} for name, count in upload.sizes.items()]
        asked = {"repo": repo, "revision": upload.revision, "kind": upload.kind, "public": public}
        click.echo(json.dumps({**asked, "files": files, **({"card": upload.card} if dry_run else {"url": url})}))
    elif url:
        click.echo(url)
    else:
        where = f"{repo}, {'public' if public else 'private'}, branch {upload.revision}"
        click.echo(f"{upload.kind} to {where}:")
        for name, count in upload.sizes.items():
            click.echo(f"  {hub.size(count):>8}  {name}")
        click.echo(f"\n{(upload.card or '').rstrip()}")
