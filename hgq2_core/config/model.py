"""A config: the model, its defaults, the data set and the training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import keras
from pydantic import BeforeValidator, Field, model_validator

from hgq2_core.config.budget import BudgetSection, FrontSection
from hgq2_core.config.class_weight import ClassWeight
from hgq2_core.config.distribution import DistributionSection, as_distribution
from hgq2_core.config.graph import ModelSection, Size
from hgq2_core.config.init_from import InitFrom, as_init_from
from hgq2_core.config.overrides import overridden
from hgq2_core.config.per_output import PerOutput, for_outputs, wrong_names
from hgq2_core.config.reader import read_document
from hgq2_core.config.specs import LOSSES, METRICS, OPTIMIZERS, Kinds, ObjectSpec, construct
from hgq2_core.data.absent_classes import notes_on_classes
from hgq2_core.data.class_weight import is_of_labels
from hgq2_core.errors import ConfigError
from hgq2_core.keras_graph.traversal import output_names
from hgq2_core.quantizers.defaults import BIT_LEARNING_RATE_SCALE, ScopeEntries, defaults
from hgq2_core.schema.base import Document, FromList, Location, StrictModel, validation_errors
from hgq2_core.schema.condition import StopConditions
from hgq2_core.schema.keras_callbacks import placed

if TYPE_CHECKING:
    from hgq2_core.data.splits import Splits
    from hgq2_core.model.support import UnsupportedLayer


NOT_VERIFIED = "The model can be trained with `fit`; verify, freeze and export refuse it, and so does `hgq2 train`."


def _has_kind(value: Mapping[str, Any]) -> bool:
    return "kind" in value


class Training(StrictModel):
    """How to train.

    Args:
        loss: a Keras loss; for several outputs, one for all or a mapping from their names.
        optimizer: a Keras optimizer; `bit_learning_rate_scale` multiplies the learning rate of the bit variables,
            which are excluded from weight decay; 8 by default.
        metrics: Keras metrics; for several outputs, those of all or a mapping from their names.
        loss_weights: factor of the loss of each output by name; 1 for an output without one.
        class_weight: factor of the loss of the samples of each label, as the data name it; `balanced` gives all labels
            of the training part the same total; labels without a factor have 1. For several outputs, a mapping from
            their names.
        schedule: `cosine` lets the learning rate fall from the optimizer's to 0 over all epochs; None leaves it to the
            optimizer, whose `learning_rate` may be a schedule of its own.
        budget: a bound on the calibrated EBOPs of the saved model, which takes the place of `ebops_beta`.
        front: a front from one training, in place of `ebops_beta` and `schedule`; `{}` for 8 models.
        stop_if: ends the training before its last epoch, such as `{metric: ebops, below: 5000, for_epochs: 3}`; of a
            list, all must hold.
        epochs: passes over the training data.
        batch_size: samples per step.
        steps_per_epoch: steps after which an epoch ends, each epoch with other samples; None for all samples once.
        shuffle: whether each epoch has its own order of the samples.
        jit_compile: whether `hgq2_core.jit` compiles the training step and the prediction; `auto`: when the steps that
            are left are expected to save more time than compiling takes, which does not repeat to the bit.
        distribution: `data_parallel`, or `{kind: data_parallel, devices: N}`: N devices of the machine, or `all`, each
            compute a part of every batch, with the results of one device; None for one device. On jax alone.
        checkpoint_every: epochs between checkpoints; fewer are written where that would take over 2 % of the time.
        callbacks: callbacks of the installed plugins or of Keras (`keras.EarlyStopping`).
    """

    loss: Annotated[Any, PerOutput(Annotated[ObjectSpec, LOSSES], _has_kind)]
    optimizer: Annotated[ObjectSpec, OPTIMIZERS] = ObjectSpec("adam", {})
    metrics: Annotated[
        Any, PerOutput(Annotated[tuple[Annotated[ObjectSpec, METRICS], ...], FromList], lambda value: False)
    ] = ()
    loss_weights: dict[str, Annotated[float, Field(ge=0)]] | None = None
    class_weight: ClassWeight | None = None
    schedule: Literal["cosine"] | None = None
    budget: BudgetSection | None = None
    front: FrontSection | None = None
    stop_if: StopConditions = ()
    epochs: Size = 10
    batch_size: Size = 32
    steps_per_epoch: Size | None = None
    shuffle: bool = True
    jit_compile: bool | Literal["auto"] = False
    distribution: Annotated[DistributionSection, BeforeValidator(as_distribution)] | None = None
    checkpoint_every: Size = 1
    callbacks: Annotated[tuple[Annotated[ObjectSpec, Kinds("callbacks")], ...], FromList] = ()

    @model_validator(mode="after")
    def _check_steps(self) -> Training:
        if self.steps_per_epoch is not None and not self.shuffle:
            message = "without `shuffle` each epoch would have the same first samples. Leave one of them out."
            raise validation_errors([(("steps_per_epoch",), message)])
        return self

    @model_validator(mode="after")
    def _check_schedule(self) -> Training:
        rate = self.optimizer.arguments.get("learning_rate")
        if self.schedule is not None and isinstance(rate, dict):
            message = (
                f"{self.schedule} needs a number to begin with, and optimizer.learning_rate is a schedule of its own. "
                "Leave one of them out."
            )
            raise validation_errors([(("schedule",), message)])
        return self

    @model_validator(mode="after")
    def _check_front(self) -> Training:
        if self.front is None:
            return self
        rate = self.optimizer.arguments.get("learning_rate")
        tuning = self.front.tuning_epochs(self.epochs)
        for place, wrong, message in (
            ("budget", self.budget is not None, "one model is wanted, or a front. Leave one of them out."),
            ("schedule", self.schedule is not None, "a front sets the learning rate itself. Leave one of them out."),
            (
                "optimizer",
                isinstance(rate, dict),
                "a front sets the learning rate itself: give it a number.",
            ),
            ("stop_if", bool(self.stop_if), "a front needs all epochs. Leave one of them out."),
            (
                "front",
                2 * tuning > self.epochs,
                f"tunes {self.front.count} models in {tuning} epochs, which leaves less than half of {self.epochs}. "
                "Take more epochs or fewer models.",
            ),
        ):
            if wrong:
                raise validation_errors([((place,), message)])
        return self

    @model_validator(mode="after")
    def _check_averages(self) -> Training:
        for word, section in (("budget", self.budget), ("front", self.front)):
            if section is not None and self.optimizer.arguments.get("use_ema"):
                message = f"a {word} saves the weights of an epoch, never averages of them. Leave one of them out."
                raise validation_errors([(("optimizer", "use_ema"), message)])
        return self

    @property
    def price_setters(self) -> list[int]:
        """Indices of the callbacks that set `ebops_beta`."""
        found = enumerate(self.make_callbacks())
        return [index for index, each in found if "ebops_beta" in getattr(each, "adds_logs", tuple)()]

    def compile(self, model: keras.Model, samples: int | None = None) -> None:
        """Compile a model with this optimizer, loss and these metrics.

        Args:
            model: built from the config.
            samples: number of training samples, which `schedule` needs.
        """
        from hgq2_core.compilation.jit import jit
        from hgq2_core.optimizer import BitOptimizer, decays

        optimizer = self._make_optimizer(samples)
        scale = self.optimizer.arguments.get("bit_learning_rate_scale", BIT_LEARNING_RATE_SCALE)
        outputs = output_names(model)
        losses = [LOSSES.make(spec) for spec in for_outputs(self.loss, outputs)]
        metrics = [[METRICS.make(spec) for spec in own or ()] for own in for_outputs(self.metrics, outputs)]
        several = len(outputs) > 1
        weights = None if self.loss_weights is None else [self.loss_weights.get(name, 1.0) for name in outputs]
        model.compile(
            optimizer=BitOptimizer(optimizer, scale) if scale != 1 or decays(optimizer) else optimizer,
            loss=losses if several else losses[0],
            loss_weights=weights if several or weights is None else weights[0],
            metrics=metrics if several else metrics[0],
        )
        if self.jit_compile:
            jit(model, auto=self.jit_compile == "auto")

    def _make_optimizer(self, samples: int | None) -> keras.optimizers.Optimizer:
        optimizer = OPTIMIZERS.make(self.optimizer)
        if self.schedule is None:
            return optimizer
        if samples is None:
            raise ConfigError("training.schedule: needs a data set, whose size says how many steps there are.")
        decay = {
            "kind": "cosine_decay",
            "initial_learning_rate": self.optimizer.arguments.get("learning_rate", float(optimizer.learning_rate)),
            "decay_steps": self.epochs * (self.steps_per_epoch or math.ceil(samples / self.batch_size)),
        }
        return OPTIMIZERS.make(replace(self.optimizer, arguments={**self.optimizer.arguments, "learning_rate": decay}))

    def make_callbacks(self, directory: Path | None = None) -> list[Any]:
        """Construct the callbacks, in order.

        Args:
            directory: the run directory, inside which those of Keras write; None if they are not to be called.
        """
        return [
            construct("callbacks", spec, **({} if directory is None else placed(spec.kind, spec.arguments, directory)))
            for spec in self.callbacks
        ]


class ModelConfig(Document):
    """A model, its defaults, its data set and its training, as plain data.

    Args:
        model: inputs and layers.
        seed: seed of weights, shuffling and random layers.
        defaults: see `hgq2_core.defaults`.
        data: a data set kind.
        training: how to train.
        init_from: a run whose weights and bits the training starts from, by the names of layers: its directory, or
            `{run: DIRECTORY, front: N}` for a model of its front.
    """

    model: ModelSection
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    defaults: ScopeEntries = Field(default_factory=ScopeEntries)
    data: Annotated[ObjectSpec, Kinds("datasets")] | None = None
    training: Training | None = None
    init_from: Annotated[InitFrom, BeforeValidator(as_init_from)] | None = None

    @model_validator(mode="after")
    def _check_price(self) -> ModelConfig:
        training = self.training
        if training is None or (training.budget is None and training.front is None):
            return self
        setters: list[Location] = [("training", "callbacks", index) for index in training.price_setters]
        if self.defaults.ebops_beta is not None:
            setters.append(("defaults", "ebops_beta"))
        if setters:
            word = "front" if training.budget is None else "budget"
            message = f"training.{word} sets the price of bits itself. Leave one of them out."
            raise validation_errors((place, message) for place in setters)
        return self

    @model_validator(mode="after")
    def _check_outputs(self) -> ModelConfig:
        if self.training is not None:
            outputs = self.model.output_names
            factors = self.training.class_weight
            of_labels = not isinstance(factors, Mapping) or is_of_labels(factors)
            errors = [
                *wrong_names(self.training.loss, ("training", "loss"), outputs, complete=True),
                *wrong_names(self.training.metrics, ("training", "metrics"), outputs, complete=False),
                *wrong_names(self.training.loss_weights, ("training", "loss_weights"), outputs, complete=False),
                *wrong_names(None if of_labels else factors, ("training", "class_weight"), outputs, complete=False),
            ]
            if errors:
                raise validation_errors(errors)
        return self

    def build(self, *, exact: bool = False) -> keras.Model:
        """Build the Keras model, with every slot resolved.

        The random numbers that a layer draws depend only on the seed and its name, so its first weights do not depend
        on other layers. The caller's random generators keep their state; seed them before `fit` to repeat the order of
        batches.

        Args:
            exact: whether a layer that cannot be verified is an error, as in `hgq2 train`, which verifies the trained
                model. Otherwise it is a warning: the model can be trained with `fit`.

        Raises:
            ConfigError: shapes or arguments do not fit, or a layer has no exact arithmetic; the message names it.
        """
        with defaults(**{name: getattr(self.defaults, name) for name in self.defaults.model_fields_set}):
            model = self.model.build(self.seed)
        problems = [str(each) for each in self.unsupported(model) if each.stage == "verify"]
        if problems and exact:
            raise ConfigError("\n".join(problems))
        for each in problems:
            warnings.warn(f"{each} {NOT_VERIFIED}", stacklevel=2)
        return model

    def unsupported(self, model: keras.Model) -> list[UnsupportedLayer]:
        """Return the layers of a built model that `verify` or `export` would refuse, by their places in the config."""
        from hgq2_core.model.support import unsupported_layers

        return [replace(each, layer=self.model.place_of(each.layer)) for each in unsupported_layers(model)]

    def load_data(self) -> Splits:
        """Load and split the data set.

        Raises:
            ConfigError: the config names no data set.
        """
        splits: Splits = self.data_set().load()
        return replace(splits, notes=(*splits.notes, *notes_on_classes(splits)))

    def data_set(self) -> Any:
        """Return the data set, which reads nothing before it is loaded.

        Raises:
            ConfigError: the config names no data set.
        """
        if self.data is None:
            raise ConfigError("data: is missing; training needs a data set.")
        return construct("datasets", self.data)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `parse` takes, with full kinds."""
        document: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        return document


def load_config(path: str | Path, settings: Iterable[str] = ()) -> ModelConfig:
    """Read and check a model's config file.

    Args:
        path: a YAML or JSON file.
        settings: changes to it, each `PATH=VALUE`; see `hgq2_core.config.overrides`.

    Returns:
        The checked config; `.build()` makes the Keras model.

    Raises:
        ConfigError: the config is wrong; lists every error with its place, what was received and what is allowed.
    """
    settings = list(settings)
    where = " ".join([str(path), *(f"--set {setting}" for setting in settings)])
    return ModelConfig.parse(overridden(read_document(path), settings), where)
