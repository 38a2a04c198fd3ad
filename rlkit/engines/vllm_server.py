"""Generation by vLLM servers, on this host or others, that somebody else started."""

import copy
import dataclasses
import hashlib
import logging
import secrets
import shlex
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlkit.engines import adapters, check
from rlkit.engines.engine import Generated, Sampling, limits
from rlkit.engines.server import Server, ServerError
from rlkit.engines.servers import Servers
from rlkit.errors import RequestError, RunError
from rlkit.policy import Policy
from rlkit.recipe.generation import GenerationSection

logger = logging.getLogger("rlkit")
PROBE = Sampling(max_completion_length=8, top_k=1, seed=0, logprobs=True)
"""Of one token to choose from, the processed log-probability is 0; that of the raw logits is not."""


class VllmServerEngine:
    """Servers share the prompts; each step's adapter is published to a folder that they see, and loaded by name.

    A server that fails is asked again a few times, then dropped: its prompts go to the others, and at the next sync it
    is tried anew. What server made a completion makes no difference to it, but for rounding.

    Args:
        policy: A LoRA adapter; without one, the servers' base as it is, which `sync` cannot change.
        settings: `generation:`, with `servers` and `adapter_folder`.
        training: The policy is trained: an adapter is needed.

    Raises:
        RequestError: A server does not answer, serves another model, or is not set up to take this policy's adapter;
            the policy cannot be published.
    """

    exact = False
    timeout = 1800.0
    """Seconds that the completions of one prompt may take on a server, the wait for their turn included."""
    width = 256
    """Completions under way on a server at a time; what is more waits for the server that is free first."""

    def __init__(self, policy: Policy, settings: GenerationSection, training: bool = True):
        import torch

        self.adapted = _publishable(policy, training)
        self.policy = policy
        self.dtype = None if settings.dtype == "auto" else getattr(torch, settings.dtype)
        members = [Server(address, self.timeout) for address in dict.fromkeys(settings.servers)]
        self.servers = Servers(members, command(policy))
        self.bases: dict[Server, dict[str, Any]] = {}
        self.lock = threading.RLock()  # a sync waits for the completions of the weights before
        self.run, self.version = f"rlkit-{secrets.token_hex(4)}", 0
        self.held = tempfile.TemporaryDirectory(prefix="rlkit-adapters-") if settings.adapter_folder is None else None
        place = Path(self.held.name if self.held else settings.adapter_folder or "").expanduser().resolve()
        self.folder, self.name, self.path = place / self.run, "", ""
        try:
            self._publish()
            failed = self.servers.each(self._admit, members)
            failed |= self._strangers([server for server in members if server not in failed])
            if failed:
                said = "\n".join(f"generation.servers: {server.address}: {error}" for server, error in failed.items())
                raise RequestError(f"{said}\na server for this policy: {command(policy)}")
        except BaseException as error:
            self.close()
            if isinstance(error, RunError):
                raise RequestError(str(error)) from error
            raise

    @property
    def context(self) -> int | None:
        """Tokens that the policy and every server see; None where no bound is known."""
        served = [self.bases[server].get("max_model_len") for server in self.servers.live()]
        return min((bound for bound in [self.policy.context, *served] if bound is not None), default=None)

    def generate(
        self, prompt_ids: list[list[int]], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> Generated:
        """Complete each prompt `sampling.n` times; `progress` hears how many completions there are.

        Each draws by a seed of its own, from `sampling.seed` (from torch's random state where that is None).

        Raises:
            RequestError: A prompt is empty, or leaves no room in the context.
            RunError: No server is left.
        """
        import torch

        seed = int(torch.randint(2**62, ())) if sampling.seed is None else sampling.seed
        sampling = dataclasses.replace(sampling, seed=seed)
        with self.lock:
            rooms = limits(prompt_ids, sampling, self.context)
            groups = self.servers.share(
                len(prompt_ids),
                lambda server, index: self._complete(
                    server, self._request(prompt_ids[index], rooms[index], index, sampling)
                ),
                width=max(1, self.width // sampling.n),
                done=(lambda done: progress(done * sampling.n)) if progress else None,
            )
        if sampling.temperature == 0:  # vLLM makes one such completion: all would be the same
            groups = [group * sampling.n for group in groups]
        flat = [pair for group in groups for pair in group]
        return Generated([list(ids) for ids, _ in flat], [list(logprobs) for _, logprobs in flat])

    def sync(self, policy: Policy) -> None:
        """Publish the policy's adapter as it is now, and have every server serve it; dropped servers are tried again.

        Raises:
            RunError: No server took it.
        """
        servers = self.servers
        with self.lock:
            self.policy, lost = policy, list(servers.lost)
            present = [server for server in servers.members if server not in lost]
            self._publish()
            failed = servers.each(self._admit, lost)
            if self.adapted:
                failed |= servers.each(lambda server: servers.patiently(server, lambda: self._load(server)), present)
            for server, error in failed.items():
                servers.drop(server, error)
            for server in set(lost) - set(failed):
                servers.take_back(server)
            if not servers.each(self._unload_old, servers.live()):
                for old in set(self.folder.glob("step-*")) - {Path(self.path)}:
                    shutil.rmtree(old, ignore_errors=True)

    def close(self) -> None:
        """Unload what this engine loaded, and delete its folder."""
        if self.folder.exists():
            self.name = ""
            self.servers.each(self._unload_old, [s for s in self.bases if s not in self.servers.lost])
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.held:
            self.held.cleanup()
        for server in self.servers.members:
            server.close()

    def _publish(self) -> None:
        if not self.adapted:
            return
        self.version += 1
        try:
            self.path = str(adapters.publish(self.policy, self.folder, self.version))
        except OSError as error:
            raise RunError(f"generation.adapter_folder: the adapter cannot be written: {error}") from error
        self.name = f"{self.run}-{self.version}"

    def _admit(self, server: Server) -> None:
        """Have a server serve the policy, and see that it is set up to do so."""
        base = server.base()
        if self.bases.setdefault(server, base)["id"] != base["id"]:
            raise ServerError(f"it serves {base['id']} now, and served {self.bases[server]['id']} before", 400)
        self.bases[server] = base
        if self.adapted:
            self._load(server)
        made = self._complete(server, self._request([self.policy.end_ids[0]], 8, 0, PROBE))
        if any(min(logprobs) < -1e-3 for _, logprobs in made):
            raise ServerError("its log-probabilities are not those that tokens are drawn from", 400)

    def _load(self, server: Server) -> None:
        try:
            server.load(self.name, self.path)
        except ServerError as error:
            said = f"it does not take the adapter: {error}"
            if "No adapter found" in str(error):
                said = f"it finds no adapter in {self.path}: generation.adapter_folder is a folder that it can read too"
            elif error.status in (403, 404, 405):
                said = "it loads no adapters at run time"
            raise ServerError(said, error.status) from None

    def _unload_old(self, server: Server) -> None:
        for name in server.adapters():
            if name.startswith(self.run) and name != self.name:
                server.unload(name)

    def _complete(self, server: Server, request: dict[str, Any]) -> list[tuple[list[int], list[float]]]:
        asked = {**request, "model": self.name if self.adapted else self.bases[server]["id"]}
        try:
            return server.complete(asked)
        except ServerError as error:
            if error.status != 404 or not self.adapted:
                raise
            self._load(server)  # it was started anew in between
            return server.complete(asked)

    def _request(self, ids: Sequence[int], room: int, index: int, sampling: Sampling) -> dict[str, Any]:
        """A request of /v1/completions that says all: what it leaves out, a server takes from its generation config."""
        drawn = f"{sampling.seed}:{index}".encode()  # vLLM adds 0, 1, ... for the completions of one prompt
        return {
            "prompt": list(ids),
            "n": 1 if sampling.temperature == 0 else sampling.n,
            "max_tokens": room,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p or 0.0,
            "repetition_penalty": sampling.repetition_penalty,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "seed": int.from_bytes(hashlib.sha256(drawn).digest()[:7]),
            "stop_token_ids": self.policy.end_ids,
            "ignore_eos": True,  # the base's own end tokens, which need not be the policy's
            "skip_special_tokens": False,
            "logprobs": 0 if sampling.logprobs else None,
        }

    def _strangers(self, servers: Sequence[Server]) -> dict[Server, ServerError]:
        """The servers whose model has neither the name nor the weights of the policy's base."""
        found = {}
        for server in servers:
            base = self.bases[server]
            if _same(base, self.policy):
                continue
            names = f"it serves {base.get('root') or base['id']}, and the policy's base is {self.policy.base}"
            alone = copy.copy(self)
            alone.servers = Servers([server], self.servers.remedy)
            try:
                apart = check.difference(alone, self.policy)
            except (RequestError, RunError) as error:
                found[server] = ServerError(f"{names}: {error}")
                continue
            if not apart <= (bound := check.bound(self.policy, self.dtype)):
                said = f"{names}: their log-probabilities differ by {apart:.3g} nats, and rounding by {bound:g}"
                found[server] = ServerError(f"{said} (generation.dtype says what it computes in, if not as the policy)")
            else:
                said = "the same, by their log-probabilities"
                logger.warning("generation.servers: %s: %s: %s", server.address, names, said)
        return found


def command(policy: Policy) -> str:
    """The command line that starts a server for a policy."""
    words = ["vllm", "serve", policy.base or "MODEL", "--dtype", str(policy.model.dtype).removeprefix("torch.")]
    if policy.revision:
        words += ["--revision", policy.revision]
    if policy.in_4bit:
        words += ["--quantization", "bitsandbytes"]
    if policy.model.device.type == "cpu":  # where vLLM 0.32 dies when it splits a prompt that has a seed
        words += ["--no-enable-chunked-prefill"]
    words += ["--logprobs-mode", "processed_logprobs"]
    if adapters.hot_swappable(policy) is not None:
        return shlex.join(words)
    rank = next(rank for rank in adapters.RANKS if rank >= adapters.rank(policy))
    words += ["--enable-lora", "--max-lora-rank", str(rank)]
    return "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True " + shlex.join(words)


def _publishable(policy: Policy, training: bool) -> bool:
    """Whether there is an adapter to publish.

    Raises:
        RequestError: What is trained cannot be published.
    """
    why = adapters.hot_swappable(policy)
    trained = training and any(parameter.requires_grad for parameter in policy.model.parameters())
    if why is not None and (trained or adapters.is_adapter(policy)):
        raise RequestError(
            f"generation.engine vllm_server publishes a LoRA adapter, and {why}: "
            "train one (lora: {r: 16}), or take generation.engine=vllm"
        )
    if policy.base is None:
        raise RequestError(
            "generation.engine vllm_server: no folder or hub id holds the policy's base as it is (a chat template "
            "added tokens): save it with them, start the servers on that, and name it in model.path"
        )
    return why is None


def _same(base: dict[str, Any], policy: Policy) -> bool:
    """Whether a server's model is the policy's base by its name: the hub id, the folder, or the hub's cache of it."""
    ours = policy.base or ""
    snapshot = f"models--{ours.replace('/', '--')}"
    for name in (base.get("root") or "", base["id"]):
        path = Path(name)
        if name == ours or snapshot in path.parts or (path.is_dir() and path.resolve() == Path(ours).resolve()):
            return True
    return False
