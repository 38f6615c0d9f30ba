"""The checks as pytest tests, one each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hgq2_core.errors import ConfigError, ConformanceError, listing, nearest
from hgq2_core.testing.rules import Check


def parametrize_with_checks(checks: Iterable[Check], expected_failures: Mapping[str, str] | None = None) -> Any:
    """Return a pytest mark that runs a test once for each check, under the name of its rule.

    Args:
        checks: from `quantizer_checks`, `layer_checks` and the others of this package.
        expected_failures: reasons by the ids of rules that are known to be broken; if such a rule holds, its test
            fails.

    Returns:
        The mark, for a function with the argument `check`.

    Raises:
        ConfigError: an expected failure names an unknown rule.

    Example:
        >>> @parametrize_with_checks(quantizer_checks(Levels()), {"trains": "its levels are fixed"})
        ... def test_levels(check):
        ...     check()
    """
    import pytest  # imported here, since only tests need it

    checks, reasons = list(checks), dict(expected_failures or {})
    ids = [check.id for check in checks]
    for name in reasons:
        if name not in ids:
            raise ConfigError(
                f"parametrize_with_checks: there is no such rule. Received: {name!r}. "
                f"Allowed: {listing(ids)}.{nearest(name, ids)}"
            )

    def marks(check: Check) -> list[Any]:
        if check.id not in reasons:
            return []
        return [pytest.mark.xfail(reason=reasons[check.id], raises=ConformanceError, strict=True)]

    return pytest.mark.parametrize("check", [pytest.param(check, id=check.id, marks=marks(check)) for check in checks])
