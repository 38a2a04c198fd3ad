"""The training part of a step whose prompt is four times its completions, group of 16, beside TRL's."""

import trainers

if __name__ == "__main__":
    trainers.compare(__doc__, "group of 16", groups=1, group=16, prompt=256, completion=64)
