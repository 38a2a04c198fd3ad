"""A model that an engine of rlkit runs: transformers, or vLLM."""

from collections.abc import Callable
from typing import Any

from rlkit.engines import Engine, Sampling, choose
from rlkit.errors import RequestError
from rlkit.policy import Policy
from rlkit.recipe.generation import GenerationSection
from rlkit.serving.prompt import template_refuses
from rlkit.serving.served import Messages


class EngineModel:
    """A model of transformers, or an adapter on one.

    The engine starts at the first `generate`; `stream` is transformers' own generation, whatever the engine.

    Args:
        policy: The model and its tokenizer.
        name: What a person called it.
        settings: `generation:`, which names the engine.
    """

    def __init__(self, policy: Policy, name: str, settings: GenerationSection):
        self.policy, self.name, self.settings = policy, name, settings
        self.notes = list(policy.notes)
        self._engine: Engine | None = None
        self._ends = set(policy.end_ids)

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return bool(self.policy.tokenizer.chat_template)

    @property
    def context(self) -> int | None:
        """As the model's configuration says."""
        return self.policy.context

    def render(self, messages: Messages) -> str:
        """A conversation by the chat template, up to where the assistant's turn begins.

        Raises:
            RequestError: The template refuses it.
        """
        import jinja2

        try:
            return str(self.policy.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
        except (jinja2.TemplateError, ValueError, TypeError, KeyError) as error:
            raise template_refuses(error) from None

    def tokens(self, text: str, rendered: bool) -> list[int]:
        """The tokens of a text; see `Served.tokens`."""
        return list(self.policy.tokenizer(text, add_special_tokens=not rendered)["input_ids"])

    def decode(self, ids: list[int]) -> str:
        """The text of tokens; special ones are left out."""
        return str(self.policy.tokenizer.decode(ids, skip_special_tokens=True))

    def ends(self, token: int) -> bool:
        """Whether a token ends a completion."""
        return token in self._ends

    def generate(
        self, prompts: list[list[int]], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[list[int]]:
        """Complete each prompt `sampling.n` times by the engine; see `Served.generate`.

        Raises:
            RequestError: The engine is not installed, or cannot serve this model.
            RunError: It did not start, or failed.
        """
        if self._engine is None:
            self._engine, _why = choose(self.settings, self.policy)
        return self._engine.generate(prompts, sampling, progress).completion_ids

    def stream(self, prompt: list[int], sampling: Sampling, hear: Callable[[list[int]], None]) -> None:
        """Complete a prompt once by transformers' generate; `hear` is told each token as it is made."""
        import torch
        from transformers import GenerationConfig

        model, room = self.policy.model, sampling.max_completion_length
        if self.context is not None:
            room = min(room, self.context - len(prompt))
        drawn = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k", "min_p")}
        config = GenerationConfig(
            max_new_tokens=room,
            do_sample=sampling.temperature > 0,
            repetition_penalty=sampling.repetition_penalty,
            eos_token_id=self.policy.end_ids,
            pad_token_id=self.policy.tokenizer.pad_token_id,
            **(drawn if sampling.temperature > 0 else {}),
        )
        ids = torch.tensor([prompt], device=model.device)
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config, streamer=_Streamer(hear)
        )

    def close(self) -> None:
        """Free the engine."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()


class _Streamer:
    """What transformers' generate tells its tokens; the first that it tells are the prompt's."""

    def __init__(self, hear: Callable[[list[int]], None]):
        self.hear, self.prompted = hear, False

    def put(self, value: Any) -> None:
        if self.prompted:
            self.hear(value.reshape(-1).tolist())
        self.prompted = True

    def end(self) -> None:
        pass


def load(path: str, loading: Any, engine: str) -> EngineModel:
    """Load a folder, an adapter on its base, or a model of the hub, to be served.

    Args:
        path: Its folder or hub id.
        loading: `model:` as its run had it; its path is not looked at.
        engine: As `generation.engine`.

    Raises:
        RequestError: It does not exist, or cannot be loaded.
        MissingExtraError: The engine is not installed.
    """
    from rlkit import policy
    from rlkit.engines.choose import installed
    from rlkit.errors import MissingExtraError

    if engine == "vllm" and not installed():  # before the weights are loaded
        raise MissingExtraError("--engine vllm", "vllm", "vllm")
    policy.exists(path)
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    section = loading.model_copy(update={"path": path})
    try:
        settings = GenerationSection.model_validate({"engine": engine})
    except ValueError:
        raise RequestError(f"--engine {engine}: auto, transformers or vllm") from None
    return EngineModel(policy.load(section, train=False), path, settings)
