"""Models: what does a trained classifier say of the completion?"""

import json
import logging
from pathlib import Path
from typing import Any, Literal

from rlkit import hub, names, reward
from rlkit.completion import text_of
from rlkit.errors import RewardError
from rlkit.reply import said

logger = logging.getLogger(__name__)


@reward("reward_model")
class RewardModel:
    """What a sequence classifier says of the completion: a reward model, or any text classifier.

    With one output, its value is the reward, as it is or through a sigmoid; with several, the probability of `label`.
    The model reads prompt and completion, by its chat template where it has one, else as a pair of texts; of the
    completion it gets what follows the thinking, or all with `whole: true`. It is loaded at the first batch, on the GPU
    where there is one.

    Parameters: `path`, a folder that `save_pretrained` wrote, or a model on the hub (safetensors; no remote code);
    `label`, its name or number; `sigmoid`; `prompt: false` leaves the prompt out; `batch_size`; `max_length`, in tokens
    (the model's own limit where it is left out; what is cut is said once); `dtype` (auto: bfloat16 on a GPU, else
    float32).

    Range: the model's own; 0 to 1 with `sigmoid` or `label`. None: never.
    Source: Ouyang et al. 2022 (arXiv 2203.02155) for rewards by a classifier's head.
    """

    def __init__(
        self,
        *,
        path: str,
        label: str | int | None = None,
        sigmoid: bool = False,
        prompt: bool = True,
        whole: bool = False,
        batch_size: int = 16,
        max_length: int | None = None,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ):
        folder = Path(path).expanduser()
        if folder.is_dir():
            if not (folder / "config.json").is_file():
                raise ValueError(f"{path}: the folder has no config.json; give one that save_pretrained wrote")
            path = str(folder)
        elif not hub.is_hub_id(path):
            raise ValueError(f"{path}: there is no such folder; give one that save_pretrained wrote, or a hub id")
        if batch_size < 1 or (max_length is not None and max_length < 1):
            raise ValueError("batch_size and max_length are 1 or more")
        self.path, self.label, self.sigmoid, self.prompt, self.whole = path, label, sigmoid, prompt, whole
        self.batch_size, self.max_length, self.dtype = batch_size, max_length, dtype
        self._told = False
        self._loaded: tuple[Any, Any] | None = None
        if folder.is_dir():
            self._output(json.loads((folder / "config.json").read_text(encoding="utf-8")))

    def __call__(self, completions: list[str], prompts: list[Any] | None = None) -> list[float]:
        """Score a batch."""
        import torch

        self._loaded = tokenizer, model = self._loaded or self._load()
        asked = prompts if prompts and self.prompt else [None] * len(completions)
        pairs = zip(asked, completions, strict=True)
        encoded = [self._encode(tokenizer, model.config, prompt, said(text, self.whole)) for prompt, text in pairs]
        # Alike in length, so that little is padding; alone, where the model has no padding of its own.
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]["input_ids"]))
        size = self.batch_size if model.config.pad_token_id is not None else 1
        scores = [0.0] * len(encoded)
        for at in range(0, len(order), size):
            chosen = order[at : at + size]
            batch = tokenizer.pad([encoded[i] for i in chosen], padding=size > 1, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                logits = model(**batch).logits.float()
            for i, value in zip(chosen, self._score(logits, model.config).tolist(), strict=True):
                scores[i] = value
        return scores

    def __getstate__(self) -> dict[str, Any]:
        """The settings: another process loads its own model."""
        return {**self.__dict__, "_loaded": None}

    def _load(self) -> tuple[Any, Any]:
        """Tokenizer and model."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if not Path(self.path).is_dir():
            hub.reachable()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = {"auto": "bfloat16" if device == "cuda" else "float32"}.get(self.dtype, self.dtype)
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.path)
            tokenizer.truncation_side = "left" if tokenizer.chat_template else tokenizer.truncation_side
            model, info = AutoModelForSequenceClassification.from_pretrained(
                self.path, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError) as error:
            raise RewardError(f"reward model {self.path}: it cannot be loaded: {str(error).splitlines()[0]}") from error
        if info["missing_keys"]:
            missing = ", ".join(sorted(info["missing_keys"])[:3])
            raise RewardError(
                f"reward model {self.path}: its file has no {missing}, so it would score at random: is it a classifier?"
            )
        self._output(model.config.to_dict())
        pad = model.config.pad_token_id
        if pad is not None:
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
        elif tokenizer.pad_token_id not in (None, tokenizer.eos_token_id):
            model.config.pad_token_id = tokenizer.pad_token_id
        return tokenizer, model.eval().to(device)

    def _output(self, config: dict[str, Any]) -> int:
        """Which output is the reward.

        Raises:
            ValueError: There are several, and `label` is none of them.
        """
        listed = {int(i): str(name) for i, name in (config.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"}).items()}
        if len(listed) == 1:
            if self.label is not None and self.label not in (0, listed[0]):
                raise ValueError(f"{self.path}: it has one output, so there is no label {self.label!r}")
            return 0
        for i, name in listed.items():
            if self.label in (i, name):
                return i
        said = names.unknown("label", str(self.label), listed.values()) if self.label is not None else "set a label"
        raise ValueError(f"{self.path}: it has {len(listed)} outputs ({', '.join(listed.values())}): {said}")

    def _score(self, logits: Any, config: Any) -> Any:
        if logits.shape[-1] == 1:
            return logits[:, 0].sigmoid() if self.sigmoid else logits[:, 0]
        several = config.problem_type == "multi_label_classification"
        return (logits.sigmoid() if several else logits.softmax(-1))[:, self._output(config.to_dict())]

    def _encode(self, tokenizer: Any, config: Any, prompt: Any, completion: str) -> dict[str, list[int]]:
        limits = (self.max_length, getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
        limit = next(one for one in limits if one)
        settings: dict[str, Any] = {"truncation": limit < 10**9, "max_length": limit if limit < 10**9 else None}
        if tokenizer.chat_template:
            before = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt or [])
            chat = [*before, {"role": "assistant", "content": completion}]
            settings |= {"text": tokenizer.apply_chat_template(chat, tokenize=False), "add_special_tokens": False}
        elif prompt:
            settings |= {"text": read_out(prompt), "text_pair": completion}
        else:
            settings |= {"text": completion}
        encoded = dict(tokenizer(**settings))
        if len(encoded["input_ids"]) >= limit and not self._told:
            logger.warning("reward model %s: texts of more than %d tokens are cut", self.path, limit)
            self._told = True
        return encoded if encoded["input_ids"] else dict(tokenizer(tokenizer.eos_token or " "))


def read_out(prompt: Any) -> str:
    """A prompt as text: that of its only message, or each under its role."""
    if isinstance(prompt, str):
        return prompt
    texts = [(message.get("role", "user"), text_of([{**message, "role": "assistant"}])) for message in prompt]
    return texts[0][1] if len(texts) == 1 else "\n\n".join(f"{role}: {text}" for role, text in texts)
