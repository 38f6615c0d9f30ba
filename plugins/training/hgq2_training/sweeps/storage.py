"""Where the study is kept: a journal, SQLite, or a database by its URL."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.version import Version

from hgq2_core.errors import ConfigError, ModelFileError
from hgq2_core.files import read_json, write_json
from hgq2_training.sweeps.config import SweepSection
from hgq2_training.sweeps.journal import GRACE, free_path, trim

JOURNAL, SQLITE, STUDY = "study.journal", "study.db", "study.json"
OLDEST = Version("5.0")
OWNER = "hgq2_sweep"
"""Attribute of a study that says to which sweep directory it belongs."""


def import_optuna() -> Any:
    """Return the module, quiet.

    Raises:
        ConfigError: Optuna is not installed, or too old.
    """
    try:
        found = Version(metadata.version("optuna"))
    except metadata.PackageNotFoundError:
        found = Version("0")
    if found < OLDEST:
        what = f"Received: {found}." if found.release > (0,) else "It is not installed."
        raise ConfigError(f"sweep: needs Optuna {OLDEST} or later. {what} pip install 'hgq2-training[sweep]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_study(section: SweepSection, directory: Path, sampler: Any, pruner: Any) -> tuple[Any, list[str]]:
    """Open the study of a sweep, or create it.

    Args:
        section: names the storage and the objectives.
        directory: of the sweep; no other process may use it.
        sampler: of Optuna.
        pruner: of Optuna.

    Returns:
        The study, and notes on what was repaired.

    Raises:
        ConfigError: the database cannot be used, or its study belongs to another sweep.
        ModelFileError: the file is damaged.
    """
    optuna = import_optuna()
    notes = []
    if section.storage == "journal" and (aside := trim(directory / JOURNAL)):
        notes.append(f"the study's last record was incomplete; it is kept in {aside}")
    name, owner = _identity(section, directory)
    directions = ["minimize" if each == "min" else "maximize" for each in section.front().directions.values()]
    with _explained(section, directory):
        study = optuna.create_study(
            storage=_storage(section, directory),
            study_name=name,
            directions=directions,
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,
        )
        found = study.user_attrs.setdefault(OWNER, None)
        if found is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(OWNER, owner)
        elif found != owner:
            raise ConfigError(
                f"sweep.study: {name!r} in {shown(section.storage)} belongs to another sweep. Give it another name."
            )
    return study, notes


def discard_study(section: SweepSection, directory: Path) -> None:
    """Move the file of a study away, or delete the study from its database, so that it is made again."""
    if section.storage in ("journal", "sqlite"):
        path = directory / (JOURNAL if section.storage == "journal" else SQLITE)
        if path.is_file():
            path.rename(free_path(path, "before"))
        return
    optuna = import_optuna()
    name, owner = _identity(section, directory)
    with _explained(section, directory), contextlib.suppress(KeyError):
        storage = _storage(section, directory)
        if optuna.load_study(study_name=name, storage=storage).user_attrs.get(OWNER) == owner:
            optuna.delete_study(study_name=name, storage=storage)


def _identity(section: SweepSection, directory: Path) -> tuple[str, str]:
    """Return the name of the study, and the word by which it is known to be of this sweep; kept in `study.json`."""
    known = read_json(directory / STUDY, {})
    if not known:
        known = {"name": section.study or directory.resolve().name, "owner": secrets.token_hex(8)}
        write_json(directory / STUDY, known)
    return known["name"], known["owner"]


def _storage(section: SweepSection, directory: Path) -> Any:
    optuna = import_optuna()
    if section.storage == "journal":
        path = str(directory / JOURNAL)
        lock = optuna.storages.journal.JournalFileOpenLock(path, grace_period=GRACE)
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path, lock_obj=lock))
    url = f"sqlite:///{(directory / SQLITE).resolve()}" if section.storage == "sqlite" else section.storage
    return optuna.storages.RDBStorage(url)


def shown(text: str) -> str:
    """Return a storage, or a text that names one, without a password in it."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", text)


@contextlib.contextmanager
def _explained(section: SweepSection, directory: Path) -> Iterator[None]:
    """Turn what a storage raises into errors of this project."""
    from sqlalchemy.exc import SQLAlchemyError

    again = "To make it again from the trials' directories: --rebuild."
    try:
        yield
    except (ImportError, SQLAlchemyError) as error:
        cause = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        if section.storage == "sqlite":
            raise ModelFileError(f"{directory / SQLITE}: cannot be used. {cause}. {again}") from error
        driver = " Its driver is missing: pip install psycopg2-binary, or PyMySQL."
        remedy = driver if isinstance(error, ImportError) else ""
        raise ConfigError(f"sweep.storage: {shown(section.storage)} cannot be used. {cause}.{remedy}") from error
    except (KeyError, ValueError) as error:  # a record of the journal that cannot be read or applied
        if isinstance(error, ConfigError):
            raise
        path = directory / JOURNAL
        raise ModelFileError(f"{path}: is damaged. {type(error).__name__}: {error}. {again}") from error
