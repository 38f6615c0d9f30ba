"""Conversion of a plain Keras model by a config: quantized, calibrated, and compared with the original."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
from pydantic import Field
from typing_extensions import override

from hgq2_core import calibrate, fit_ranges, load_model, quantize_model, verify
from hgq2_core.config.preflight.check import check_fit
from hgq2_core.config.specs import Kinds, ObjectSpec, construct
from hgq2_core.convert.quantize import BITS
from hgq2_core.data.splits import Splits
from hgq2_core.errors import ExactnessError, ModelFileError
from hgq2_core.exporting.graph import output_names
from hgq2_core.model.number_format import format_metric
from hgq2_core.model.verification import VerifyReport
from hgq2_core.optimizer import BitOptimizer, decays
from hgq2_core.quantizers.defaults import ScopeEntries, defaults
from hgq2_core.schema.base import Document, FromList
from hgq2_training.runs.evaluation import evaluate


class ConversionConfig(Document):
    """The config of a conversion.

    Args:
        rules: see `hgq2_core.quantize_model`.
        bits: width where neither a rule nor a default sets it; see `hgq2_core.quantize_model`.
        defaults: see `hgq2_core.defaults`.
        data: a data set kind; its training part is for calibration, its test part for the comparison.
    """

    rules: Annotated[tuple[dict[str, Any], ...], FromList] = ()
    bits: Annotated[int, Field(ge=2)] | None = BITS
    defaults: ScopeEntries = Field(default_factory=ScopeEntries)
    data: Annotated[ObjectSpec, Kinds("datasets")] | None = None

    def convert(self, model: keras.Model) -> keras.Model:
        """Return the converted model, compiled like the original, with bits excluded from weight decay."""
        with defaults(**{name: getattr(self.defaults, name) for name in self.defaults.model_fields_set}):
            converted = quantize_model(model, self.rules, self.bits)
        if model.compiled:
            converted.compile_from_config(_for_outputs(model, converted))
            if decays(converted.optimizer):
                config = converted.get_compile_config()
                optimizer = keras.optimizers.serialize(BitOptimizer(converted.optimizer))
                converted.compile_from_config({**config, "optimizer": optimizer})
        return converted

    def load_data(self) -> Splits | None:
        """Return the data set, split; None if the config names none."""
        return None if self.data is None else construct("datasets", self.data).load()


def _for_outputs(model: keras.Model, converted: keras.Model) -> dict[str, Any]:
    """Return the compile config of a model, with its outputs renamed to those of the converted model."""
    config: dict[str, Any] = model.get_compile_config()
    if isinstance(model, keras.Sequential) or isinstance(model.output, Mapping):  # one output, or explicit names
        return config
    # An activation that was split off is the output in place of its layer.
    names = dict(zip(output_names(model), output_names(converted), strict=True))
    return {
        word: {names.get(key, key): each for key, each in value.items()} if isinstance(value, Mapping) else value
        for word, value in config.items()
    }


@dataclass(frozen=True)
class Comparison:
    """A comparison of a converted model with the float model, on the test part of the data.

    Args:
        floats: metrics of the float model; empty if it is not compiled.
        quantized: metrics of the converted model.
        difference: mean difference of their outputs, as a share of the outputs' standard deviation.
        verification: the comparison with integers, or the reason why there is none: a rule kept a layer in floats.
    """

    floats: dict[str, float]
    quantized: dict[str, float]
    difference: float
    verification: VerifyReport | ExactnessError

    @property
    def ok(self) -> bool:
        """Whether all values equal the integers."""
        return isinstance(self.verification, ExactnessError) or self.verification.ok

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        measured = {"floats": self.floats, "quantized": self.quantized, "difference": self.difference}
        if isinstance(self.verification, ExactnessError):
            return {**measured, "verify": None, "not_verified": str(self.verification)}
        verified = {"mismatches": self.verification.mismatches, "samples": self.verification.samples}
        return {**measured, "verify": verified}

    @override
    def __str__(self) -> str:
        lines = [
            f"{name}: {format_metric(value)} in floats, {format_metric(self.quantized[name])} quantized"
            for name, value in self.floats.items()
        ]
        lines.append(f"outputs: differ by {self.difference:.2%} of their deviation on average")
        unverified = "not verified: " if isinstance(self.verification, ExactnessError) else ""
        return "\n".join([*lines, f"{unverified}{self.verification}"])


def load_plain(path: str | Path) -> keras.Model:
    """Load a Keras model from its file, compiled if the file has a compile config that Keras can read.

    Raises:
        ModelFileError: see `hgq2_core.load_model`.
    """
    try:
        return load_model(path, compile=True)
    except ModelFileError:  # a custom loss must not prevent the conversion
        return load_model(path)


def calibrate_and_compare(model: keras.Model, converted: keras.Model, splits: Splits) -> Comparison:
    """Fit and calibrate a converted model on the training part, and compare it on the test part.

    Args:
        model: the float model.
        converted: the converted model; changed in place.
        splits: the data.

    Raises:
        DataError: the data do not fit the model.
    """
    check_fit(model, splits)
    fit_ranges(converted, splits.train.x)
    calibrate(converted, splits.train.x)
    wanted, outputs = (
        np.concatenate([np.ravel(each) for each in keras.tree.flatten(one.predict(splits.test.x, verbose=0))])
        for one in (model, converted)
    )
    return Comparison(
        floats=_metrics(model, splits),
        quantized=_metrics(converted, splits),
        difference=float(np.mean(np.abs(outputs - wanted)) / max(float(np.std(wanted)), 1e-30)),
        verification=_verified(converted, splits),
    )


def _verified(model: keras.Model, splits: Splits) -> VerifyReport | ExactnessError:
    try:
        return verify(model, splits.test.x)
    except ExactnessError as error:
        return error


def _metrics(model: keras.Model, splits: Splits) -> dict[str, float]:
    metrics = evaluate(model, splits.test) if model.compiled else {}
    # The loss of the converted model includes the cost of its bits, and is not comparable.
    return {name: value for name, value in metrics.items() if name != "loss"}
