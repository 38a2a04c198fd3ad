"""Ollama's Modelfile: what it says is what the chat template does."""

import shutil

import pytest
import shapes
from transformers import AutoTokenizer

from rlkit.export.gguf import modelfile

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " 1 + 1?\n"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "Why?"},
]
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
TRIMS = shapes.CHATML.replace("message['content']", "message['content'] | trim")
DEFAULT_SYSTEM = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nHi<|im_end|>\n{% endif %}" + shapes.CHATML
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + shapes.CHATML


def wrapping(template, bos=None):
    tokenizer = shapes.trained_tokenizer()
    tokenizer.chat_template = template
    if bos:
        tokenizer.bos_token = bos

    def render(messages, ask):
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)

    return modelfile.wrapping(render, bos), render


@pytest.mark.parametrize(("template", "bos"), [(shapes.CHATML, None), (LLAMA3, "<|begin|>")], ids=["chatml", "llama3"])
def test_a_template_that_puts_text_around_messages_is_said_with_the_same_outcome(template, bos):
    found, render = wrapping(template, bos)
    assert found is not None
    assert found.render(CHAT) == render(CHAT, True)
    assert found.head == (bos or "")


@pytest.mark.parametrize("template", [TRIMS, DEFAULT_SYSTEM, NO_SYSTEM], ids=["trims", "default system", "no system"])
def test_a_template_that_does_more_is_not_said(template):
    assert wrapping(template)[0] is None


def test_ollamas_words_for_chatml():
    found, _ = wrapping(shapes.CHATML)
    assert found.ollama(head=True) == (
        '{{ range .Messages }}{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n'
        "{{ end }}{{ end }}<|im_start|>assistant\n"
    )


def test_the_file_has_what_ollama_needs(tiny_model, tmp_path):
    text = modelfile.write(tmp_path, "My", tiny_model, ["f16", "q4_k_m", "q8_0"], "Think first.").read_text()
    assert "FROM ./My-Q8_0.gguf\n" in text
    assert 'TEMPLATE """{{ range .Messages }}' in text
    assert 'SYSTEM """Think first."""' in text
    assert "PARAMETER num_ctx 512\n" in text
    assert 'PARAMETER stop "<|end|>"\n' in text


def test_where_there_is_no_template_the_file_says_so(tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = None
    (model / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(model)
    text = modelfile.write(tmp_path, "My", model, ["f16"]).read_text()
    assert "# No TEMPLATE" in text
    assert "SYSTEM" not in text


def test_the_command_line_quotes_what_has_to_be(tmp_path):
    assert modelfile.command(tmp_path / "My model.gguf") == f"llama-cli -m '{tmp_path}/My model.gguf' --jinja"
