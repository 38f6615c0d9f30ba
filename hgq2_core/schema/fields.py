"""Arguments as typed fields of a class: each is written once, and the constructor comes from them."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY
from typing import Any, ClassVar, dataclass_transform, get_origin

from typing_extensions import override

from hgq2_core.errors import PluginError
from hgq2_core.schema.signature import Parameter, bind, fields_of


@dataclass_transform()
class Fields:
    """Root of classes whose annotated attributes are the arguments of their constructor, as in a dataclass.

    A `ClassVar` is no argument. Those behind `_: KW_ONLY`, and all of a class with `kw_only=True` in its first line,
    are given by keyword alone. The attribute of an argument exists on instances only, where `_construct` has set it.

    A default that is a descriptor stays on the class, to read the value from elsewhere once the instance no longer has
    it; its attribute `default` is what the constructor has.

    A class that writes `__init__` itself hands the arguments of its bases to `super().__init__`.
    """

    _fields: ClassVar[Mapping[str, Parameter]] = {}

    @override
    def __init_subclass__(cls, *, kw_only: bool = False, **kwargs: Any) -> None:
        """Make the constructor.

        Raises:
            PluginError: fields below a constructor written by hand, which they would not reach.
        """
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            return
        fields = {field.name: field for field in _own(cls, kw_only)}
        by_hand = _constructor_by_hand(cls)
        if by_hand is None:
            cls._fields = fields
            for name in fields:
                if name in vars(cls) and not _stays(vars(cls)[name]):
                    delattr(cls, name)
            cls.__init__ = _constructor(cls)  # type: ignore[method-assign]
        elif fields:
            raise PluginError(
                f"{cls.__module__}.{cls.__qualname__}: the field `{next(iter(fields))}` would not reach "
                f"{by_hand.__qualname__}.__init__(), which is written by hand. Write __init__() here too, or make the "
                f"arguments of {by_hand.__qualname__} fields."
            )

    @abstractmethod
    def _construct(self, arguments: Mapping[str, Any]) -> None:
        """Set the fields.

        Args:
            arguments: those given, by name.
        """


def _own(cls: type, kw_only: bool) -> Iterator[Parameter]:
    for name, annotation in inspect.get_annotations(cls).items():
        if _is(annotation, ClassVar, "ClassVar"):
            continue
        if _is(annotation, KW_ONLY, "KW_ONLY"):
            kw_only = True
            continue
        given = vars(cls).get(name, inspect.Parameter.empty)
        yield Parameter(name, annotation, given.default if _stays(given) else given, kw_only)


def _stays(given: Any) -> bool:
    return hasattr(type(given), "__get__") and hasattr(type(given), "default")


def _is(annotation: Any, marker: Any, name: str) -> bool:
    if isinstance(annotation, str):  # not yet evaluated: what it names may be defined further down
        return annotation.partition("[")[0].rpartition(".")[2] == name
    return annotation is marker or get_origin(annotation) is marker


def _constructor_by_hand(cls: type) -> type | None:
    owner = next(owner for owner in cls.__mro__ if "__init__" in vars(owner))
    return owner if issubclass(owner, Fields) and "_fields" not in vars(owner) else None


def _constructor(cls: type) -> Callable[..., None]:
    def __init__(self: Fields, *args: Any, **kwargs: Any) -> None:
        self._construct(bind(cls, args, kwargs))

    hidden = getattr(cls, "not_in_schema", ())
    fields = [field for field in fields_of(cls).values() if field.name not in hidden]
    fields.sort(key=lambda field: field.keyword_only)
    kinds = {False: inspect.Parameter.POSITIONAL_OR_KEYWORD, True: inspect.Parameter.KEYWORD_ONLY}
    words = [
        inspect.Parameter(field.name, kinds[field.keyword_only], default=field.default, annotation=field.annotation)
        for field in fields
    ]
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__signature__ = inspect.Signature([itself, *words])  # type: ignore[attr-defined]
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    __init__.__module__ = cls.__module__
    return __init__
