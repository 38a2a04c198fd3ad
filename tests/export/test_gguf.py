"""Models of the shapes that users train, converted by llama.cpp's converter and loaded again by llama.cpp."""

import json
import shutil

import numpy
import pytest
import shapes
import torch
from test_stories260k import stories  # noqa: F401

from rlkit.errors import MissingExtraError, RequestError, RunError
from rlkit.export.gguf import gguf, quantize
from rlkit.progress import Progress


@pytest.fixture(scope="module")
def tools():
    return shapes.fetched()


@pytest.fixture(scope="module")
def llama():
    """llama-cpp-python, which takes minutes to build."""
    return pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: `make gguf` builds it")


@pytest.fixture(scope="module")
def tokenizers(tools, request):
    """Tokenizers by name; the real ones where the data is."""

    def get(name):
        if name == "trained":
            return shapes.trained_tokenizer()
        data = request.getfixturevalue("shared_data")
        return shapes.sentencepiece_tokenizer(data, tools) if name == "pieces" else shapes.saved_tokenizer(data, name)

    return get


def same(copy, folder):
    """Hold a file to the model: tokens, template, greedy tokens; how far the logits are apart, over their spread."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for text in (*shapes.TEXTS, *shapes.odd_texts(500)):
        assert copy.tokens(text) == tokenizer(text, add_special_tokens=False).input_ids, text
    chat = [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": " 7\n"}]
    chat += [{"role": "user", "content": "Größe?"}]
    rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert copy.render(chat) == rendered
    ids = tokenizer(rendered, add_special_tokens=False).input_ids
    assert copy.tokens(rendered) == ids
    with torch.no_grad():
        made = model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False, eos_token_id=None)[0].tolist()
        own = model(torch.tensor([made])).logits[0].numpy()
    found = copy.logits(made)[:, : own.shape[1]]
    sure = numpy.sort(own, -1)[:, -1] - numpy.sort(own, -1)[:, -2] > 0.05
    assert (found.argmax(-1) == own.argmax(-1))[sure].all()
    return float(numpy.abs(found - own).max() / own.std())


TOKENIZER = {"mistral": "pieces", "gemma2": "pieces", "phi3": "pieces", "qwen2": "minimind", "qwen3": "minimind"}
TOKENIZER |= {"llama": "trained", "gemma3_text": "pieces", "smollm3": "torchtune_tiny"}


@pytest.mark.slow
@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_a_file_answers_as_the_model_that_it_was_made_of(shape, tokenizers, tools, llama, tmp_path):
    from rlkit.export.gguf.copy import GgufCopy

    model = shapes.make(tmp_path / "model", shape, tokenizers(TOKENIZER[shape]))
    files = gguf.write(model, tmp_path / "out", "Shape", ["f32", "f16"], tools)
    assert same(GgufCopy(files["f32"], threads=1), model) < 0.02
    assert same(GgufCopy(files["f16"], threads=1), model) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ("llama", "minimind"),
        ("llama", "torchtune_tiny"),
        ("llama", "pieces"),
        ("gemma2", "trained"),
        ("phi3", "trained"),
    ],
)
def test_a_tokenizer_of_another_kind_than_the_shape_is_known_for_is_carried_over(
    shape, name, tokenizers, tools, llama, tmp_path
):
    """The converter guesses the tokenizer's kind from the shape; a model from scratch may have any."""
    from rlkit.export.gguf.copy import GgufCopy

    model = shapes.make(tmp_path / "model", shape, tokenizers(name))
    files = gguf.write(model, tmp_path / "out", "Shape", ["f32"], tools)
    assert same(GgufCopy(files["f32"], threads=1), model) < 0.02


