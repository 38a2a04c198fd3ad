"""Merging needs memory for about one copy of the model."""

import subprocess
import sys

import pytest

from rlkit import policy, scratch
from rlkit.recipe.lora import LoraSection
from rlkit.recipe.model import FromScratchSection, ModelSection, TokenizerSection

MERGE = """
import sys
from pathlib import Path
from rlkit.export import merged
from rlkit.progress import Progress

def kilobytes(what):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(what))

small, large, out = map(Path, sys.argv[1:])
out.mkdir()
merged.write(str(small), out, "float32", Progress(quiet=True))  # what the libraries take is there before we count
open("/proc/self/clear_refs", "w").write("5")  # the peak is counted from here
before = kilobytes("VmRSS")
merged.write(str(large), out, "float32", Progress(quiet=True))
print((kilobytes("VmHWM") - before) * 1024)
"""


@pytest.mark.slow
def test_a_merge_takes_little_more_than_one_copy(tmp_path):
    sizes, paths = {"small": (1, 64), "large": (12, 768)}, []
    for name, (layers, width) in sizes.items():
        section = FromScratchSection(
            hidden_size=width, num_hidden_layers=layers, tokenizer=TokenizerSection(vocab_size=320)
        )
        tokenizer = scratch.make_tokenizer(section.tokenizer, ["How many apples are 3 and 4?"] * 9)
        model = scratch.make_model(section, tokenizer, seed=0)
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        adapted = policy.load(ModelSection(path=str(tmp_path / name)), LoraSection(r=8))
        adapted.model.save_pretrained(tmp_path / f"{name}-adapter")
        adapted.tokenizer.save_pretrained(tmp_path / f"{name}-adapter")
        paths.append(str(tmp_path / f"{name}-adapter"))
    copy = 4 * sum(p.numel() for p in model.parameters())
    command = [sys.executable, "-c", MERGE, *paths, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    used = int(done.stdout) / copy
    print(f"{copy / 1e6:.0f} MB of weights, peak {used:.2f} copies")
    assert 0.9 < used < 1.4
