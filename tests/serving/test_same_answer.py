"""One prompt, every way to serve the model: the same answer."""

import sys
from pathlib import Path

import pytest
import torch
import transformers
from made import gguf_of, speaking

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
from serving import server

pytestmark = pytest.mark.slow
ASK = "How many apples are 3 and 4?"
TOKENS = 24


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return speaking(tmp_path_factory.mktemp("models") / "speaking")


@pytest.fixture(scope="module")
def expected(model):
    """By transformers alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    messages = [{"role": "user", "content": ASK}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    made = loaded.generate(**ids, max_new_tokens=TOKENS, do_sample=False)
    return tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)


def generated(rlkit, path, *options):
    done = rlkit("generate", path, "--prompt", ASK, "--max-tokens", TOKENS, *options)
    assert done.code == 0, done.err
    return done.out.removesuffix("\n")


def test_rlkit_generate(model, expected, rlkit):
    assert len(set(expected.split())) > 1
    assert generated(rlkit, model) == expected


def test_rlkit_generate_by_vllm(model, expected, rlkit):
    pytest.importorskip("vllm")
    assert generated(rlkit, model, "--engine", "vllm") == expected


def test_vllms_server_through_openais_client(model, expected):
    pytest.importorskip("vllm")
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server(model).address}/v1", api_key="none")
    messages = [{"role": "user", "content": ASK}]
    asked = {"model": str(model), "messages": messages, "max_tokens": TOKENS, "temperature": 0.0}
    assert client.chat.completions.create(**asked).choices[0].message.content == expected


def test_llama_cpp_python(model, expected, rlkit, tmp_path):
    file = gguf_of(model, tmp_path)
    import llama_cpp

    llama = llama_cpp.Llama(str(file), n_ctx=512, type_k=0, type_v=0, verbose=False)
    messages = [{"role": "user", "content": ASK}]
    answer = llama.create_chat_completion(messages, max_tokens=TOKENS, temperature=0.0, repeat_penalty=1.0)
    llama.close()
    assert answer["choices"][0]["message"]["content"] == expected
    assert generated(rlkit, file) == expected
