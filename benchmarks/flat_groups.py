"""The training part of a step when half of its groups have no variance, beside TRL's."""

import trainers

if __name__ == "__main__":
    trainers.compare(
        __doc__, "2 of 4 groups of 8 without variance", groups=4, group=8, prompt=64, completion=64, flat=2
    )
