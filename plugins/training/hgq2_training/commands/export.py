"""The commands that make circuits: `export` and `estimate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hgq2_core.commands.exit_codes import MISMATCH
from hgq2_core.commands.options import AsJson
from hgq2_core.commands.printing import out, print_json
from hgq2_core.config.yaml_document import parse_yaml
from hgq2_core.errors import ConfigError
from hgq2_core.exporting.simulation import MAX_SAMPLES
from hgq2_core.exporting.stages import shown
from hgq2_training.commands.options import Front

if TYPE_CHECKING:
    import keras

    from hgq2_core.data.preprocessing import Preprocessing

Source = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A run directory, as `hgq2 train` writes, or the file of a calibrated model, as `hgq2 quantize` writes.",
        show_default=False,
    ),
]
To = Annotated[str, typer.Option("--to", help="The exporter; `hgq2 list exporters` shows those installed.")]
Cutoff = Annotated[
    float | None,
    typer.Option("--latency-cutoff", help="Maximal delay of a pipeline stage; by default there are no registers."),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="An option of the exporter, such as backend=Vivado; its README lists them. Repeatable.",
        show_default=False,
    ),
]


def export(
    source: Source,
    output: Annotated[Path, typer.Option("-o", "--output", help="A new directory.", show_default=False)],
    to: To = "alkaid.alkaid",
    latency_cutoff: Cutoff = None,
    flavor: Annotated[
        str | None, typer.Option(help="The language: verilog, vhdl or vitis.", show_default=False)
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option(
            "--input-format",
            metavar="K,I,F",
            help="The format of all inputs; by default that of the first quantizers, which the host then applies.",
            show_default=False,
        ),
    ] = None,
    option: Options = None,
    front: Front = None,
    max_samples: Annotated[
        int, typer.Option(help="How many samples of the test split become test vectors, the first ones.", min=1)
    ] = MAX_SAMPLES,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Also simulate the circuit. Exit code 1 if it differs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export a model to hardware, with the run's test split among the test vectors.

    The circuit is compared with the integers before anything is written. OUTPUT then holds the sources, ports.json (the
    format of every number, and how raw inputs are standardized), test vectors, and simulate.sh, which compares the
    circuit with the vectors.

    Example: hgq2 export runs/digits -o rtl/digits --simulate
    """
    from hgq2_core.exporting.export import export as write
    from hgq2_core.exporting.export import exporter_of
    from hgq2_training.runs.directory import calibration_of
    from hgq2_training.runs.report import record_export

    given = _options(
        option,
        latency_cutoff=latency_cutoff,
        flavor=flavor,
        input_format=None if input_format is None else _format(input_format),
    )
    exporter = exporter_of(to)
    model, samples = _load(source, front)
    with _stages(), calibration_of(source):
        report = write(model, to, output, *samples(), max_samples=max_samples, **given)
    simulation = None
    if simulate:
        with _status(f"simulating {report.checked} samples …"):
            simulation = exporter.simulate(output)
    made = {**report.to_dict(), "simulation": None if simulation is None else vars(simulation)}
    if source.is_dir():
        record_export(source, made, front)
    if as_json:
        print_json(made)
    else:
        out.print(str(report), markup=False)
        if simulation is not None:
            out.print(str(simulation), style="red" if simulation.mismatches else "green", markup=False)
    if simulation is not None and simulation.mismatches:
        raise typer.Exit(MISMATCH)


def estimate(
    source: Source,
    to: To = "alkaid.alkaid",
    latency_cutoff: Cutoff = None,
    option: Options = None,
    front: Front = None,
    as_json: AsJson = False,
) -> None:
    """Show what an export of a model would cost, without writing anything.

    Example: hgq2 estimate runs/digits --latency-cutoff 3
    """
    from hgq2_core.exporting.export import estimate as measure
    from hgq2_training.runs.directory import calibration_of

    given = _options(option, latency_cutoff=latency_cutoff)
    model, _ = _load(source, front)
    with _stages(), calibration_of(source):
        report = measure(model, to, **given)
    if as_json:
        print_json(report.to_dict())
    else:
        out.print(str(report), markup=False)


def _load(source: Path, front: str | None) -> tuple[keras.Model, Callable[[], tuple[Any, Preprocessing | None]]]:
    """Return the model, and a function that loads test inputs and their preprocessing, which only a run has."""
    from hgq2_core import load_model
    from hgq2_training.runs.directory import load_run, read_preprocessing
    from hgq2_training.runs.files import MODEL

    if source.suffix == Path(MODEL).suffix and not source.is_dir():
        if front is not None:
            raise ConfigError(f"--front: chooses among the models of a run. Received: {source}, which is a model.")
        return load_model(source), lambda: (None, None)
    config, model = load_run(source, front)

    def samples() -> tuple[Any, Preprocessing | None]:
        splits = config.load_data()
        return splits.test.x, read_preprocessing(source) or splits.preprocessing

    return model, samples


def _options(settings: list[str] | None, **named: Any) -> dict[str, Any]:
    """Return the options of an exporter: those with a flag of their own, and NAME=VALUE, a value in YAML."""
    given = {name: value for name, value in named.items() if value is not None}
    for setting in settings or ():
        name, equals, text = setting.partition("=")
        if not (name and equals):
            raise ConfigError(f"--option: must be NAME=VALUE, such as backend=Vivado. Received: {setting!r}.")
        if name in given:
            raise ConfigError(f"--option {name}: it is given twice. Received: {text!r}, and {given[name]!r}.")
        given[name] = parse_yaml(text, f"--option {name}")
    return given


def _format(text: str) -> tuple[int, ...]:
    try:
        k, i, f = map(int, text.split(","))
    except ValueError as error:
        message = f"--input-format: must be three integers k,i,f. Received: {text!r}. Allowed: such as 1,3,4."
        raise ConfigError(message) from error
    return k, i, f


@contextmanager
def _stages() -> Iterator[None]:
    """Show the stage of an export, which is its layer while it is traced, and how long the whole has taken."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
        task = progress.add_task("reading the model")
        with shown(lambda text: progress.update(task, description=escape(text))):
            yield


def _status(message: str) -> Any:
    return Console(stderr=True, highlight=False).status(message)
