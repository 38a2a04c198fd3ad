import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server import OWNER, READ, WRITE, Fault, HubServer

from rlkit.export.artifact import Artifact, Check

REPO = f"{OWNER}/tiny"
PASSED = Check(file=".", name="tokens", value=0.0, bound=0.0, passed=True)


@pytest.fixture
def hub(tmp_path_factory):
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture
def push(rlkit, hub):
    """`rlkit push`, with the token that may write; what it says never holds one."""

    def run(*arguments, token=WRITE, env=None):
        done = rlkit("push", *arguments, env={**hub.environment(token), **(env or {})}, timeout=120)
        for secret in (WRITE, READ, "X-Amz"):
            assert secret not in done.out + done.err
        assert "Traceback" not in done.err
        return done

    return run


@pytest.fixture
def download(hub, tmp_path):
    """What huggingface_hub brings back of a repository: name -> content."""

    def run(repo=REPO, revision="main"):
        folder = tmp_path / "back"
        asked = f"{repo!r}, revision={revision!r}, local_dir={str(folder)!r}"
        code = f"import huggingface_hub; huggingface_hub.snapshot_download({asked})"
        command = [sys.executable, "-c", code]
        subprocess.run(command, env={**os.environ, **hub.environment()}, check=True, timeout=120)
        files = [file for file in folder.rglob("*") if file.is_file() and ".cache" not in file.parts]
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}

    return run


@pytest.fixture
def merged(tiny_model, tmp_path):
    """An export of whole weights."""
    folder = tmp_path / "merged"
    shutil.copytree(tiny_model, folder)
    Artifact(folder=folder, kind="merged", name="tiny", dtype="float32", checks=[PASSED]).write()
    return folder


@pytest.fixture
def gguf(tmp_path):
    """Make an export of one type; the files hold what a test can tell apart, as the hub does not read them."""

    def make(kind: str, count: int) -> Path:
        folder = tmp_path / kind
        folder.mkdir()
        (folder / f"tiny-{kind}.gguf").write_bytes(b"GGUF" + kind.encode() + os.urandom(count))
        (folder / "Modelfile").write_text(f"FROM ./tiny-{kind}.gguf\n")
        Artifact(folder=folder, kind="gguf", name="tiny", dtype="bfloat16", checks=[PASSED]).write()
        return folder

    return make


@pytest.fixture
def adapter(tiny_model, tmp_path):
    """An adapter as training leaves it, with what belongs to training beside it."""
    import peft
    import transformers

    folder = tmp_path / "adapter"
    base = transformers.AutoModelForCausalLM.from_pretrained(tiny_model)
    peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder)
    for name in ("optimizer.pt", "training_args.bin", "trainer_state.json", "half.safetensors.part", "notes.md"):
        (folder / name).write_text("{}")
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "adapter_model.safetensors").write_text("old")
    return folder


def sent(hub) -> list[str]:
    return [line for line in hub.requests if line.startswith("PUT") or "/commit/" in line]


def test_a_merged_model_comes_back_byte_for_byte_from_a_private_repository(push, hub, download, merged):
    done = push(merged, REPO)
    assert done.code == 0, done.err
    assert done.out == f"{hub.address}/{REPO}\n"
    assert hub.repositories[REPO].private
    back = download()
    here = {file.name: file.read_bytes() for file in merged.iterdir() if file.name != "rlkit.json"}
    assert back == {**here, "README.md": back["README.md"], ".gitattributes": hub.files(REPO)[".gitattributes"]}
    assert back["README.md"].startswith(b"---\n")


def test_an_adapter_comes_without_what_belongs_to_training_or_to_this_machine(push, download, adapter, tiny_model):
    done = push(adapter, REPO)
    assert done.code == 0, done.err
    assert "adapter_config.json is pushed without paths of this machine: base_model_name_or_path" in done.err
    assert "stays here: " in done.err and "training_args.bin" in done.err
    back = download()
    assert {*back} == {"README.md", ".gitattributes", "adapter_config.json", "adapter_model.safetensors"}
    assert str(tiny_model).encode() not in b"".join(back.values())
    assert json.loads(back["adapter_config.json"])["r"] == 2
    assert back["adapter_model.safetensors"] == (adapter / "adapter_model.safetensors").read_bytes()


