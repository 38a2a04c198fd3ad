"""What is trained: all weights of a model, or a LoRA adapter on a frozen base, in 4 bits where asked for.

`peft` and `unsloth` are the backends. Each has the same three functions: `base` loads the model, `saved` puts an
adapter on it that is there already, `new` one that is not.
"""

from rlkit.policy import head, unsloth
from rlkit.policy.dtype import choose_dtype, cpu_has_bf16
from rlkit.policy.head import holds
from rlkit.policy.location import base, exists, is_adapter
from rlkit.policy.policy import Policy, add_adapter, load, rehearse
from rlkit.policy.tokenizer import load_tokenizer

__all__ = [
    "Policy",
    "add_adapter",
    "base",
    "choose_dtype",
    "cpu_has_bf16",
    "exists",
    "head",
    "holds",
    "is_adapter",
    "load",
    "load_tokenizer",
    "rehearse",
    "unsloth",
]
