"""The engine vllm_server, against real servers; those that misbehave stand in front of real ones."""

import copy
import json
import logging
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

pytest.importorskip("vllm")
import torch
from serving import KEY, begin, server

from rlkit.engines import Sampling, check
from rlkit.engines.server import Server
from rlkit.engines.servers import Servers
from rlkit.engines.transformers import TransformersEngine
from rlkit.engines.vllm_server import VllmServerEngine, command
from rlkit.errors import RequestError, RunError
from rlkit.policy import load
from rlkit.recipe.generation import GenerationSection
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import ModelSection

pytestmark = pytest.mark.slow
TEXTS = ["How many apples", "There are", "7 clips é 日本 🙂", "Natalia sell", "altogether?", "are 3 and 4?"]


@pytest.fixture(scope="module", autouse=True)
def started(tiny_model):
    begin(tiny_model, "first", "second", "closed")


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(Servers, "pause", 0.05)


@pytest.fixture
def first(tiny_model):
    return server(tiny_model).address


@pytest.fixture
def second(tiny_model):
    return server(tiny_model, "second").address


@pytest.fixture(scope="module")
def policy(tiny_model):
    """An adapter that is far from nothing."""
    return change(load(ModelSection(path=str(tiny_model)), LoraSection(r=8, target_modules="all-linear")), 0)


@pytest.fixture
def engine():
    """Starts engines, and closes them after the test."""
    made = []

    def start(policy, *servers, training=True, **settings):
        section = GenerationSection(engine="vllm_server", servers=list(servers), **settings)
        made.append(VllmServerEngine(policy, section, training))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def relay():
    """Puts a server in front of a real one, that does as it is told."""
    made = []

    def start(address):
        made.append(Relay(address))
        return made[-1]

    yield start
    for one in made:
        one.close()


class Relay:
    """Hands requests on to a real server; `act(path, body)` may change the body, fail, or give another answer."""

    def __init__(self, behind):
        self.seen = Counter()
        self.act = lambda path, body: None
        relay, client = self, httpx.Client(base_url=behind, timeout=60.0, trust_env=False)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                text = self.rfile.read(int(self.headers.get("content-length", 0)))
                body = json.loads(text) if text else None
                relay.seen[self.path] += 1
                try:
                    status, content = relay.act(self.path, body) or (None, None)
                except ConnectionError:
                    self.close_connection = True
                    self.connection.close()
                    return
                if status is None:
                    got = client.request(self.command, self.path, json=body)
                    status, content = got.status_code, got.content
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.listener.daemon_threads, self.listener.block_on_close = True, False
        self.address = f"http://127.0.0.1:{self.listener.server_port}"
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def close(self):
        self.listener.shutdown()
        self.listener.server_close()

    @property
    def completed(self):
        return self.seen["/v1/completions"]


def change(policy, seed):
    """Give the adapter other weights."""
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=drawn) * 0.3)
    return policy


def prompts(policy):
    return [policy.tokenizer(text)["input_ids"] for text in TEXTS]


def fails(policy, engine, *servers, **settings):
    with pytest.raises(RequestError) as caught:
        engine(policy, *servers, **settings)
    return str(caught.value)


SAMPLED = Sampling(max_completion_length=24, n=3, seed=7, logprobs=True)


def test_greedy_tokens_are_those_of_transformers(policy, engine, first, second):
    sampling = Sampling(max_completion_length=32, temperature=0.0, n=2, logprobs=True)
    heard = []
    made = engine(policy, first, second).generate(prompts(policy), sampling, heard.append)
    plain = TransformersEngine(policy, 8).generate(prompts(policy), sampling)
    assert made.completion_ids == plain.completion_ids
    for given, expected in zip(made.logprobs, plain.logprobs, strict=True):
        assert given == pytest.approx(expected, abs=1e-3)
    assert heard == [2, 4, 6, 8, 10, 12]


def test_a_sync_reaches_every_server(policy, engine, first, second):
    both = engine(policy, first, second)
    change(policy, 1)
    assert min(apart(both, policy)) > 0.05
    both.sync(policy)
    assert max(apart(both, policy)) < 1e-3


def apart(engine, policy):
    """For each server, how far its log-probabilities are from the policy's."""
    for member in engine.servers.members:
        alone = copy.copy(engine)
        alone.servers = Servers([member], "")
        yield check.difference(alone, policy)


def test_old_adapters_are_unloaded_and_deleted(policy, engine, first, tmp_path):
    one = engine(policy, first, adapter_folder=str(tmp_path))
    other = engine(change(copy.deepcopy(policy), 3), first, adapter_folder=str(tmp_path))
    for _ in range(3):
        one.sync(policy)
    assert sorted(Server(first, 9.0).adapters()) == sorted([f"{one.run}-4", f"{other.run}-1"])
    assert sorted(tmp_path.glob("*/*")) == sorted([tmp_path / one.run / "step-4", tmp_path / other.run / "step-1"])
    assert max(apart(one, policy)) < 1e-3  # each run has its own, though the server holds one at a time
    assert max(apart(other, other.policy)) < 1e-3
    one.close()
    other.close()
    assert not Server(first, 9.0).adapters()
    assert not list(tmp_path.iterdir())


