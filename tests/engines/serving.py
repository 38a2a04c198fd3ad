"""Real vLLM servers for tests, on ports of this machine's own; each kind is started once and ends with the tests."""

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

KINDS = {
    "first": ["--logprobs-mode", "processed_logprobs"],
    "second": ["--logprobs-mode", "processed_logprobs", "--max-model-len", "384"],
    "closed": [],  # adapters are not loaded at run time, log-probabilities are raw, and a key is wanted
}
KEY = "key-of-the-closed-server"
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # What follows spares start-up: no worker process of its own, no compiler, no thread pinned to the same core.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TORCHDYNAMO_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
_started: dict[tuple[Path, str], "Running"] = {}


class Running:
    """A process of `vllm serve` with its children (a CPU build lacks the command, so its module is run)."""

    def __init__(self, model: Path, kind: str):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.log = Path(tempfile.mkdtemp(prefix="vllm-server-")) / "log"
        more = {"VLLM_API_KEY": KEY} if kind == "closed" else {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
        lora = ["--enable-lora", "--max-lora-rank", "16", "--distributed-executor-backend", "uni", "--enforce-eager"]
        lora += ["--no-enable-chunked-prefill"]  # on a CPU, vLLM 0.32 dies where it splits a prompt that has a seed
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), *lora]
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [*command, "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port), *KINDS[kind]],
                env={**os.environ, **ENVIRONMENT, **more},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        atexit.register(self.kill)

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def wait(self, timeout: float = 400.0) -> "Running":
        """Wait until it answers."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.alive:
            try:
                if httpx.get(f"{self.address}/health", timeout=5.0, trust_env=False).status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.25)
        raise RuntimeError(f"no vLLM server came up:\n{self.log.read_text(errors='replace')[-4000:]}")

    def kill(self) -> None:
        """End it and its children at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: the tests may be killed


def begin(model: Path, *kinds: str) -> None:
    """Start servers that are not running, without a wait."""
    for kind in kinds:
        if (model, kind) not in _started or not _started[model, kind].alive:
            _started[model, kind] = Running(model, kind)


def server(model: Path, kind: str = "first") -> Running:
    """The server of this kind for a model; it takes LoRA adapters up to rank 16, and computes in float32."""
    begin(model, kind)
    return _started[model, kind].wait()