@pytest.mark.slow
def test_a_real_sentencepiece_vocabulary_gives_the_ids_that_llama_cpp_publishes(
    tokenizers, tools, llama, shared_data, tmp_path
):
    from rlkit.export.gguf.copy import GgufCopy

    model = shapes.make(tmp_path / "model", "llama", tokenizers("pieces"))
    copy = GgufCopy(gguf.write(model, tmp_path / "out", "Shape", ["f16"], tools)["f16"], threads=1)
    expected = shapes.expected_ids(shared_data, "ggml-vocab-phi-3")
    assert len(expected) > 40
    for text, ids in expected:
        assert copy.tokens(text) == ids, text


@pytest.fixture(scope="module")
def quantizable(tools, tmp_path_factory):
    """A model in bfloat16 whose rows are multiples of 256, as k-quants need."""
    folder = tmp_path_factory.mktemp("quantizable") / "model"
    return shapes.make(folder, "llama", shapes.trained_tokenizer(), hidden=256, dtype="bfloat16", spread=0.05)


def most(kind):
    return {"q8": 0.002, "q6": 0.01, "q5": 0.03}.get(kind[:2], 0.1)


def divergence(copy, model, ids):
    """Mean KL divergence a token, in nats."""
    with torch.no_grad():
        own = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    other = torch.as_tensor(copy.logits(ids)).log_softmax(-1)
    return float((own.exp() * (own - other)).sum(-1).mean())


@pytest.mark.slow
def test_quantized_files_have_the_types_asked_for_and_stay_near(quantizable, tools, llama, tmp_path, capfd):
    from transformers import AutoModelForCausalLM

    from rlkit.export.gguf.copy import GgufCopy

    asked = ["q8_0", "Q4_K_M", "q6_k", "q5_k_m", "q4_0", "iq4_xs"]
    files = gguf.write(quantizable, tmp_path, "My-Model", asked, tools, Progress())
    assert "falling back" not in capfd.readouterr().err
    assert [file.name for file in files.values()] == [
        *("My-Model-Q8_0.gguf", "My-Model-Q4_K_M.gguf", "My-Model-Q6_K.gguf", "My-Model-Q5_K_M.gguf"),
        *("My-Model-Q4_0.gguf", "My-Model-IQ4_XS.gguf"),
    ]
    model = AutoModelForCausalLM.from_pretrained(quantizable, dtype=torch.float32).eval()
    types = {"q8_0": "Q8_0", "q6_k": "Q6_K", "q5_k_m": "Q5_K", "q4_k_m": "Q4_K", "iq4_xs": "IQ4_XS", "q4_0": "Q4_0"}
    apart = {kind: divergence(GgufCopy(file, threads=1), model, list(range(10, 200))) for kind, file in files.items()}
    for kind, file in files.items():
        assert types[kind] in shapes.tensor_types(file, tools).values()
        assert apart[kind] < most(kind), apart
    assert apart["q8_0"] < apart["q6_k"] < apart["q5_k_m"] < apart["q4_k_m"] < apart["q4_0"], apart
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*(f.name for f in files.values()), "Modelfile"])


@pytest.mark.slow
def test_every_type_that_is_offered_can_be_made(quantizable, tools, llama, tmp_path):
    files = gguf.write(quantizable, tmp_path, "All", list(gguf.TYPES), tools)
    assert set(files) == set(gguf.TYPES)
    assert all(file.read_bytes()[:4] == b"GGUF" for file in files.values())


@pytest.mark.slow
def test_rows_that_k_quants_cannot_take_are_spoken_of(tiny_model, tools, llama, tmp_path, capfd):
    files = gguf.write(tiny_model, tmp_path / "out", "Tiny", ["q4_k_m"], tools, Progress())
    said = capfd.readouterr().err
    assert "q4_k_m: tensors whose rows are no multiple of its blocks (256) have another type" in said
    assert "q5_0" in said
    assert "Q5_0" in shapes.tensor_types(files["q4_k_m"], tools).values()