def test_what_server_made_a_completion_makes_no_difference(policy, engine, relay, first, second):
    left, right = relay(first), relay(second)
    both = engine(policy, left.address, right.address)
    left.seen.clear(), right.seen.clear()
    shared = both.generate(prompts(policy), SAMPLED)
    assert left.completed == right.completed == 3
    alone = engine(policy, second).generate(prompts(policy), SAMPLED)
    assert shared.completion_ids == alone.completion_ids
    assert len(set(map(tuple, shared.completion_ids))) == 18
    for given, expected in zip(shared.logprobs, alone.logprobs, strict=True):
        assert given == pytest.approx(expected, abs=1e-3)


def test_a_slow_server_gets_fewer_prompts(policy, engine, relay, first, second):
    slow = relay(first)
    both = engine(policy, slow.address, second)
    both.width = 3  # one prompt at a time
    slow.seen.clear()
    slow.act = lambda path, body: time.sleep(1.5)
    made = both.generate(prompts(policy) * 2, SAMPLED)
    assert len(made.completion_ids) == 36
    assert 1 <= slow.completed < 6


def test_the_context_is_the_smallest(policy, engine, first, second):
    assert engine(policy, first).context == 512
    assert engine(policy, first, second).context == 384
    long = [5] * 380
    assert [len(ids) for ids in engine(policy, second).generate([long], SAMPLED).completion_ids] == [4, 4, 4]
    with pytest.raises(RequestError, match="sees 384"):
        engine(policy, second).generate([[5], [5] * 384], SAMPLED)


def test_what_passes_is_tried_again(policy, engine, relay, first, caplog):
    shaky = relay(first)
    one = engine(policy, shaky.address)
    whole = one.generate(prompts(policy), SAMPLED)
    broken = iter([500, "cut", 503, "short", "nonsense"])

    def act(path, body):
        if path == "/v1/completions" and (how := next(broken, None)):
            if how == "cut":
                raise ConnectionError
            if how == "short":  # as of a server that is being stopped
                return 200, json.dumps({"choices": [{"index": i, "token_ids": [5]} for i in range(3)]}).encode()
            return (200, b"{}") if how == "nonsense" else (how, b"out of order")
        return None

    shaky.act = act
    assert one.generate(prompts(policy), SAMPLED).completion_ids == whole.completion_ids
    assert next(broken, None) is None
    assert not caplog.records


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_a_server_that_fails_is_dropped_until_the_next_sync(
    how, policy, engine, relay, first, second, caplog, monkeypatch
):
    monkeypatch.setattr(VllmServerEngine, "timeout", 3.0)
    monkeypatch.setattr(Servers, "retries", 1)
    bad = relay(first)
    both = engine(policy, bad.address, second)
    whole = both.generate(prompts(policy), SAMPLED)
    release = threading.Event()

    def act(path, body):
        if path == "/v1/completions":
            if how == "hang":
                release.wait(60)
            raise ConnectionError

    bad.act = act
    with caplog.at_level(logging.WARNING, "rlkit"):
        assert both.generate(prompts(policy), SAMPLED).completion_ids == whole.completion_ids
    release.set()
    (record,) = caplog.records
    assert record.name == "rlkit"
    assert f"{bad.address} is dropped until the next sync" in record.message
    bad.act = lambda path, body: None
    change(policy, 5)
    both.sync(policy)
    assert f"{bad.address} is back" in caplog.records[-1].message
    assert max(apart(both, policy)) < 1e-3


def test_a_server_that_lost_its_adapters_gets_them_again(policy, engine, first):
    one = engine(policy, first)
    Server(first, 9.0).unload(one.name)  # as after a restart
    assert max(apart(one, policy)) < 1e-3


def test_a_base_without_an_adapter_is_served_for_evaluation(tiny_model, policy, engine, first, caplog):
    full = load(ModelSection(path=str(tiny_model)), train=False)
    assert max(apart(engine(full, first, training=False), full)) < 1e-3
    said = fails(full, engine, first)
    assert "there is no adapter" in said
    assert "lora: {r: 16}" in said
    assert "generation.engine=vllm" in said


def test_a_base_under_another_name_is_known_by_its_logits(tiny_model, policy, engine, first, tmp_path, caplog):
    (tmp_path / "same").symlink_to(tiny_model)
    elsewhere = copy.copy(policy)
    elsewhere.base = str(tmp_path / "same")
    engine(elsewhere, first)
    assert not caplog.records
    elsewhere.base = "somebody/a-copy"
    engine(elsewhere, first)
    assert "by their log-probabilities" in caplog.records[-1].message
    other = copy.deepcopy(elsewhere)
    with torch.no_grad():
        other.model.get_input_embeddings().weight.mul_(3.0)
    said = fails(other, engine, first)
    assert f"serves {tiny_model}" in said
    assert "base is somebody/a-copy" in said


