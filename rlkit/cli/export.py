"""`rlkit export`: merged weights and GGUF files."""

from pathlib import Path

import click


@click.command(
    "export",
    short_help="Merge a trained model, or make GGUF files of it.",
    epilog="""Examples:

\b
  rlkit export runs/gsm8k-20260101-120000 --to merged -o gsm8k-merged
  rlkit export runs/gsm8k-20260101-120000 --to gguf --quant q8_0,q4_k_m -o gsm8k-gguf
  rlkit export ./my-adapter --to merged --dtype float16 -o my-model

Next: rlkit push FOLDER OWNER/NAME""",
)
@click.argument("model")
@click.option("--to", "kind", required=True, type=click.Choice(["merged", "gguf"]), help="What to make.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A folder that is made.")
@click.option("--quant", default="q8_0", show_default=True, metavar="TYPES", help="GGUF types, with commas between.")
@click.option("--dtype", help="Of merged weights: float32, bfloat16, float16; as the base's are kept if left out.")
@click.option("--name", help="What the model is called; GGUF files are named after it.")
@click.option(
    "--llama-cpp-dir", type=click.Path(path_type=Path), help="Your own llama.cpp, for its converter and llama-quantize."
)
@click.option("--pre-tokenizer", metavar="NAME", help="How the tokenizer splits text, as llama.cpp calls it; if asked.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    model: str,
    kind: str,
    output: Path,
    quant: str,
    dtype: str | None,
    name: str | None,
    llama_cpp_dir: Path | None,
    pre_tokenizer: str | None,
    as_json: bool,
) -> None:
    """Export MODEL (a run, an adapter, a folder or a hub id) and compare each copy with the model that was trained.

    A copy counts when it reads the same tokens, renders the same chat template and gives the same answers on the
    run's own prompts. Where one differs, it is said how, the files are kept, and the exit code is 1.
    """
    import dataclasses
    import json

    from rlkit.errors import RequestError
    from rlkit.export import export
    from rlkit.export.source import Source
    from rlkit.progress import Progress, hush

    if kind == "gguf" and dtype:
        raise RequestError("--dtype is of merged weights; for GGUF name the types: --quant f16,q8_0")
    source, progress = Source.find(model, name), Progress()
    hush()
    types = [part.strip().lower() for part in quant.split(",") if part.strip()]
    if kind == "merged":
        made = export.to_merged(source, output, dtype, progress)
    else:
        made = export.to_gguf(source, output, types, llama_cpp_dir, progress, pre_tokenizer)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(made), "folder": str(output)}))
    else:
        click.echo(str(output))
