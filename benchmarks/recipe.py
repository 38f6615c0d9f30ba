"""How fast bits should learn: accuracy on validation data and EBOPs, by `bit_learning_rate_scale` and optimizer.

    python benchmarks/recipe.py                        # all; the table in Markdown
    python benchmarks/recipe.py digits --scales 1 8

Every example is trained at two constant prices of a bit operation, with `schedule: cosine` and one seed; the test part
of the data is never looked at.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import yaml

from hgq2_core import ModelConfig
from hgq2_training.runs.directory import load
from hgq2_training.runs.evaluation import evaluate
from hgq2_training.runs.train import train

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

SETS: dict[str, tuple[str, int, tuple[float, float]]] = {
    "digits": ("digits.yaml", 60, (1e-6, 1e-5)),
    "magic": ("magic.yaml", 20, (3e-7, 3e-6)),
    "vowels": ("sequences/vowels_rnn.yaml", 40, (1e-7, 1e-6)),
}
"""File of each example, epochs, and the prices."""

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"kind": "adam", "learning_rate": 0.005},
    "sgd": {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "rmsprop": {"kind": "rmsprop", "learning_rate": 0.002},
}


def document(name: str, optimizer: str, scale: float, price: float) -> dict[str, Any]:
    """Return an example's config with another optimizer and a constant price."""
    file, epochs, _ = SETS[name]
    config: dict[str, Any] = yaml.safe_load((EXAMPLES / file).read_text())
    config["defaults"]["ebops_beta"] = price
    config["training"] |= {
        "optimizer": {**OPTIMIZERS[optimizer], "bit_learning_rate_scale": scale},
        "schedule": "cosine",
        "epochs": epochs,
        "callbacks": [],
    }
    return config


def trained(name: str, optimizer: str, scale: float, price: float) -> tuple[float, float]:
    """Return accuracy on the validation part, and the calibrated EBOPs."""
    config = ModelConfig.parse(document(name, optimizer, scale, price))
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, Path(folder) / "run")
        splits = config.load_data()
        found = evaluate(load(run.directory), splits.validation or splits.train)
    accuracy = next(value for metric, value in found.items() if metric != "loss")
    return accuracy, run.metrics["ebops"]


def main() -> None:
    """Train all, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; all by default")
    parser.add_argument("--scales", nargs="*", type=float, default=[1.0, 4.0, 8.0, 16.0])
    parser.add_argument("--optimizers", nargs="*", choices=OPTIMIZERS, default=["adam"])
    arguments = parser.parse_args()
    print("| data | optimizer | scale | price | accuracy (validation) | EBOPs |\n|---|---|---|---|---|---|", flush=True)
    for name, optimizer in itertools.product(arguments.sets or SETS, arguments.optimizers):
        for price, scale in itertools.product(SETS[name][2], arguments.scales):
            accuracy, ebops = trained(name, optimizer, scale, price)
            print(f"| {name} | {optimizer} | {scale:g} | {price:g} | {accuracy:.2%} | {ebops:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