@pytest.mark.slow
def test_two_hundred_greedy_tokens_of_a_real_model_come_out_of_its_file(
    stories,  # noqa: F811
    shared_data,
    tools,
    llama,
    tmp_path,
):
    from rlkit.export.gguf.copy import GgufCopy

    # Its own tokenizer is not among the data; ids are all that is asked, so that any that GGUF can hold will do.
    model = shutil.copytree(stories[0], tmp_path / "model", ignore=shutil.ignore_patterns("*token*"))
    shapes.trained_tokenizer().save_pretrained(model)
    expected = json.loads((shared_data / "weights" / "stories260K" / "expected_greedy.json").read_text())
    files = gguf.write(model, tmp_path / "out", "stories260K", ["f32", "f16"], tools)
    for kind, file in files.items():
        copy, ids = GgufCopy(file, threads=1), [expected["bos_id"]]
        for _ in expected["greedy_ids"]:
            ids.append(int(copy.logits(ids)[-1].argmax()))
        assert ids[1:] == expected["greedy_ids"], kind


def test_a_text_longer_than_the_context_makes_room(tiny_file, llama):
    from rlkit.export.gguf.copy import ROOM, GgufCopy

    copy = GgufCopy(tiny_file, threads=1)
    ids = [5 + n % 100 for n in range(ROOM + 100)]
    rows = copy.logits(ids)
    assert rows.shape[0] == len(ids)
    assert rows.dtype == numpy.float32
    assert numpy.allclose(rows[:20], copy.logits(ids[:20]), atol=1e-4)


def test_a_file_that_is_cut_off_is_refused(tiny_file, llama, tmp_path):
    from rlkit.export.gguf.copy import GgufCopy

    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_file.read_bytes()[:-5000])
    with pytest.raises(RunError, match=r"llama\.cpp cannot load .*cut\.gguf"):
        GgufCopy(cut)


@pytest.fixture(scope="module")
def tiny_file(tiny_model, tools, tmp_path_factory):
    """The small model of all tests, in 16 bits."""
    folder = tmp_path_factory.mktemp("gguf")
    return gguf.write(tiny_model, folder, "tiny-phi3", ["f16"], tools)["f16"]


def test_a_file_says_nothing_of_the_machine_that_it_was_made_on(tiny_model, tiny_file, tools):
    said = shapes.metadata(tiny_file, tools)
    assert not [value for value in said.values() if str(tiny_model.parent) in str(value)]
    assert not [name for name in said if name.startswith("general.") and ("base" in name or "source" in name)]


def test_llama_cpp_is_not_led_astray_by_a_name(tiny_file, tools):
    """It takes a model with phi-3 in its name for one whose special tokens swallow spaces."""
    assert tiny_file.name == "tiny-phi3-F16.gguf"
    assert shapes.metadata(tiny_file, tools)["general.name"] == "tiny-phi_3"


def test_a_tokenizer_of_single_characters_is_refused(tools, tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "model")

    def characters(tokenizer):
        tokenizer["model"] = {"type": "WordLevel", "vocab": tokenizer["model"]["vocab"], "unk_token": "a"}

    shapes.edit_json(model / "tokenizer.json", characters)
    with pytest.raises(RunError, match="WordLevel, without merges"):
        gguf.write(model, tmp_path / "out", "Model", ["f16"], tools)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.slow
