"""Small models of the shapes that are exported, with random weights and real tokenizers."""

import json
import sys
from pathlib import Path
from random import Random

import pytest

from rlkit import cache
from rlkit.export.gguf import llama_cpp

SHAPES = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "gemma2": {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 64},
    "gemma3_text": {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 64},
    "smollm3": {},
    "phi3": {},
}
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXTS = (
    "How many are 17 and 2,348?\n\n  Add them: 17 + 2348 = 2365.",
    " two  spaces,\ttab\nand\n\nlines ",
    "Größe, naïve, Ω≈3.14159, 漢字とかな, हिन्दी, 'don't' \"I'LL\" 1234567890 x=5; f(a, b)[0] 🙂👩‍👩‍👧",
    "x",
    "",
)
"""Texts on which tokenizers part."""
LETTERS = "abc XYZ 0123456789\n\t.,;:!?'\"()éüßñ漢字かなकि٣٤²½🙂👩‍👧\u00a0\u3000"


def make(folder: Path, shape: str, tokenizer, hidden: int = 64, dtype: str = "float32", spread: float = 0.1) -> Path:
    """Save a model of a shape with a tokenizer; the spread of its weights says how sure it is of what it says."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, set_seed

    config = AutoConfig.for_model(
        shape,
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=spread,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPES[shape],
    )
    set_seed(0)
    model = AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype))
    with torch.no_grad():  # what is made as ones or zeros must be carried over too
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * (0.05 if "norm" in name else 0.1))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def odd_texts(count: int) -> list[str]:
    """Texts that nobody would write."""
    random = Random(0)
    return ["".join(random.choices(LETTERS, k=random.randint(1, 60))) for _ in range(count)]


def trained_tokenizer(split_digits: bool = True):
    """As a recipe makes one from scratch: merges may cross spaces and lines."""
    from rlkit import scratch
    from rlkit.recipe.model import TokenizerSection

    texts = ["<reasoning>\n7 + 5 = 12\n</reasoning>\n<answer>\n12\n</answer>\n", "How many are 12 and 30? Größe 漢字"]
    return scratch.make_tokenizer(TokenizerSection(vocab_size=384, split_digits=split_digits), texts * 20)


def saved_tokenizer(data: Path, name: str):
    """A real byte-level BPE, with ChatML's template."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(data / "tokenizers" / name / "tokenizer.json"))
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})
    tokenizer.add_tokens(["<|im_start|>"], special_tokens=True)
    tokenizer.chat_template = CHATML
    return tokenizer


def sentencepiece_tokenizer(data: Path, tools: Path):
    """Llama 2's SentencePiece vocabulary as transformers has it: a BPE with bytes to fall back on."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    file = data / "tokenizers" / "llama_cpp" / "ggml-vocab-phi-3.gguf"
    fields = reader(file, tools).fields
    tokens, scores = (fields[f"tokenizer.ggml.{name}"].contents()[:32000] for name in ("tokens", "scores"))
    ids = {text: n for n, text in enumerate(tokens)}
    merges = []
    for text in sorted((t for t in tokens[259:] if len(t) > 1), key=lambda t: -scores[ids[t]]):
        cuts = [(text[:n], text[n:]) for n in range(1, len(text))]
        found = [cut for cut in cuts if cut[0] in ids and cut[1] in ids]
        merges += sorted(found, key=lambda cut: (ids[cut[0]], ids[cut[1]]))
    inner = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    inner.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<unk>", "<s>", "</s>")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = CHATML
    return tokenizer


def expected_ids(data: Path, name: str) -> list[tuple[str, list[int]]]:
    """Texts and their ids, as llama.cpp's own tests have them."""
    folder = data / "tokenizers" / "llama_cpp"
    texts = (folder / f"{name}.gguf.inp").read_text().split("\n__ggml_vocab_test__\n")
    ids = (folder / f"{name}.gguf.out").read_text().splitlines()
    return [(text, [int(n) for n in line.split()]) for text, line in zip(texts, ids, strict=False)]


def fetched() -> Path:
    """The converter in the cache; no test fetches 77 MB."""
    folder = cache.folder() / f"llama.cpp-{llama_cpp.VERSION}"
    if not folder.is_dir():
        pytest.skip("llama.cpp's converter is not in the cache: `make gguf` fetches it")
    return folder


def reader(file: Path, tools: Path):
    """A GGUF file, read with llama.cpp's own reader."""
    sys.path.insert(0, str(tools / "gguf-py"))
    try:
        from gguf import GGUFReader
    finally:
        sys.path.remove(str(tools / "gguf-py"))
    return GGUFReader(file)


def tensor_types(file: Path, tools: Path) -> dict[str, str]:
    """Tensor -> its type."""
    return {tensor.name: tensor.tensor_type.name for tensor in reader(file, tools).tensors}


def metadata(file: Path, tools: Path) -> dict:
    """What a GGUF file says of itself, without the vocabulary."""
    fields = reader(file, tools).fields
    lists = ("tokens", "scores", "token_type", "merges")
    return {name: field.contents() for name, field in fields.items() if name.split(".")[-1] not in lists}


def edit_json(file: Path, change) -> None:
    """Change a JSON file in place."""
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))