def test_types_of_one_model_gather_in_one_repository(push, hub, download, gguf):
    large, small = gguf("Q8_0", 12_000_000), gguf("Q4_K_M", 2_000)
    assert push(large, REPO).code == 0
    hub.put(hub.repositories[REPO], "main", {"README.md": b"my own words"})
    done = push(small, REPO)
    assert done.code == 0, done.err
    assert "README.md of me/tiny stays as it is; --replace-card" in done.err
    back = download()
    for folder in (large, small):
        name = f"tiny-{folder.name}.gguf"
        assert back[name] == (folder / name).read_bytes()
    assert back["README.md"] == b"my own words"
    assert sum("PUT" in line for line in hub.requests) == 3 + 1  # 12 MB in parts of 5
    assert push(small, REPO, "--replace-card").code == 0
    assert hub.files(REPO)["README.md"].startswith(b"---\n")


def test_what_is_there_is_not_sent_again(push, hub, merged):
    assert push(merged, REPO).code == 0
    del hub.requests[:]
    done = push(merged, REPO, "--replace-card")
    assert done.code == 0, done.err
    assert "holds all of it already" in done.err
    assert not sent(hub)


def test_a_push_that_was_killed_goes_on_where_it_was(push, hub, gguf, tmp_path):
    folder = gguf("Q8_0", 10_000_000)
    (folder / "tiny-F16.gguf").write_bytes(os.urandom(11_000_000))
    Artifact(folder=folder, kind="gguf", name="tiny", dtype="bfloat16", checks=[PASSED]).write()
    hub.part_size = 10**9
    hub.faults = [
        Fault("PUT /nothing"),
        Fault(f"PUT /store/{Artifact.read(folder).files['tiny-Q8_0.gguf']}", stall=True),
    ]
    command = [sys.executable, "-m", "rlkit", "push", str(folder), REPO]
    killed = subprocess.Popen(command, env={**os.environ, **hub.environment()}, stderr=subprocess.PIPE, cwd=tmp_path)
    assert hub.stalled.wait(60)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    first = hub.uploaded[:]
    assert len(first) == 1
    assert {*hub.files(REPO)} == {".gitattributes"}  # nothing half done is to be seen
    done = push(folder, REPO)
    assert done.code == 0, done.err
    assert len(hub.uploaded) == len({*hub.uploaded}) == 2  # the first was not sent again
    assert hub.files(REPO)["tiny-F16.gguf"] == (folder / "tiny-F16.gguf").read_bytes()


def test_what_passes_is_waited_for(push, hub, download, merged):
    hub.faults = [
        Fault("POST /api/repos/create", status=500),
        Fault("GET /api/models/me/tiny$", status=429, headers={"Retry-After": "2"}),
        Fault("PUT /store", cut=True),
        Fault("/validate-yaml", status=502, body="<html>Bad Gateway</html>"),
    ]
    start = time.monotonic()
    done = push(merged, REPO)
    assert done.code == 0, done.err
    assert not any(fault.times for fault in hub.faults)
    assert "the hub answers 500; again in 1 s" in done.err
    assert "the hub answers 429; again in 2 s" in done.err
    assert "thrown while requesting PUT http://localhost" in done.err
    assert time.monotonic() - start > 4
    assert download()["model.safetensors"] == (merged / "model.safetensors").read_bytes()


def test_a_commit_whose_answer_was_lost_is_not_made_twice(push, hub, merged):
    hub.faults = [Fault("/commit/main", lost=True)]
    done = push(merged, REPO)
    assert done.code == 0, done.err
    assert sum("/commit/" in line for line in hub.requests) == 1
    assert "model.safetensors" in hub.files(REPO)


