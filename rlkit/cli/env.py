"""`rlkit env`: versions and hardware."""

import click


@click.command("env", short_help="Show versions and hardware.", epilog="Example: rlkit env --json > env.json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Show versions and hardware: what to put into a bug report."""
    import json

    from rlkit.environment import environment

    env = environment()
    if as_json:
        click.echo(json.dumps(env))
        return
    gpus = ", ".join(f"{gpu['name']} ({gpu['memory_gb']} GB)" for gpu in env["gpus"]) or "none"
    sandboxes = ", ".join(f"{kind} ({why or 'works'})" for kind, why in env["sandbox"].items())
    rows = {**env, "gpus": gpus, "sandbox": sandboxes, **env["packages"]}
    rows.pop("packages")
    for name, value in rows.items():
        click.echo(f"{name:<14} {'not installed' if value is None else value}")
