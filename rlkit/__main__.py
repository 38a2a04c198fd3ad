"""`python -m rlkit`, which is also how `accelerate launch` starts it."""

from rlkit.cli import main

main()
