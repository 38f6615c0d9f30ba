"""The command `hgq2 sweep`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hgq2_core.commands.options import AsJson, Settings
from hgq2_core.commands.own_files import checked_by
from hgq2_core.commands.printing import console, narrow, out, print_json, print_notes
from hgq2_core.errors import ConfigError
from hgq2_core.model.number_format import format_count, format_metric

if TYPE_CHECKING:
    from hgq2_training.sweeps.index import Index, Row
    from hgq2_training.sweeps.sweep import Progress

SHOWN = 20
"""Trials of the front in the table; front.json has all."""


@checked_by("hgq2_training.commands.sweep:check", "hgq2_training.sweeps.json_schema:sweep_schema")
def sweep(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A new directory, or that of the sweep.", show_default=False)
    ],
    file: Annotated[
        Path | None,
        typer.Argument(help="A sweep file, YAML or JSON; not needed to go on with a sweep.", show_default=False),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Number of trials, in place of that in the file.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at the same time, in place of that in the file.", show_default=False),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the study again from the trials' directories.")
    ] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Train a config with many choices of values, chosen by Optuna, and show the front of what they gave.

    Each trial is a run directory, DIR/trial_0000 and so on; front.json and trials.json list them. After any
    interruption the same command goes on: finished trials stay, others continue from their last checkpoint.

    Example: hgq2 sweep examples/sweeps/digits.yaml -o sweeps/digits --trials 50 --workers 4
    """
    from hgq2_training.sweeps.archive import archive
    from hgq2_training.sweeps.config import load_sweep
    from hgq2_training.sweeps.sweep import FILE, row_to_dict, run_sweep

    if file is None and not (output / FILE).is_file():
        raise ConfigError(f"sweep: give the sweep FILE; {output} holds none to go on with.")
    config = load_sweep(output / FILE if file is None else file, settings or ())
    view = _View(console(as_json))
    try:
        with view.live:
            index = run_sweep(config, output, trials, workers, rebuild, view.show)
    except KeyboardInterrupt as error:
        given = [f" --{name} {count}" for name, count in (("trials", trials), ("workers", workers)) if count]
        raise KeyboardInterrupt(f"To go on: hgq2 sweep -o {output}{''.join(given)}") from error
    if as_json:
        print_json({"front": [row_to_dict(index, row) for row in index.front()], "notes": index.notes})
        return
    out.print(view.last)
    models = archive(index)
    if any(model.front is not None for model in models):
        out.print(f"with the fronts that the trials kept: {len(models)} models, in archive.json")
    print_notes(index.notes)
    out.print(f"sweep: {output}", markup=False)


def check(file: Path, settings: Any, no_data: bool, as_json: bool) -> None:
    """Check a sweep file, as `hgq2 validate` does.

    Args:
        file: the sweep file.
        settings: changes to it.
        no_data: whether to leave the data unopened.
        as_json: whether to print JSON.
    """
    from hgq2_training.sweeps.config import load_sweep
    from hgq2_training.sweeps.sweep import check_sweep

    config = load_sweep(file, settings or ())
    check_sweep(config, data=not no_data)
    section = config.section
    if as_json:
        print_json({"file": str(file), "space": list(section.space), "objectives": list(section.objectives)})
        return
    fields = f"{len(section.space)} field{'' if len(section.space) == 1 else 's'}"
    out.print(f"{file}: valid. A sweep of {fields} for {', '.join(section.objectives)}.", markup=False)


class _View:
    """The live table: the front so far, and what runs."""

    def __init__(self, console: Console) -> None:
        self.live = Live(console=console, refresh_per_second=4, transient=True)
        self.last: RenderableType = ""

    def show(self, progress: Progress) -> None:
        """Show how far the sweep is."""
        self.last = Group(*_lines(progress))
        self.live.update(self.last)


def _lines(progress: Progress) -> Iterator[RenderableType]:
    rows = list(progress.index.rows())
    states = [row.state for row in rows]
    counts = {state: states.count(state) for state in ("complete", "stopped", "failed", "running")}
    front = progress.index.front()
    if front:
        yield front_table(progress.index, front[:SHOWN])
    if len(front) > SHOWN:
        yield Text(f"and {len(front) - SHOWN} more, in front.json")
    for row in [row for row in rows if row.state == "failed"][-3:]:
        yield Text(f"trial {row.number} failed: {row.note}", style="yellow")
    words = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    died = states.count("died")
    again = f"; {died} more died, and others go on with their values" if died else ""
    begun = sum(counts.values())
    yield Text(f"{begun} of {max(begun, progress.trials)} trials: {words or 'none yet'}{again}")


def front_table(index: Index, rows: list[Row]) -> Table:
    """Return trials as a table, with what was measured and the values of the config."""
    section = index.section
    words = (name.replace("_", " ") for name in [*section.measured, *_short(list(section.space))])
    table = narrow(Table("trial", *words, title="front"))  # headings of words, as lines break between words only
    for row in rows:
        measured = (_number(name, row) for name in section.measured)
        seeds = f" ({row.seeds} of {section.seeds} seeds)" if row.seeds < section.seeds else ""
        table.add_row(f"{row.number}{seeds}", *measured, *(_value(row.params[path]) for path in section.space))
    return table


def _short(paths: Sequence[str]) -> Iterator[str]:
    """Yield of each path the last steps, no more than tell it from the others."""
    steps = [path.split(".") for path in paths]
    for each in steps:
        ends = (each[-count:] for count in range(1, len(each)))
        yield " ".join(next((end for end in ends if [other[-len(end) :] for other in steps].count(end) == 1), each))


def _number(name: str, row: Row) -> str:
    shown = format_count if name == "ebops" else format_metric
    deviation = row.deviations.get(name)
    return shown(row.values[name]) + ("" if deviation is None else f" ± {shown(deviation)}")


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
