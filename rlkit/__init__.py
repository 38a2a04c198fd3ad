"""rlkit: align language models with reinforcement learning.

`from rlkit import reward` is what a plugin needs; everything else is a command (`rlkit --help`)
or a module named for the one thing it holds.
"""

from rlkit.function import Reward
from rlkit.registry import reward

__version__ = "0.1.0"
__all__ = ["Reward", "__version__", "reward"]