BROKEN = {
    "a token that is none": ("hf_" + "x" * 34, [], 2, "hf auth login"),
    "a token that only reads": (READ, [], 2, "write rights"),
    "a repository that is taken away": (WRITE, [Fault("/tree/", status=404)], 2, "no such repository"),
    "somebody who writes too": (WRITE, [Fault("/commit/", 409, {"Retry-After": "1"}, times=9)], 1, "somebody else"),
    "a hub that is down": (WRITE, [Fault("/commit/", 503, {"Retry-After": "1"}, times=9)], 1, "not sent twice"),
    "a hub that wants an hour": (WRITE, [Fault("/create", 429, {"Retry-After": "3600"})], 1, "alone for 3600 s"),
    "a quota": (WRITE, [Fault("/commit/", 413, body='{"error": "storage is full"}')], 1, "storage is full"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_pass_is_told_with_what_to_do(case, push, hub, merged):
    token, hub.faults, code, said = BROKEN[case]
    done = push(merged, REPO, token=token)
    assert (done.code, done.out) == (code, ""), done.err
    assert said in done.err.splitlines()[-1]
    assert re.search(r"^error: push to me/tiny: ", done.err, re.MULTILINE)


def test_a_hub_that_repeats_the_token_does_not_make_it_public(push, hub, merged):
    hub.faults = [Fault("/create", 403, body=json.dumps({"error": f"token {WRITE} may not"}))]
    assert "token *** may not" in push(merged, REPO).err


def test_a_hub_without_xet_is_told_apart(push, hub, merged):
    pytest.importorskip("hf_xet", reason="huggingface_hub sends through Xet where hf_xet is installed")
    done = push(merged, REPO, env={"HF_HUB_DISABLE_XET": "0"})
    assert (done.code, "HF_HUB_DISABLE_XET=1 where" in done.err) == (1, True), done.err


def test_no_token_no_network_and_nobody_there_are_told_apart(push, hub, merged, tmp_path):
    none = push(merged, REPO, token=None, env={"HF_HOME": str(tmp_path / "empty")})
    assert (none.code, "there is no token" in none.err) == (2, True)
    offline = push(merged, REPO, env={"HF_HUB_OFFLINE": "1"})
    assert (offline.code, "$HF_HUB_OFFLINE" in offline.err) == (2, True)
    assert not hub.requests


def test_nobody_but_the_owner_sees_it_unless_that_was_asked_for(push, hub, merged):
    hub.add(f"{OWNER}/open", private=False)
    done = push(merged, f"{OWNER}/open")
    assert done.code == 2
    assert "everybody can see it; --public" in done.err
    assert not sent(hub)
    assert push(merged, f"{OWNER}/open", "--public").code == 0
    assert push(merged, REPO, "--public").code == 0
    assert not hub.repositories[REPO].private
    hub.repositories[REPO].private = True
    assert "is private: it stays so" in push(merged, REPO, "--public").err


def test_a_name_that_belongs_to_others_is_refused(push, hub, merged):
    done = push(merged, "others/tiny")
    assert (done.code, "others must be you, or an organization" in done.err) == (2, True)


def test_a_branch_is_made_and_main_stays(push, hub, download, merged):
    done = push(merged, REPO, "--revision", "step-10")
    assert done.code == 0, done.err
    assert done.out == f"{hub.address}/{REPO}/tree/step-10\n"
    assert {*hub.files(REPO)} == {".gitattributes"}
    assert "model.safetensors" in download(revision="step-10")
    assert push(merged, REPO, "--revision", "step-10").code == 0


def test_weights_that_are_replaced_do_not_stay_beside_the_new_ones(push, hub, merged):
    old = {
        "model-00001-of-00002.safetensors": b"a",
        "model.safetensors.index.json": b"{}",
        "model_of_mine.safetensors": b"b",
    }
    hub.put(hub.add(REPO), "main", old)
    done = push(merged, REPO)
    assert done.code == 0, done.err
    assert "taken out: model-00001-of-00002.safetensors, model.safetensors.index.json" in done.err
    assert {*old} & {*hub.files(REPO)} == {"model_of_mine.safetensors"}


def test_an_adapter_and_whole_weights_are_not_mixed(push, hub, merged, adapter):
    assert push(merged, REPO).code == 0
    assert "whole weights, which an adapter would hide" in push(adapter, REPO).err
    assert push(adapter, f"{OWNER}/lora").code == 0
    refused = push(merged, f"{OWNER}/lora")
    assert (refused.code, "it holds an adapter" in refused.err) == (2, True)


def test_many_files_go_in_several_commits(push, hub, merged):
    for number in range(210):
        (merged / f"part-{number}.txt").write_text(str(number))
    Artifact(folder=merged, kind="merged", name="tiny", dtype="float32", checks=[PASSED]).write()
    done = push(merged, REPO, "--json")
    assert done.code == 0, done.err
    assert len([line for line in hub.requests if "/commit/" in line]) == 3
    assert len(json.loads(done.out)["files"]) == len(hub.files(REPO)) - 1  # .gitattributes is the hub's
