"""How a layer comes from its fields: checked, given to Keras, resolved, set, and then `setup`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import keras
from typing_extensions import override

from hgq2_core.errors import ConfigError, listing
from hgq2_core.layers.arguments import POLICY, DTypeArg, NameField, RegularizerArg, default
from hgq2_core.schema.base import as_config_error
from hgq2_core.schema.fields import Fields
from hgq2_core.schema.signature import bind, cached, evaluated_fields, schema_of

if TYPE_CHECKING:

    class _KerasLayer:
        """What a type checker sees of `keras.layers.Layer`, which has no types: otherwise any argument would pass."""

        def __getattr__(self, name: str) -> Any: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
        def add_weight(self, *args: Any, **kwargs: Any) -> Any: ...
        def build(self, *args: Any, **kwargs: Any) -> None: ...
        def call(self, *args: Any, **kwargs: Any) -> Any: ...

else:
    _KerasLayer = keras.layers.Layer

EMPTY = inspect.Parameter.empty


class FieldLayer(Fields, _KerasLayer, kw_only=True):
    """A Keras layer whose arguments are fields; its own are Keras' words."""

    name: NameField = default(None)
    dtype: DTypeArg = None
    trainable: bool | None = None
    activity_regularizer: RegularizerArg = None

    not_in_schema: ClassVar[tuple[str, ...]] = ()
    """Arguments of bases that a class does not have: it sets them itself, by their defaults."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Check the arguments against the schema before anything is built."""
        where = f"{cls.__name__} {kwargs['name']!r}" if isinstance(kwargs.get("name"), str) else cls.__name__
        with as_config_error(where):
            schema_of(cls).model_validate(bind(cls, args, kwargs))
        return super().__new__(cls, *args, **kwargs)

    @override
    def _construct(self, arguments: Mapping[str, Any]) -> None:
        given, fields = dict(arguments), _resolvers(type(self))
        stray = [name for name in given if name not in fields]
        missing = [name for name, (_, default) in fields.items() if default is EMPTY and name not in given]
        if stray or missing:
            why = f"has no argument `{stray[0]}`" if stray else f"needs the argument `{missing[0]}`"
            raise TypeError(f"{type(self).__name__}: super().__init__() {why}. Allowed: {listing(fields)}.")
        values = {name: resolve(given.get(name, default)) for name, (resolve, default) in fields.items()}
        words = {name: values.pop(name) for name in FieldLayer._fields}
        super().__init__(**{name: value for name, value in words.items() if name in given})
        # The schema has seen the layer's own policy, not the one that Keras gives to all.
        problem = POLICY.problem(self.dtype_policy.name)
        if problem:
            raise ConfigError(f"{self.name}: Keras' global dtype policy: {problem} Or give the layer a dtype.")
        for name, value in values.items():
            setattr(self, name, value)

    def setup(self) -> None:
        """Make what follows from the arguments: quantizers, sublayers, derived attributes; runs when they are set."""


@cached
def _resolvers(cls: type) -> Mapping[str, tuple[Callable[[Any], Any], Any]]:
    """Return, by field, what makes the stored value, and the default."""
    return {field.name: (_resolver(field.annotation), field.default) for field in evaluated_fields(cls)}


def _resolver(annotation: Any) -> Callable[[Any], Any]:
    items = getattr(annotation, "__metadata__", ())
    return next((item.resolve for item in items if hasattr(item, "resolve")), _unchanged)


def _unchanged(value: Any) -> Any:
    return value
