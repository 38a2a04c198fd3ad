"""`rlkit train`: run a recipe."""

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import click


@click.command(
    "train",
    short_help="Run a recipe: SFT, GRPO, evaluation.",
    epilog="""Examples:

\b
  rlkit train quickstart
  rlkit train gsm8k training.max_steps=50 model.path=./my-model
  rlkit train my.yaml --plugin my_rewards.py --run-dir runs/first
  rlkit train my.yaml --run-dir runs/first --resume
  rlkit train gsm8k -- --num_processes 4

Next: rlkit eval RUN --recipe RECIPE""",
)
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[a.b=v]...")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="Plugin file with rewards; may be repeated.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where the run goes; runs/RECIPE-TIME if left out.")
@click.option("--resume", is_flag=True, help="Go on with the run in --run-dir.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the resolved recipe, write nothing.")
@click.pass_context
def command(
    context: click.Context,
    recipe: str,
    overrides: tuple[str, ...],
    plugins: tuple[str, ...],
    run_dir: Path | None,
    resume: bool,
    dry_run: bool,
) -> None:
    """Train by a recipe: a file, or a built-in one (see `rlkit ls recipes`).

    Fields are overridden as a.b=v. What stands after -- goes to `accelerate launch`.
    """
    from rlkit.errors import RequestError
    from rlkit.recipe.load import load
    from rlkit.runs import RunDirectory, resolved

    accelerate = context.obj["after"]
    if resume and run_dir is None:
        raise RequestError("--resume needs the run to go on with: --run-dir DIR")
    loaded = load(recipe, overrides, plugins, processes=_processes(accelerate))
    if run_dir is None:
        run_dir = Path("runs") / f"{loaded._name}-{datetime.now():%Y%m%d-%H%M%S}"
    if resume:
        RunDirectory.resume(run_dir, loaded)
    elif os.environ.get("RANK", "0") == "0":
        RunDirectory.refuse_existing(run_dir)
    from rlkit import pipeline
    from rlkit.plan import Plan

    if dry_run:
        plan = Plan.make(loaded)
        pipeline.configurations(plan, RunDirectory(run_dir))
        for stage in plan.stages:
            click.echo(f"stage {stage.index} {stage.name}: {plan.rows[stage.index]}", err=True)
        click.echo(resolved(loaded), nl=False)
        return
    try:
        if accelerate:
            Plan.make(loaded)
            context.exit(launch(accelerate, [recipe, *overrides], plugins, run_dir, resume))
        pipeline.train(loaded, run_dir, resume)
    except KeyboardInterrupt:
        if run_dir.exists():
            click.echo(f"\ngo on with: rlkit train {run_dir}/recipe.yaml --run-dir {run_dir} --resume", err=True)
        raise
    if os.environ.get("RANK", "0") == "0":
        click.echo(str(run_dir))


def _processes(accelerate: list[str]) -> int | None:
    """How many processes will train: as asked after --, or as the launcher that started this one promised."""
    for at, argument in enumerate(accelerate):
        name, _, value = argument.partition("=")
        if name in ("--num_processes", "--num-processes"):
            value = value or (accelerate[at + 1] if at + 1 < len(accelerate) else "")
            return int(value) if value.isdigit() else None
    return None


def launch(accelerate: list[str], asked: list[str], plugins: tuple[str, ...], run_dir: Path, resume: bool) -> int:
    """Start the same command in several processes; returns the exit code.

    Args:
        accelerate: Arguments of `accelerate launch`. On a CPU it would start one process whatever it is told, so
            there torch's own launcher starts them.
        asked: The recipe and its overrides.
        plugins: Plugin files.
        run_dir: Where all of them work.
        resume: Go on with it.
    """
    files = [part for file in plugins for part in ("--plugin", file)]
    own = ["-m", "rlkit", "train", *asked, *files, "--run-dir", str(run_dir), *(["--resume"] if resume else [])]
    processes, environment = _processes(accelerate), dict(os.environ)
    if {"--cpu", "--use_cpu", "--use-cpu"} & {*accelerate} and (processes or 1) > 1:
        environment["ACCELERATE_USE_CPU"] = "true"
        start = ["torch.distributed.run", f"--nproc_per_node={processes}", "--master_port=0", "--standalone"]
    else:
        start = ["accelerate.commands.launch", *accelerate]
    return subprocess.run([sys.executable, "-m", *start, *own], env=environment).returncode
