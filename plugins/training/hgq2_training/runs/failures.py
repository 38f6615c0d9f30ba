"""Errors at the end of a run, which must not cost anybody the trained model, nor its results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hgq2_core.diagnosis.report import Check, Finding

NOT_VERIFIED = Check("not_verified", "error", "The model is saved and measured. Try again: hgq2 calibrate RUN.")
UNTOLD = Check("untold", "warning", "The model is saved and measured. Try again: hgq2 report RUN.")
MOST_TOLD = 200
"""Characters of an error that are told."""


class Failures:
    """Errors that became findings.

    Args:
        model: name of the model.
    """

    def __init__(self, model: str) -> None:
        self.errors: list[Exception] = []
        self.findings: list[Finding] = []
        self._model = model

    @contextmanager
    def told(self, what: str, check: Check = UNTOLD) -> Iterator[None]:
        """Add an error to the findings in place of raising it.

        Args:
            what: failed, such as `its page could not be made`.
            check: of the finding.
        """
        try:
            yield
        except Exception as error:  # whatever it is
            seen = " ".join(f"{type(error).__name__}: {error}".split())[:MOST_TOLD]
            self.errors.append(error)
            self.findings.append(Finding(check, self._model, None, f"{what}. {seen}"))


@contextmanager
def with_saved_model(path: Path) -> Iterator[None]:
    """Add to an error where the trained model is, and how its run is completed.

    Args:
        path: the model, in its run directory.
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"The trained model is saved: {path}. To complete the run: hgq2 calibrate {path.parent}")
        raise
