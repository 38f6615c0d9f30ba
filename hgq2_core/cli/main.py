"""The commands. Each imports what it needs when it runs, so that listing stays fast and imports no backend."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import rich.box
import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from hgq2_core.cli.export import register as register_export
from hgq2_core.errors import HGQ2Error

MISMATCH, WRONG, INTERRUPTED = 1, 2, 130
"""Exit codes: the model and its integers differ; the user's input cannot be used; Ctrl-C."""


class Commands(TyperGroup):
    """The commands; a user's error is one message and exit code 2, without a traceback unless --debug."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except HGQ2Error as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            _complain(f"error: {error}", "red")
            raise typer.Exit(WRONG) from error
        except KeyboardInterrupt as error:
            _complain("interrupted", "yellow")
            raise typer.Exit(INTERRUPTED) from error


app = typer.Typer(
    name="hgq2",
    cls=Commands,
    help=(
        "Quantization-aware training for real-time hardware: models from config files.\n\n"
        "Start with `hgq2 demo`. Then copy examples/digits.yaml, change it, check it with `hgq2 validate FILE`, "
        "and train it with `hgq2 train FILE -o DIR`."
    ),
    epilog=(
        "Exit codes: 0 all is well, 1 the model and its integers differ, 2 something given cannot be used (a message "
        "says what), 130 interrupted."
    ),
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFile = Annotated[Path, typer.Argument(help="A model's config, YAML or JSON.", show_default=False)]
RunDirectory = Annotated[Path, typer.Argument(help="A run directory, as `hgq2 train` writes.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="In place of the config's.", show_default=False)]

out = Console(highlight=False, soft_wrap=False)


def _version(wanted: bool) -> None:
    if wanted:
        from hgq2_core import __version__

        print(f"hgq2-core {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Read by `Commands`, which sees a command fail."""


@app.command()
def plugins(
    as_json: AsJson = False,
    check: Annotated[
        bool, typer.Option("--check", help="Also import every class; show tracebacks. Exit code 2 if one is broken.")
    ] = False,
) -> None:
    """Show the installed plugins, where they come from, and their state."""
    from hgq2_core.kinds import plugins as installed

    found = installed()
    if check:
        _check(found)
    if as_json:
        _print_json([plugin.to_dict() for plugin in found])
        return
    table = _narrow(Table("plugin", "distribution", "version", "state", "kinds"))
    for plugin in found:
        table.add_row(plugin.name, plugin.distribution, plugin.version, plugin.state, _count(plugin.kinds))
    out.print(table)
    for plugin in found:
        if plugin.error is not None:
            out.print(str(plugin.unusable()), style="red", markup=False)
    if not found:
        out.print("No plugins are installed. The official ones: pip install hgq2-fixed-point hgq2-layers hgq2-training")