def test_servers_that_do_not_answer_are_all_named(policy, engine, first):
    said = fails(policy, engine, "http://127.0.0.1:9", first, "http://127.0.0.1:10/v1/")
    assert "http://127.0.0.1:9: ConnectError" in said
    assert "http://127.0.0.1:10: ConnectError" in said
    assert first not in said
    assert command(policy) in said


def test_an_address_is_an_address(policy, engine):
    assert "http://localhost:8000" in fails(policy, engine, "localhost:8000")
    said = fails(policy, engine, "http://me:secret@localhost:8000")
    assert "VLLM_API_KEY" in said
    assert "secret" not in said


def test_a_rank_beyond_the_servers(tiny_model, engine, first):
    wide = load(ModelSection(path=str(tiny_model)), LoraSection(r=24, target_modules="all-linear"))
    said = fails(wide, engine, first)
    assert "LoRA rank 24 is greater than max_lora_rank 16" in said
    assert "--max-lora-rank 32" in said


def test_a_folder_that_the_server_does_not_see(policy, engine, relay, first):
    far = relay(first)
    far.act = lambda path, body: body.update(lora_path="/elsewhere") if "load_lora" in path else None
    said = fails(policy, engine, far.address)
    assert "generation.adapter_folder" in said
    assert "step-1" in said


def test_a_folder_that_cannot_be_written(policy, engine, first, tmp_path):
    (tmp_path / "file").touch()
    assert "generation.adapter_folder" in fails(policy, engine, first, adapter_folder=str(tmp_path / "file"))


def test_a_server_without_runtime_loading_or_processed_logprobs(tiny_model, policy, engine, monkeypatch):
    closed = server(tiny_model, "closed").address
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    assert "it wants a key: set $VLLM_API_KEY" in fails(policy, engine, closed)
    monkeypatch.setenv("VLLM_API_KEY", "not-the-key")
    said = fails(policy, engine, closed)
    assert "it wants another key" in said
    assert "not-the-key" not in said
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    said = fails(policy, engine, closed)
    assert "it loads no adapters at run time" in said
    assert f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve {tiny_model}" in said
    base = load(ModelSection(path=str(tiny_model)), train=False)
    said = fails(base, engine, closed, training=False)
    assert "log-probabilities are not those that tokens are drawn from" in said
    assert "--logprobs-mode processed_logprobs" in said
    assert KEY not in said


def test_a_run_goes_on_when_its_servers_are_back(relay, first, rlkit, recipe_file, tmp_path):
    front = relay(first)
    recipe = recipe_file(
        lora={"r": 4},
        generation={"engine": "vllm_server", "servers": [front.address], "num_generations": 4, "check_sync": True},
        training={"max_steps": 3, "per_device_train_batch_size": 4, "save_steps": 1, "gradient_checkpointing": False},
    )
    run = tmp_path / "run"

    def act(path, body):
        if len(list(run.glob("checkpoints/*/checkpoint-1/*"))) > 1:
            raise ConnectionError

    front.act = act
    done = rlkit("train", recipe, "--run-dir", run)
    assert done.code == 1, done.err
    assert f"generation.servers: none is left:\n  {front.address}: " in done.err
    assert "--resume" in done.err
    front.act = lambda path, body: None
    done = rlkit("train", recipe, "--run-dir", run, "--resume")
    assert done.code == 0, done.err
    steps = [json.loads(line).get("step") for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {2, 3} <= set(steps)


def test_killed_servers(tiny_model, policy, engine, first, second, caplog):
    """The last test of this file: it ends the servers."""
    sampling = Sampling(max_completion_length=48, n=4, seed=3)
    whole = engine(policy, first).generate(prompts(policy) * 2, sampling)
    both = engine(policy, first, second)
    both.width = 4  # one prompt at a time
    heard = []

    def progress(done):
        heard.append(done)
        if len(heard) == 1:
            server(tiny_model, "second").kill()

    assert both.generate(prompts(policy) * 2, sampling, progress).completion_ids == whole.completion_ids
    assert heard == list(range(4, 52, 4))
    assert [f"{second} is dropped" in record.message for record in caplog.records] == [True]
    both.sync(change(policy, 9))
    assert max(apart_of_first(both, policy)) < 1e-3

    with pytest.raises(RunError) as caught:
        both.generate(prompts(policy), sampling, lambda _: server(tiny_model).kill())
    said = str(caught.value)
    assert f"{first}: " in said
    assert f"{second}: " in said
    assert "--resume" in said
    assert command(policy) in said
    with pytest.raises(RunError, match="none is left"):
        both.sync(policy)


def apart_of_first(engine, policy):
    alone = copy.copy(engine)
    alone.servers = Servers(engine.servers.members[:1], "")
    yield check.difference(alone, policy)
