"""Small models as people serve them, and a run that left one."""

import shutil

import pytest
import torch
import transformers

from rlkit import cache, scratch
from rlkit.export.gguf import gguf, llama_cpp
from rlkit.recipe.load import load
from rlkit.recipe.model import FromScratchSection, TokenizerSection
from rlkit.runs import RunDirectory

TEXTS = ["How many apples are 3 and 4?", "There are 7 apples.", "How many clips did Natalia sell altogether?"]


def speaking(folder):
    """A Llama of the size of the tiny model, which echoes: its answers are text and depend on all of the prompt."""
    section = FromScratchSection(
        hidden_size=64,
        num_attention_heads=2,
        tie_word_embeddings=False,
        tokenizer=TokenizerSection(vocab_size=320),
    )
    tokenizer = scratch.make_tokenizer(section.tokenizer, TEXTS * 5)
    model = scratch.make_model(section, tokenizer, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8.0)
        silent = [n for n in range(len(tokenizer)) if not tokenizer.decode([n]).isascii()]  # parts of characters
        model.lm_head.weight[[*tokenizer.all_special_ids, *silent]] = 0.0  # nor does it end by itself
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def templated(model, folder, template):
    """A copy of a model with another chat template; None: with none."""
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


def run_of(recipe_file, model, path):
    """The directory of a run of a recipe, each of whose training stages left a model."""
    recipe = load(str(recipe_file))
    run = RunDirectory.create(path, recipe)
    for stage in recipe.resolved():
        if stage.kind != "eval":
            shutil.copytree(model, run.folder(stage))
        run.finish(stage, 1.0, {})
    return run


def gguf_of(model, folder):
    """A model as a GGUF file in float32; skips, by name, where what makes or runs it is not there."""
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python (the extra gguf, built from source)")
    if not (cache.folder() / f"llama.cpp-{llama_cpp.VERSION}").is_dir():
        pytest.skip("llama.cpp's converter is not in the cache: `make gguf` fetches it")
    return gguf.write(model, folder, "speaking", ["f32"])["f32"]
