"""Abstract methods, which a class of a plugin must define, and the error if it does not.

A base marks them with `abc.abstractmethod`. The metaclass of `abc` is not used: Keras' layers have another one, and its
error would not be an `HGQ2Error`.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any, Protocol, Self

from hgq2_core.errors import IncompleteError

GUIDES = "docs/extending"


class Extensible(Protocol):
    """A base that plugins extend."""

    @classmethod
    def missing_methods(cls) -> list[str]:
        """Return the names of the methods that a class must define and does not."""
        ...


def abstract_methods(cls: type[Any]) -> list[str]:
    """Return the methods that are abstract in a class, in the order in which its bases declare them."""
    declared = [
        name
        for base in reversed(cls.__mro__)
        for name, member in vars(base).items()
        if getattr(member, "__isabstractmethod__", False)
    ]
    return [name for name in dict.fromkeys(declared) if getattr(getattr(cls, name), "__isabstractmethod__", False)]


def require_complete(cls: type[Extensible], guide: str, recent: Collection[str] = ()) -> None:
    """Refuse a class that lacks methods.

    Args:
        cls: the class.
        guide: the page of docs/extending that has the protocol and complete files.
        recent: methods that earlier versions did not require; a class that lacks no others is only warned of.

    Raises:
        IncompleteError: methods are missing.
    """
    missing = cls.missing_methods()
    if not missing:
        return
    message = incomplete(cls, missing, guide)
    if not set(missing) <= set(recent):
        raise IncompleteError(message)
    message = f"{message} It trains in this version; the next one refuses it."
    warnings.warn(message, FutureWarning, stacklevel=4)


def incomplete(cls: type[Any], missing: list[str], guide: str) -> str:
    """Return a message with the methods that a class lacks."""
    return f"{cls.__name__} does not define {named(missing)}. The protocol and complete files: {GUIDES}/{guide}.md"


def named(methods: list[str]) -> str:
    """Return names of methods for a message."""
    return ", ".join(f"{name}()" for name in methods)


class Abstract:
    """Base of classes that plugins extend, except those of Keras and pydantic; an incomplete one is refused."""

    guide = "README"
    """The page of docs/extending that has the protocol and complete files."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse a class that lacks methods.

        Raises:
            IncompleteError: methods are missing.
        """
        require_complete(cls, cls.guide)
        return super().__new__(cls)

    @classmethod
    def missing_methods(cls) -> list[str]:
        """Return the names of the methods that a class must define and does not."""
        return abstract_methods(cls)
