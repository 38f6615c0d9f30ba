"""The recall of the class that is recognized worst."""

from __future__ import annotations

from typing import Annotated, Any

import keras
from pydantic import Field


class WorstRecall(keras.metrics.Metric):
    """The smallest recall of all classes that have samples, which an accuracy hides where classes are rare.

    Args:
        classes: number of classes.
        name: of the metric in the logs.
    """

    def __init__(
        self, classes: Annotated[int, Field(ge=2)], name: str = "worst_recall", dtype: str | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.classes = classes
        self.right = self.add_weight(name="right", shape=(classes,), initializer="zeros")
        self.total = self.add_weight(name="total", shape=(classes,), initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the samples of a batch and those that are right, by class."""
        labels = keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,))
        right = keras.ops.equal(labels, keras.ops.cast(keras.ops.argmax(y_pred, axis=-1), "int32"))
        of_class = keras.ops.one_hot(labels, self.classes, dtype=self.dtype)
        self.total.assign_add(keras.ops.sum(of_class, axis=0))
        self.right.assign_add(keras.ops.sum(of_class * keras.ops.cast(right, self.dtype)[:, None], axis=0))

    def result(self) -> Any:
        """Return the smallest recall; classes without a sample do not count."""
        recall = keras.ops.divide_no_nan(self.right, self.total)
        return keras.ops.min(keras.ops.where(self.total > 0, recall, 1.0))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for a saved model."""
        return {**super().get_config(), "classes": self.classes}
