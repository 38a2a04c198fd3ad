import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from made import gguf_of, run_of, speaking

from rlkit.cli import chat
from rlkit.engines import Sampling
from rlkit.errors import RunError
from rlkit.serving import gguf_model
from rlkit.serving.open import open_model
from rlkit.serving.prompt import Prompter

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))
import shapes

GREEDY = Sampling(max_completion_length=24, temperature=0.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return speaking(tmp_path_factory.mktemp("models") / "speaking")


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    """The model as a GGUF file in float32, made by llama.cpp's converter."""
    return gguf_of(model, tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def served(file):
    return open_model(str(file))[0]


@pytest.fixture(scope="module")
def original(model):
    return open_model(str(model))[0]


ASKED = [
    "How many apples?",
    "é 日本 🙂\n\n  x<|end|>",
    [
        {"role": "user", "content": "How many?"},
        {"role": "assistant", "content": "7"},
        {"role": "user", "content": "And 3?"},
    ],
]


def same_answer(served, original, asked, raw=False):
    """Prompt, tokens, text and stream of two ways to serve a model are equal."""
    system = None if raw else "Be brief."
    prompt, expected = (Prompter(one, system, raw=raw).prompt(asked).ids for one in (served, original))
    assert prompt == expected
    (made,) = served.generate([prompt], GREEDY)
    assert made == original.generate([prompt], GREEDY)[0]
    assert served.decode(made) == original.decode(made)
    heard: list[int] = []
    served.stream(prompt, GREEDY, heard.extend)
    assert heard == made


@pytest.mark.parametrize("asked", ASKED, ids=["text", "unicode", "turns"])
def test_a_file_is_asked_and_answers_as_the_model_that_it_was_made_of(served, original, asked):
    same_answer(served, original, asked)
    if isinstance(asked, str):
        same_answer(served, original, asked, raw=True)


@pytest.mark.slow
def test_so_does_one_with_a_sentencepiece_tokenizer(shared_data, tmp_path):
    tokenizer = shapes.sentencepiece_tokenizer(shared_data, shapes.fetched())
    model = shapes.make(tmp_path / "model", "llama", tokenizer)
    served, original = (open_model(str(path))[0] for path in (gguf_of(model, tmp_path / "gguf"), model))
    for asked in ASKED:
        same_answer(served, original, asked)
    same_answer(served, original, "There are 7 apples", raw=True)
    words = tokenizer(" are seven", add_special_tokens=False)["input_ids"]
    assert served.decode(words) == original.decode(words)


def test_a_conversation_goes_as_with_the_model(file, model):
    lines = "How many apples?\nAnd 3?\n/reset\nHow many?\n"
    of_file, of_model = (
        CliRunner().invoke(chat.command, [str(path), "--max-tokens", "8"], input=lines, catch_exceptions=False)
        for path in (file, model)
    )
    assert of_file.stdout == of_model.stdout


def test_no_more_memory_is_taken_than_for_the_window(file, monkeypatch):
    monkeypatch.setattr(gguf_model, "WINDOW", 256)
    served, _ = open_model(str(file))
    assert served.context == 256
    assert served.notes == ["context: 256 of the 512 tokens that the model can see"]


def test_a_seed_gives_the_same_samples_whatever_was_asked_before(served):
    prompts = [Prompter(served).prompt(asked).ids for asked in ("How many apples?", "There are")]
    sampling = Sampling(max_completion_length=12, temperature=1.0, n=3, seed=5)
    made = served.generate(prompts, sampling)
    assert len(made) == 6
    assert len({tuple(ids) for ids in made}) == 6
    served.generate(prompts[1:], GREEDY)
    assert served.generate(prompts, sampling) == made
    assert served.generate(prompts, Sampling(12, 1.0, n=3, seed=6)) != made


def test_an_answer_ends_at_the_context_and_at_its_end_token(served, original):
    assert served.context == original.context == 512
    prompt = Prompter(served, raw=True).prompt("7 " * 200).ids
    room = 512 - len(prompt)
    (made,) = served.generate([prompt], Sampling(max_completion_length=2_000, temperature=0.0))
    assert len(made) == room
    end = original.policy.tokenizer.eos_token_id
    assert served.ends(end)
    assert not served.ends(made[0])


def test_a_file_knows_its_run_and_its_folder_means_it(file, model, recipe_file, questions, tmp_path):
    from rlkit.export.artifact import Artifact

    data = {"path": str(questions), "prompt": "question", "answer": "after:####", "system": "Be brief."}
    run = run_of(recipe_file(data=data), model, tmp_path / "run")
    folder = tmp_path / "exported"
    folder.mkdir()
    shutil.copy(file, folder)
    Artifact(folder, "gguf", "speaking", "float32", run=str(run.path)).write()
    for path in (folder, folder / file.name):
        opened, origin = open_model(str(path))
        assert origin.system == "Be brief."
        opened.close()
        opened.close()


def test_a_file_that_does_not_load_is_refused_with_llama_cpps_reason(file, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:-50_000])
    with pytest.raises(RunError, match=r"does not load it: .*(bounds|corrupt|incomplete|tensor|read)"):
        open_model(str(cut))
    cut.write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(RunError, match="does not load it"):
        open_model(str(cut))


def test_the_command_line_serves_a_file(file, model, rlkit):
    ask = ["--prompt", "How many apples?", "--max-tokens", "8"]
    of_file, of_model = rlkit("generate", file, *ask), rlkit("generate", model, *ask)
    assert of_file.code == 0, of_file.err
    assert of_file.out == of_model.out
    assert "llama" not in of_file.err  # llama.cpp's own log