def test_a_way_to_split_that_llama_cpp_does_not_have_is_refused_unless_the_user_says_which(tools, tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    split = {"type": "Split", "pattern": {"Regex": "[aeiou]"}, "behavior": "Isolated", "invert": False}
    whole = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    parts = {"type": "Sequence", "pretokenizers": [split, whole]}
    shapes.edit_json(model / "tokenizer.json", lambda tokenizer: tokenizer.update(pre_tokenizer=parts))
    with pytest.raises(RunError, match=r"it splits a text by '\[aeiou\]'.*--pre-tokenizer NAME"):
        gguf.write(model, tmp_path / "out", "Model", ["f16"], tools)
    file = gguf.write(model, tmp_path / "out", "Model", ["f16"], tools, pre_tokenizer="gpt-2")["f16"]
    assert shapes.metadata(file, tools)["tokenizer.ggml.pre"] == "gpt-2"


@pytest.mark.slow
def test_what_the_converter_cannot_do_is_said_with_its_own_words_and_the_log(tools, tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    shapes.edit_json(model / "config.json", lambda config: config.update(architectures=["NobodysForCausalLM"]))
    with pytest.raises(RunError, match=r"NobodysForCausalLM is not supported; all that it said is in (\S+)") as error:
        gguf.write(model, tmp_path / "out", "Model", ["f16"], tools)
    assert "Loading model" in open(str(error.value).split()[-1]).read()  # noqa: SIM115, PTH123


@pytest.mark.slow
def test_code_that_comes_with_a_model_is_not_run(tools, tiny_model, tmp_path):
    """The converter asks transformers to trust it."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    auto = {"AutoTokenizer": [None, "evil.Evil"]}
    shapes.edit_json(
        model / "tokenizer_config.json",
        lambda c: c.update(auto_map=auto, tokenizer_class="Evil", trust_remote_code=True),
    )
    shapes.edit_json(model / "config.json", lambda config: config.update(auto_map={"AutoConfig": "evil.Evil"}))
    with pytest.raises(RunError):
        gguf.write(model, tmp_path / "out", "Model", ["f16"], tools)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (["q4km"], "did you mean 'q4_k_m'"),
        (["int4"], "there are: bf16, f16"),
        ([], "no type"),
        (["q8_0", "iq2_xs"], "importance matrix"),
    ],
    ids=str,
)
def test_types_that_cannot_be_made_are_refused_with_what_would_be_right(types, said):
    with pytest.raises(RequestError, match=said):
        gguf.check(types, None)


def test_types_are_taken_in_any_case_and_once():
    assert gguf.names(["Q8_0", " q8_0", "FP16", "q4_k"]) == ["q8_0", "f16", "q4_k_m"]


@pytest.mark.parametrize("name", ["", "a/b", "{ftype}", "two\nlines"])
def test_a_name_that_cannot_be_a_files_is_refused(name, tmp_path):
    with pytest.raises(RequestError, match="cannot be the name of a file"):
        gguf.write(tmp_path, tmp_path / "out", name, ["f16"])


def test_quantizing_needs_the_extra_or_the_users_program(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    if not quantize.installed():
        with pytest.raises(MissingExtraError, match=r"llama-quantize.*rlkit\[gguf\]"):
            gguf.check(["q4_k_m"], None)
    gguf.check(["f16", "q8_0"], None)
    program = tmp_path / "build" / "bin" / "llama-quantize"
    program.parent.mkdir(parents=True)
    program.touch()
    assert quantize.program(tmp_path) == program.resolve()


def test_the_users_llama_quantize_comes_first_where_it_has_one(tools, tmp_path):
    """A program of that name that says what it was asked, and writes the file."""
    program = tmp_path / "bin" / "llama-quantize"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "warning: blk.0 - ncols 64 -> falling back to    q5_0"\ncp "$1" "$2"\n')
    program.chmod(0o755)
    (tmp_path / "in.gguf").write_text("GGUF")
    log = tmp_path / "log"
    said = quantize.run(tmp_path / "in.gguf", tmp_path / "out.gguf", "q4_k_m", 15, tmp_path, log)
    assert (tmp_path / "out.gguf").read_text() == "GGUF"
    assert said is not None
    assert "1 as q5_0" in said
    program.write_text("#!/bin/sh\necho 'error: no space'\nexit 1\n")
    with pytest.raises(RunError, match=rf"failed to make q4_k_m: error: no space; .* {log}"):
        quantize.run(tmp_path / "in.gguf", tmp_path / "other.gguf", "q4_k_m", 15, tmp_path, log)


def test_a_folder_that_is_no_model_is_refused(tools, tmp_path):
    with pytest.raises(RequestError, match=r"no config\.json"):
        gguf.write(tmp_path, tmp_path / "out", "Model", ["q4_0" if quantize.installed() else "f16"], tools)
