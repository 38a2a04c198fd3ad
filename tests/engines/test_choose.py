import pytest

from rlkit import policy
from rlkit.engines import available, choose
from rlkit.errors import MissingExtraError, RequestError
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.model import ModelSection


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return policy.load(ModelSection(path=str(tiny_model)), train=False)


def test_auto_says_what_it_took_and_why(loaded):
    engine, why = choose(GenerationSection(), loaded)
    assert why.startswith("engine transformers: ")
    assert len(why) > len("engine transformers: as asked")
    engine.close()


def test_what_is_asked_for_is_taken(loaded):
    engine, why = choose(GenerationSection(engine="transformers"), loaded)
    assert why == "engine transformers: as asked"
    engine.close()


def test_servers_have_to_be_named(loaded):
    with pytest.raises(RequestError, match=r"generation.servers: \[http"):
        choose(GenerationSection(engine="vllm_server"), loaded)


def test_an_engine_that_is_not_installed_names_its_pip_line(loaded, monkeypatch):
    monkeypatch.setitem(choose.__globals__, "installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'rlkit\[vllm\]'"):
        choose(GenerationSection(engine="vllm"), loaded)


def test_every_engine_is_listed_with_a_line():
    assert set(available()) == {"transformers", "vllm", "vllm_server"}
    assert all(available().values())
