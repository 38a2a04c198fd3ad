"""`rlkit generate`: completions of one prompt, or of a file of them."""

from pathlib import Path
from typing import Any

import click


@click.command(
    "generate",
    short_help="Complete one prompt, or a file of them.",
    epilog="""Examples:

\b
  rlkit generate runs/first --prompt "What is 12 + 30?"
  rlkit generate ./model-Q8_0.gguf --prompt "What is 12 + 30?" --system xml --max-tokens 64
  rlkit generate runs/first --data questions.jsonl --n 8 --output rollouts.jsonl
  rlkit score rollouts.jsonl --reward xmlcount""",
)
@click.argument("path")
@click.option("--prompt", metavar="TEXT", help="What is asked.")
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE.jsonl", help="Rows with prompt, or messages.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT.jsonl", help="Write rows to this file.")
@click.option("--system", metavar="TEXT", help='System prompt, or the name of one; the run\'s by default, "" for none.')
@click.option("--max-tokens", type=click.IntRange(1), help="Tokens of a completion at the most; as the run, else 256.")
@click.option("--temperature", type=click.FloatRange(0), help="0 is greedy: the default; 1 where --n is above 1.")
@click.option("--n", "count", type=click.IntRange(1), default=1, show_default=True, help="Completions of a prompt.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of what is sampled.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "transformers", "vllm"]),
    default="auto",
    show_default=True,
    help="What generates; llama.cpp runs GGUF files.",
)
@click.option("--raw", is_flag=True, help="The text as it is: no chat template, no system prompt.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a completion; with -o one that sums up.")
def command(
    path: str,
    prompt: str | None,
    data: Path | None,
    output: Path | None,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    count: int,
    seed: int,
    engine: str,
    raw: bool,
    as_json: bool,
) -> None:
    """Complete prompts with PATH: a run, the folder of a model or an adapter, a hub id, or a .gguf file.

    A row of FILE has `prompt` (a text, or messages) or `messages`. It comes out with all that it had and `completion`,
    --n rows together, as `rlkit score` reads them: on stdout, or in OUT.jsonl.
    """
    import json

    from rlkit.errors import RequestError
    from rlkit.progress import Progress
    from rlkit.prompts import system_prompt
    from rlkit.serving.rows import Row, read, written

    if (prompt is None) == (data is None):
        raise RequestError("say what is asked: --prompt TEXT, or --data FILE.jsonl (one of them)")
    if output and (output.exists() or not output.parent.is_dir()):
        wrong = "it exists; name another file" if output.exists() else f"there is no folder {output.parent}"
        raise RequestError(f"--output {output}: {wrong}")
    if raw and system:
        raise RequestError("--raw takes the prompt as it is, without --system: leave one of them out")
    if temperature is None:
        temperature = 1.0 if count > 1 else 0.0
    if count > 1 and temperature == 0:
        raise RequestError(f"--n {count} --temperature 0: all completions of a prompt would be the same")
    own = system_prompt(system) if system else None
    rows = read(data) if data else [Row("--prompt", {"prompt": prompt}, prompt or "")]

    from rlkit.engines import Sampling
    from rlkit.serving.complete import complete
    from rlkit.serving.open import open_model
    from rlkit.serving.prompt import Prompter

    progress = Progress()
    served, origin = open_model(path, engine)
    try:
        _tell(progress, served, [*served.notes, *origin.notes], raw, origin.chat)
        sampling = Sampling(max_tokens or origin.max_tokens or 256, temperature, n=count, seed=seed)
        prompter = Prompter(served, origin.system if system is None else own, origin.chat, raw)
        done = progress.count("completed", len(rows) * count) if data else None
        groups = complete(served, prompter, [(row.where, row.asked) for row in rows], sampling, done)
    finally:
        served.close()
    made = [
        (row.data | {"completion": one.text}, one) for row, group in zip(rows, groups, strict=True) for one in group
    ]
    lines = (json.dumps(row, ensure_ascii=False) for row, _ in made)
    clipped = sum(one.clipped for _, one in made)
    if clipped:
        progress.say(f"{clipped:,} of {len(made):,} completions were cut off: --max-tokens, or the model's context")
    if output:
        with written(output) as file:
            file.writelines(f"{line}\n" for line in lines)
        progress.say(f"{output}: {len(made):,} rows")
        if as_json:
            click.echo(json.dumps({"model": path, "rows": len(made), "clipped": clipped, "output": str(output)}))
        return
    for line, (_, one) in zip(lines, made, strict=True):
        click.echo(line if data or as_json else one.text)


def _tell(progress: Any, served: Any, notes: list[str], raw: bool, chat: bool) -> None:
    """What a person should know before the first answer."""
    for note in notes:
        progress.say(note)
    if not raw and chat and not served.has_template:
        progress.say("the model has no chat template: prompts are plain text")
