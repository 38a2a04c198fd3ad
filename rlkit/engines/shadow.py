"""A copy of a model to generate with: its adapter merged, in a dtype of its own."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper


class Shadow:
    """Has the weights of a model as they were when it last took them; the model is left as it is.

    Attributes:
        model: The copy, frozen, in evaluation mode; what trainers hung on the original is left out.

    Args:
        model: A causal language model of transformers, or PEFT's adapter on one.
        dtype: Of the copy's weights; adapters are merged in float32 before they are rounded to it.
    """

    def __init__(self, model: Any, dtype: torch.dtype):
        made = copy.deepcopy(model)
        for module in made.modules():
            module.__dict__.pop("forward", None)  # a trainer's wrapper, which would call the original
        if isinstance(made, PeftModel):
            made = made.unload()
        for parameter in made.parameters():  # not the buffers: frequencies of rotary embeddings stay in float32
            parameter.data = parameter.data.to(dtype)
        for name, module in made.named_modules():
            if isinstance(_find(_base(model), name), BaseTunerLayer):  # merged, it is no longer tied to another
                for key, parameter in list(module.named_parameters(recurse=False)):
                    setattr(module, key, torch.nn.Parameter(parameter.data.clone()))
        self.model = made.requires_grad_(False).eval()
        self.take(model)

    @torch.no_grad()
    def take(self, model: Any) -> None:
        """Take a model's weights as they are now."""
        for name, module in self.model.named_modules():
            mine = list(module.parameters(recurse=False))
            if not mine:
                continue
            with _merged(_find(_base(model), name)) as theirs:
                for parameter, value in zip(mine, theirs.parameters(recurse=False), strict=True):
                    parameter.copy_(value)


def _base(model: Any) -> Any:
    return model.get_base_model() if isinstance(model, PeftModel) else model


def _find(model: Any, name: str) -> Any:
    """The module of a name as it would be without PEFT's wrappers, but for a last one that holds an adapter."""
    for part in name.split(".") if name else []:
        model = getattr(model.get_base_layer() if isinstance(model, BaseTunerLayer) else model, part)
        if isinstance(model, AuxiliaryTrainingWrapper):
            model = model.modules_to_save[model.active_adapters[0]]
    return model


@contextmanager
def _merged(module: Any) -> Iterator[Any]:
    """The layer with its adapter merged, for a while; its weights are the very same tensors afterwards."""
    if not isinstance(module, BaseTunerLayer):
        yield module
        return
    layer = module.get_base_layer()
    kept = [(parameter, parameter.data) for parameter in layer.parameters(recurse=False)]
    try:
        for parameter, data in kept:
            parameter.data = data.to(torch.float32, copy=True)
        module.merge()
        yield layer
    finally:
        for parameter, data in kept:
            parameter.data = data
        module.merged_adapters.clear()