@app.command("list")
def list_kinds(
    sort: Annotated[
        str | None, typer.Argument(help="quantizers, layers, callbacks, datasets or exporters; all by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the kinds that config files can name.

    The part before the dot is the plugin; `kbi` will do for `fixed_point.kbi` while it is unique.
    """
    from hgq2_core.config.keras_names import keras_kinds
    from hgq2_core.errors import ConfigError, nearest
    from hgq2_core.kinds import registry
    from hgq2_core.loader import SORTS

    if sort is not None and sort not in SORTS:
        raise ConfigError(
            f"list: unknown sort of kinds. Received: {sort!r}. Allowed: {', '.join(SORTS)}.{nearest(sort, SORTS)}"
        )
    kinds = {
        each: sorted({*registry().names(each), *keras_kinds(each)}) for each in ([sort] if sort is not None else SORTS)
    }
    if as_json:
        _print_json(kinds)
        return
    for each, names in kinds.items():
        out.print(each, style="bold")
        ours = [name for name in names if not name.startswith("keras.")]
        keras_own = [name for name in names if name.startswith("keras.")]
        for name in ours:
            out.print(f"  {name}", markup=False)
        if keras_own:
            text = textwrap.fill(", ".join(keras_own), out.width, initial_indent="  ", subsequent_indent="  ")
            out.print(text, markup=False)
        if not names:
            out.print("  none", style="dim")


@app.command()
def validate(file: ConfigFile) -> None:
    """Check a config against the schemas of everything it names, then build the model without training it."""
    from hgq2_core.config.model import load_config

    model = load_config(file).build()
    out.print(f"{file}: valid. {len(model.layers)} layers, {model.count_params():,} parameters.", markup=False)


@app.command()
def train(
    file: ConfigFile,
    output: Annotated[Path, typer.Option("-o", "--output", help="A new directory for the run.", show_default=False)],
    epochs: Epochs = None,
) -> None:
    """Train a config; calibrate, verify and report the result.

    The directory then holds config.yaml (complete), model.keras (to go on with), frozen.keras (to deploy),
    metrics.json, history.json, report.html and front/.

    Ctrl-C keeps the model; `hgq2 calibrate DIR` then finishes the run.
    """
    _train(file, output, epochs)


@app.command()
def demo(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A new directory; runs/demo by default.", show_default=False)
    ] = None,
    epochs: Epochs = None,
) -> None:
    """Train the shipped digits model on real images, calibrate it, verify every test sample, and report."""
    from hgq2_core.demo import CONFIG, free_directory

    _train(CONFIG, output or free_directory(Path("runs/demo")), epochs)


@app.command()
def calibrate(
    directory: RunDirectory,
    margin: Annotated[int, typer.Option(min=0, help="Integer bits added on top.")] = 0,
) -> None:
    """Fix the integer bits of a run's wrapping activations again, on its training data.

    It also finishes a run that was interrupted: it measures, verifies, freezes and reports.
    """
    from hgq2_core.runs import recalibrate

    _finish(recalibrate(directory, margin))


@app.command()
def report(directory: RunDirectory, as_json: AsJson = False) -> None:
    """Show a run's metrics, and what each layer uses; report.html in the directory shows the curves too."""
    from hgq2_core.cost import summary
    from hgq2_core.runs import load, read_metrics
    from hgq2_core.runs import report as gather

    if as_json:
        _print_json(gather(directory))
        return
    out.print(_narrow(summary(load(directory)).__rich__()))
    _print_metrics(read_metrics(directory))


@app.command()
def verify(directory: RunDirectory, as_json: AsJson = False) -> None:
    """Compare a run's model with its integer interpretation, on every test sample.

    Every value of every layer is compared with ==. Exit code 1 where one differs; the first faulty layer is named.
    """
    from hgq2_core.runs import load_run
    from hgq2_core.verification import verify as compare

    config, model = load_run(directory)
    found = compare(model, config.load_data().test.x)
    if as_json:
        _print_json(found.to_dict())
    else:
        out.print(str(found), markup=False)
    if not found.ok:
        raise typer.Exit(MISMATCH)


register_export(app)


def _count(kinds: Mapping[str, Mapping[str, str]]) -> str:
    counts = {sort: len(names) for sort, names in kinds.items()}
    adapters = sum(name.startswith("keras.") for name in kinds["layers"])
    counts["layers"] -= adapters
    counts["adapters of Keras layers"] = adapters
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _check(found: Any) -> None:
    from hgq2_core.kinds import registry

    broken = [plugin.error for plugin in found if plugin.state == "failed"]
    for plugin in found:
        for sort, names in plugin.kinds.items():
            for name in names:
                try:
                    registry().load(sort, name)
                except HGQ2Error as error:
                    broken.append(error)
    for each in broken:
        traceback.print_exception(each)
    if broken:
        raise typer.Exit(WRONG)


def _train(file: Path, output: Path, epochs: int | None) -> None:
    from hgq2_core.cli.progress import TrainingProgress
    from hgq2_core.config.model import load_config
    from hgq2_core.runs import train as run

    config = load_config(file)
    with TrainingProgress(out) as progress:
        finished = run(config, output, epochs=epochs, callbacks=[progress.callback()])
    _finish(finished)


def _finish(finished: Any) -> None:
    from hgq2_core.cost import summary
    from hgq2_core.runs import load

    out.print(_narrow(summary(load(finished.directory)).__rich__()))
    _print_metrics(finished.metrics)
    out.print(f"run: {finished.directory}", markup=False)
    if not finished.verification.ok:
        out.print(str(finished.verification), style="red", markup=False)
        raise typer.Exit(MISMATCH)


def _print_metrics(metrics: dict[str, Any]) -> None:
    if not metrics:
        out.print("No metrics: the run was stopped. To finish it: hgq2 calibrate DIR", style="yellow")
        return
    test = ", ".join(f"{name} {value:.4f}" for name, value in metrics["test"].items())
    verified = metrics["verify"]
    out.print(f"test: {test}; EBOPs {metrics['ebops']:,.0f}; trained in {metrics['seconds']:.1f} s", markup=False)
    style = "green" if verified["mismatches"] == 0 else "red"
    out.print(
        f"verify: {verified['mismatches']} mismatches in {verified['samples']} test samples (integers == Keras)",
        style=style,
        markup=False,
    )


def _narrow(table: Table) -> Table:
    """Draw a table without frames, so that 80 columns hold it, and fold names rather than cut them."""
    table.box = rich.box.SIMPLE_HEAD
    table.padding = (0, 1, 0, 0)
    table.pad_edge = False
    table.title_justify = "left"
    for column in table.columns:
        column.overflow = "fold"
    return table


def _complain(message: str, style: str) -> None:
    # soft_wrap: a message is one line, which programs can read and terminals wrap.
    Console(stderr=True, highlight=False).print(message, style=style, markup=False, soft_wrap=True)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def main() -> None:
    """Run the command line, on one CPU thread unless the user says otherwise.

    On tensors as small as these models', more threads only wait for each other: a training takes several times longer.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app()


if __name__ == "__main__":
    main()
