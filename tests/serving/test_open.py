import json
import shutil

import pytest
import torch
import transformers
from made import run_of, speaking

from rlkit import policy
from rlkit.engines import Sampling
from rlkit.engines.adapters import publish
from rlkit.errors import MissingExtraError, RequestError
from rlkit.export.artifact import Artifact
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection
from rlkit.serving.open import open_model
from rlkit.serving.pieces import Pieces

GREEDY = Sampling(max_completion_length=24, temperature=0.0)


def own_greedy(folder, ids, adapter=None):
    """What transformers' (and PEFT's) own generate makes of a prompt."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter:
        import peft

        model = peft.PeftModel.from_pretrained(model, str(adapter))
    made = model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False, pad_token_id=0)
    return made[0, len(ids) :].tolist()


def streamed(served, ids, sampling=GREEDY):
    heard: list[int] = []
    served.stream(ids, sampling, heard.extend)
    return heard


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return speaking(tmp_path_factory.mktemp("models") / "speaking")


@pytest.fixture
def adapter(model, tmp_path):
    made = policy.load(ModelSection(path=str(model)), LoraSection(r=4))
    torch.manual_seed(0)
    for name, parameter in made.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.2)
    return publish(made, tmp_path / "adapters", 1)


def test_a_folder_answers_as_transformers_own_generate(model):
    served, origin = open_model(str(model))
    ids = served.tokens(served.render([{"role": "user", "content": "How many apples?"}]), rendered=True)
    expected = own_greedy(model, ids)
    assert len(set(expected)) > 5
    assert served.generate([ids], GREEDY) == [expected]
    assert streamed(served, ids) == expected
    assert (origin.system, origin.max_tokens, origin.chat) == (None, None, True)
    served.close()
    served.close()


def test_an_adapter_answers_on_its_base(adapter, model):
    served, _ = open_model(str(adapter))
    ids = served.tokens("There are", rendered=False)
    expected = own_greedy(model, ids, adapter)
    assert expected != own_greedy(model, ids)
    assert served.generate([ids], GREEDY) == [expected]
    assert streamed(served, ids) == expected


def test_a_stream_stops_at_the_context_and_its_samples_follow_the_seed(model):
    served, _ = open_model(str(model))
    ids = served.tokens("There are", rendered=False)
    sampling = Sampling(max_completion_length=16, temperature=1.0, seed=3)
    assert streamed(served, ids, sampling) == streamed(served, ids, sampling)
    assert streamed(served, ids, sampling) != streamed(served, ids, Sampling(16, 1.0, seed=4))
    pieces: list[str] = []
    telling = Pieces(served.decode, pieces.append)
    served.policy.model.config.max_position_embeddings = len(ids) + 5
    served.stream(ids, Sampling(max_completion_length=64, temperature=0.0), telling.hear)
    telling.finish()
    assert len(telling.ids) == 5
    assert "".join(pieces) == served.decode(telling.ids)


RECIPE = {
    "data": {"path": "questions.jsonl", "prompt": "question", "answer": "after:####", "system": "xml"},
    "generation": {"num_generations": 4, "max_completion_length": 33},
}


def test_a_run_says_how_its_model_is_asked(recipe_file, tiny_model, questions, tmp_path):
    from rlkit.prompts import SYSTEM_PROMPTS

    data = {**RECIPE["data"], "path": str(questions)}
    recipe = recipe_file(data=data, generation=RECIPE["generation"])
    run = run_of(recipe, tiny_model, tmp_path / "run")
    for path in (run.path, run.model()):
        served, origin = open_model(str(path))
        assert (origin.system, origin.max_tokens) == (SYSTEM_PROMPTS["xml"], 33)
        assert served.policy.base == str(run.model())
    exported = shutil.copytree(run.model(), tmp_path / "exported")
    Artifact(exported, "merged", "run", "float32", run=str(run.path)).write()
    assert open_model(str(exported))[1].system == SYSTEM_PROMPTS["xml"]
    shutil.rmtree(run.path)
    _, origin = open_model(str(exported))
    assert origin.system is None
    assert "is not there" in origin.notes[0]


def test_the_stage_that_left_the_model_counts(recipe_file, tiny_model, questions, tmp_path):
    data = {"path": str(questions), "prompt": "question", "completion": "answer", "answer": "after:####"}
    recipe = recipe_file(
        data=data,
        training=None,
        stages=[
            {"sft": {"data": {"system": "Copy what you saw."}, "training": {"max_steps": 1}}},
            {
                "grpo": {
                    "data": {"chat": False},
                    "training": {"max_steps": 1, "per_device_train_batch_size": 4},
                }
            },
        ],
    )
    run = run_of(recipe, tiny_model, tmp_path / "run")
    _, first = open_model(str(run.path / "1-sft"))
    assert (first.system, first.chat) == ("Copy what you saw.", True)
    _, last = open_model(str(run.path))
    assert (last.system, last.chat) == (None, False)


def test_what_is_no_model_is_refused_with_what_would_be_one(tmp_path, tiny_model, monkeypatch):
    with pytest.raises(RequestError, match="no such folder"):
        open_model(str(tmp_path / "nowhere"))
    with pytest.raises(RequestError, match="no such file"):
        open_model("nothing.gguf")
    with pytest.raises(RequestError, match=r"no config\.json"):
        open_model(str(tmp_path))
    (tmp_path / "notes.gguf").write_text("not one")
    with pytest.raises(RequestError, match="no GGUF file"):
        open_model(str(tmp_path / "notes.gguf"))
    for name in ("a-F16.gguf", "b-Q8_0.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    (tmp_path / "notes.gguf").unlink()
    with pytest.raises(RequestError, match=r"several GGUF files; name one: .*a-F16\.gguf, .*b-Q8_0\.gguf"):
        open_model(str(tmp_path))
    with pytest.raises(RequestError, match=r"llama\.cpp runs"):
        open_model(str(tmp_path / "a-F16.gguf"), engine="vllm")
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text("{}")
    (run / "summary.json").write_text(json.dumps([]))
    with pytest.raises(RequestError, match="no stage has left a model"):
        open_model(str(run))


def test_what_is_not_installed_is_named_with_its_extra(tmp_path, tiny_model, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("llama_cpp", "vllm") else find(name))
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(MissingExtraError, match=r"pip install 'rlkit\[gguf\]'"):
        open_model(str(tmp_path / "model.gguf"))
    with pytest.raises(MissingExtraError, match=r"pip install 'rlkit\[vllm\]'"):
        open_model(str(tiny_model), engine="vllm")
