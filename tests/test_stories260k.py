"""The whole chain on a real pretrained model of 260,000 weights that nobody here made."""

import json
import struct

import pytest
import torch

from rlkit import pipeline
from rlkit.engines import Sampling, choose
from rlkit.policy import Policy
from rlkit.progress import Progress
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.load import load


def read_weights(file):
    """llama2.c's format: seven ints, then float32 tensors in a fixed order."""
    raw = file.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocab, length = struct.unpack("7i", raw[:28])
    values, at = torch.frombuffer(bytearray(raw[28:]), dtype=torch.float32), 0

    def take(*shape):
        nonlocal at
        count = int(torch.tensor(shape).prod())
        at += count
        return values[at - count : at].view(*shape).clone()

    kv = dim * kv_heads // heads
    order = [
        ("embed", (vocab, dim)),
        ("input_layernorm", (layers, dim)),
        ("self_attn.q_proj", (layers, dim, dim)),
        ("self_attn.k_proj", (layers, kv, dim)),
        ("self_attn.v_proj", (layers, kv, dim)),
        ("self_attn.o_proj", (layers, dim, dim)),
        ("post_attention_layernorm", (layers, dim)),
        ("mlp.gate_proj", (layers, hidden, dim)),
        ("mlp.down_proj", (layers, dim, hidden)),
        ("mlp.up_proj", (layers, hidden, dim)),
        ("norm", (dim,)),
    ]
    sizes = {"dim": dim, "hidden": hidden, "layers": layers, "heads": heads, "kv": kv_heads, "vocab": vocab}
    return {**sizes, "length": length}, {name: take(*shape) for name, shape in order}


def interleaved_to_halves(weight, heads):
    """llama2.c turns neighbouring pairs, transformers the two halves of a head."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


@pytest.fixture(scope="module")
def stories(shared_data, tmp_path_factory):
    """The model as transformers' Llama, with a tokenizer that writes token n as the character n."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    sizes, weights = read_weights(shared_data / "weights" / "stories260K" / "stories260K.bin")
    config = LlamaConfig(
        hidden_size=sizes["dim"],
        intermediate_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv"],
        vocab_size=sizes["vocab"],
        max_position_embeddings=sizes["length"],
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=1,
    )
    state = {"model.embed_tokens.weight": weights["embed"], "model.norm.weight": weights["norm"]}
    for name in weights.keys() - {"embed", "norm"}:
        for layer in range(sizes["layers"]):
            tensor = weights[name][layer]
            if name.endswith(("q_proj", "k_proj")):
                tensor = interleaved_to_halves(tensor, sizes["heads" if "q_proj" in name else "kv"])
            state[f"model.layers.{layer}.{name}.weight"] = tensor
    state["lm_head.weight"] = weights["embed"]
    model = LlamaForCausalLM(config)
    model.load_state_dict(state)
    vocabulary = {chr(0x4E00 + n): n for n in range(sizes["vocab"])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=chr(0x4E00)))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=chr(0x4E01), bos_token=chr(0x4E01), pad_token=chr(0x4E00)
    )
    folder = tmp_path_factory.mktemp("stories") / "stories260K"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model, tokenizer


def test_the_expected_greedy_tokens_come_out_exactly(stories, shared_data):
    _, model, tokenizer = stories
    expected = json.loads((shared_data / "weights" / "stories260K" / "expected_greedy.json").read_text())
    model.generation_config.eos_token_id = None
    engine, _ = choose(GenerationSection(engine="transformers"), Policy(model.eval(), tokenizer))
    ids = expected["greedy_ids"]
    made = engine.generate([[expected["bos_id"]]], Sampling(max_completion_length=len(ids), temperature=0.0))
    assert made.completion_ids[0] == ids


@pytest.mark.slow
def test_the_length_reward_moves_a_real_models_length_toward_its_target(stories, tmp_path):
    """Its stories run to the limit of 48 tokens; the reward asks for 12."""
    folder, _, _ = stories
    prompt = "".join(chr(0x4E00 + n) for n in (403, 407, 261))
    rows = [{"prompt": prompt + chr(0x4E00 + n)} for n in (378, 432, 383, 286, 261, 376, 298, 315)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"model: {{path: {folder}}}\n"
        f"data: {{path: {tmp_path}/prompts.jsonl, prompt: prompt}}\n"
        "rewards: [{length: {target: 12}}]\n"
        "generation: {num_generations: 16, max_completion_length: 48}\n"
        "threads: 1\n"
        "stages:\n"
        "  - eval: {name: before, samples: 8}\n"
        "  - grpo:\n"
        "      training: {max_steps: 40, per_device_train_batch_size: 64, learning_rate: 1e-3,\n"
        "                 gradient_checkpointing: false}\n"
        "  - eval: {name: after, samples: 8}\n"
    )
    run = pipeline.train(load(str(recipe)), tmp_path / "run", progress=Progress(quiet=True))
    before, after = (e["metrics"]["mean_length"] for e in run.summary() if e["stage"] == "eval")
    assert abs(after - 12) < 0.5 * abs(before - 12), (before, after)
