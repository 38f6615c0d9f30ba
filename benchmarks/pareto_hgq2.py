"""One training with hgq2 0.2.0, in its own environment: each model of its front, calibrated and measured.

Started by `pareto.py`, which explains the comparison. Reads a JSON document and an npz file, and prints one JSON line.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np


def build(task: dict[str, Any]) -> Any:
    """Return the compiled model, with the quantizers of hgq2's documentation."""
    import keras
    from hgq.config import LayerConfigScope, QuantizerConfigScope
    from hgq.layers import QDense

    keras.utils.set_random_seed(task["seed"])
    *hidden, outputs = task["units"]
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=task["beta"]),
    ):
        dense = [QDense(units, activation="relu") for units in hidden]
        moved = [keras.layers.RandomTranslation(**task["augmentation"])] if task["augmentation"] else []
        layers = [keras.Input(task["shape"]), *moved, keras.layers.Flatten(), *dense, QDense(outputs)]
        model = keras.Sequential(layers)
    classes = outputs > 1
    loss = "SparseCategoricalCrossentropy" if classes else "BinaryCrossentropy"
    metric = keras.metrics.SparseCategoricalAccuracy() if classes else keras.metrics.BinaryAccuracy(threshold=0.0)
    rate = keras.optimizers.schedules.CosineDecay(task["learning_rate"], task["epochs"] * task["steps"])
    model.compile(keras.optimizers.Adam(rate), getattr(keras.losses, loss)(from_logits=True), metrics=[metric])
    return model


def front(task: dict[str, Any], data: Any) -> list[dict[str, float]]:
    """Return validation accuracy, test accuracy and calibrated EBOPs of the models that its callback would keep."""
    import keras
    from hgq.utils import trace_minmax
    from hgq.utils.sugar import FreeEBOPs

    model = build(task)
    archive: list[tuple[float, float, list[Any]]] = []

    class Archive(keras.callbacks.Callback):  # as its ParetoFront, but in memory
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            value = next(logs[name] for name in logs if name.startswith("val_") and name.endswith("accuracy"))
            cost = logs["ebops"]
            if not any(other >= value and price <= cost for other, price, _ in archive):
                archive[:] = [each for each in archive if not (value >= each[0] and cost <= each[1])]
                archive.append((value, cost, [np.array(each) for each in model.get_weights()]))

    model.fit(
        data["x_train"],
        data["y_train"],
        validation_data=(data["x_validation"], data["y_validation"]),
        epochs=task["epochs"],
        batch_size=task["batch_size"],
        verbose=0,
        callbacks=[FreeEBOPs(), Archive()],
    )
    points = []
    for _, _, weights in archive:
        model.set_weights(weights)
        cost = trace_minmax(model, data["x_train"])
        validation, test = (
            model.evaluate(data[f"x_{part}"], data[f"y_{part}"], batch_size=256, verbose=0, return_dict=True)
            for part in ("validation", "test")
        )
        name = next(name for name in test if name.endswith("accuracy"))
        points.append({"ebops": float(cost), "validation": validation[name], "test": test[name]})
    return points


def main() -> None:
    answer = os.fdopen(os.dup(1), "w")  # libraries may print
    os.dup2(2, 1)
    task = json.loads(sys.argv[1])
    with np.load(sys.argv[2]) as data:
        print(json.dumps(front(task, dict(data))), file=answer, flush=True)


if __name__ == "__main__":
    main()
