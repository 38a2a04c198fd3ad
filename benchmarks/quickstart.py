"""The quickstart over several seeds, held to its bar: python benchmarks/quickstart.py [--seeds 5] [--json]

Bar, in each seed: held-out greedy accuracy of at least 95%, at least 40 points above the warm start's, and the strict
format at least 95%. Exit 1 where a seed misses it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def measure(seed: int, folder: Path) -> dict[str, float]:
    """Run the quickstart with a seed; returns its figures."""
    run = folder / f"seed{seed}"
    command = [sys.executable, "-m", "rlkit", "train", "quickstart", f"seed={seed}", "--run-dir", str(run)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    stages = json.loads((run / "summary.json").read_text())
    _, before, _, after = (stage["metrics"] for stage in stages)
    return {
        "seed": seed,
        "accuracy_before": before["accuracy"],
        "accuracy": after["accuracy"],
        "strict_before": before["strict_format"],
        "strict": after["strict_format"],
        "seconds": sum(stage["seconds"] for stage in stages),
    }


def holds(row: dict[str, float]) -> bool:
    """Whether a seed reaches the bar."""
    return row["accuracy"] >= 0.95 and row["accuracy"] - row["accuracy_before"] >= 0.40 and row["strict"] >= 0.95


def main() -> None:
    """Run every seed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object a seed")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            rows.append(measure(seed, Path(folder)))
            if arguments.json:
                print(json.dumps(rows[-1]), flush=True)
    if not arguments.json:
        print("| seed | accuracy before | after | strict format before | after | seconds |")
        print("| --- | --- | --- | --- | --- | --- |")
        for row in rows:
            print(
                f"| {row['seed']} | {row['accuracy_before']:.1%} | {row['accuracy']:.1%} "
                f"| {row['strict_before']:.1%} | {row['strict']:.1%} | {row['seconds']:.0f} |"
            )
    sys.exit(0 if all(map(holds, rows)) else 1)


if __name__ == "__main__":
    main()
