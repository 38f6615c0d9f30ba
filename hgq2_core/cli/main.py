"""The commands. Each imports what it needs when it runs, so that listing stays fast and imports no backend."""

from __future__ import annotations

import os
import textwrap
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hgq2_core.backends import check_backend
from hgq2_core.cli.inspection import complete_sorts, resolve, schema, show
from hgq2_core.cli.subcommands import PluginCommands
from hgq2_core.commands.exit_codes import DEFECT, INTERRUPTED, MISMATCH, UNHEALTHY, UNREAD, WRONG
from hgq2_core.commands.options import AsJson, ConfigFile, RunDirectory, Settings
from hgq2_core.commands.printing import narrow, print_json
from hgq2_core.discovery.known_plugins import install_hint
from hgq2_core.errors import ConfigError, HGQ2Error
from hgq2_training.commands.doctor import doctor
from hgq2_training.commands.export import register as register_export
from hgq2_training.commands.quantize import quantize

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What a misspelt option raises, which typer itself shows."""


class Commands(PluginCommands):
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
            _complain(". ".join(["interrupted", *map(str, error.args)]), "yellow")
            raise typer.Exit(INTERRUPTED) from error
        except (typer.Exit, typer.Abort, USAGE_ERROR, BrokenPipeError):
            raise
        except Exception as error:  # whatever else gets here is a defect
            if ctx.params.get("debug"):
                traceback.print_exc()
            where = "" if ctx.params.get("debug") else " `hgq2 --debug ...` shows where."
            _complain(
                f"defect: {type(error).__name__}: {error}. This is a fault of hgq2 or of a plugin, not of yours; "
                f"please report it.{where}",
                "red",
            )
            raise typer.Exit(DEFECT) from error


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
        f"says what), {DEFECT} a defect of this program or of a plugin, {UNHEALTHY} `doctor --strict` found an error, "
        f"{INTERRUPTED} interrupted, {UNREAD} nobody read the output to its end."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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
    """Read by `Commands`, which sees a command fail; the backend that is asked for must be there in any case."""
    check_backend()


@app.command()
def plugins(
    as_json: AsJson = False,
    check: Annotated[
        bool, typer.Option("--check", help="Also import every class; show tracebacks. Exit code 2 if one is broken.")
    ] = False,
) -> None:
    """Show the installed plugins, where they come from, and their state.

    A plugin that cannot be loaded takes nothing else down; what went wrong is shown below the table.

    Example: hgq2 plugins --check
    """
    from hgq2_core.discovery.registry import plugins as installed

    found = installed()
    broken = _broken(found) if check else []
    if as_json:
        print_json([plugin.to_dict() for plugin in found])
    else:
        _print_plugins(found)
    for error in broken:
        traceback.print_exception(error)
    if broken:
        raise typer.Exit(WRONG)


def _print_plugins(found: Sequence[Any]) -> None:
    table = narrow(Table("plugin", "distribution", "version", "state", "kinds"))
    for plugin in found:
        table.add_row(plugin.name, plugin.distribution, plugin.version, plugin.state, _count(plugin.kinds))
    out.print(table)
    for plugin in found:
        if plugin.error is not None:
            out.print(str(plugin.unusable()), style="red", markup=False)
    if not found:
        hint = install_hint("hgq2-fixed-point", "hgq2-layers", "hgq2-training")
        out.print(f"No plugins are installed. The official ones: {hint}", markup=False)


@app.command("list")
def list_kinds(
    sort: Annotated[
        str | None,
        typer.Argument(
            help="quantizers, layers, callbacks, datasets, exporters or commands; all by default.",
            autocompletion=complete_sorts,
        ),
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Each layer: what it converts to, where it is exact and may stand.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the kinds that config files can name, and the subcommands that plugins bring.

    The part before the dot is the plugin; `kbi` will do for `fixed_point.kbi` while it is unique.

    Example: hgq2 list quantizers; hgq2 list --table
    """
    if table:
        _list_table(sort, as_json)
        return
    from hgq2_core.discovery.loading import GROUPS
    from hgq2_core.discovery.registry import registry
    from hgq2_core.errors import nearest
    from hgq2_core.schema.keras_objects import keras_kinds

    if sort is not None and sort not in GROUPS:
        raise ConfigError(
            f"list: unknown sort of kinds. Received: {sort!r}. Allowed: {', '.join(GROUPS)}.{nearest(sort, GROUPS)}"
        )
    kinds = {
        # An adapter under the name of a Keras layer is no kind.
        each: sorted({*(n for n in registry().names(each) if not n.startswith("keras.")), *keras_kinds(each)})
        for each in ([sort] if sort is not None else GROUPS)
    }
    if as_json:
        print_json(kinds)
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


def _list_table(sort: str | None, as_json: bool) -> None:
    from hgq2_core.cli.layer_table import layer_table, markdown

    if sort not in (None, "layers"):
        raise ConfigError(f"list: --table is of layers. Received: {sort!r}. Allowed: layers, or nothing.")
    rows = layer_table()
    if as_json:
        print_json([row.to_dict() for row in rows])
    else:
        typer.echo(markdown(rows), nl=False)


@app.command()
def validate(
    file: ConfigFile,
    settings: Settings = None,
    no_data: Annotated[bool, typer.Option("--no-data", help="Do not open the data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a config against the schemas of everything it names, build the model, and open the data.

    Data, model, loss, metrics and callbacks are checked against each other; nothing is trained.

    What cannot be verified is an error where the config has a `training`, which `hgq2 train` would refuse, else a
    warning; so is what can be verified but not exported.

    Example: hgq2 validate examples/digits.yaml --set model.layers.hidden.units=64
    """
    from hgq2_core.config.model import load_config
    from hgq2_core.preflight.check import check_config

    config = load_config(file, settings or ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shown below
        model = config.build(exact=config.training is not None)
    unsupported = config.unsupported(model)
    splits = None if no_data else check_config(config, model)
    if as_json:
        counts = {"layers": len(model.layers), "parameters": model.count_params()}
        found = {"unsupported": [each.to_dict() for each in unsupported]}
        print_json({"file": str(file), **counts, **found, "data": None if splits is None else splits.to_dict()})
        return
    for each in unsupported:
        out.print(f"warning: {each} `{each.stage}` will refuse the model.", style="yellow", markup=False)
    out.print(f"{file}: valid. {len(model.layers)} layers, {model.count_params():,} parameters.", markup=False)
    if splits is not None:
        out.print(f"data: {splits.describe()}", markup=False)
        _print_notes(splits.notes)


@app.command()
def train(
    output: Annotated[Path, typer.Option("-o", "--output", help="A new directory for the run.", show_default=False)],
    file: Annotated[
        Path | None, typer.Argument(help="A model's config, YAML or JSON; not needed to resume.", show_default=False)
    ] = None,
    epochs: Epochs = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the directory.")] = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Train a config; calibrate, verify and report the result.

    The directory then holds config.yaml (complete), model.keras (the last epoch), frozen.keras (to deploy),
    metrics.json, history.json, report.html and front/.

    However a training was stopped, `hgq2 train -o DIR --resume` goes on from its last checkpoint, to the same result;
    with a larger --epochs it trains a finished run longer. After Ctrl-C, `hgq2 calibrate DIR` ends it early.

    Example: hgq2 train examples/digits.yaml -o runs/digits --set training.batch_size=64
    """
    _train(file, output, epochs, resume, settings or (), as_json)


@app.command()
def demo(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A new directory; runs/demo by default.", show_default=False)
    ] = None,
    epochs: Epochs = None,
    as_json: AsJson = False,
) -> None:
    """Train the shipped digits model on real images, calibrate it, verify every test sample, and report.

    It downloads nothing, and does what `hgq2 train` does with a config of your own.

    Example: hgq2 demo --epochs 20
    """
    from hgq2_training.demo import CONFIG, free_directory

    _train(CONFIG, output or free_directory(Path("runs/demo")), epochs, resume=False, as_json=as_json)


@app.command()
def calibrate(
    directory: RunDirectory,
    margin: Annotated[int, typer.Option(min=0, help="Integer bits added on top.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Fix the integer bits of a run's wrapping activations again, on its training data.

    It also finishes a run that was interrupted: it measures, verifies, freezes and reports.

    Example: hgq2 calibrate runs/digits --margin 1
    """
    from hgq2_training.runs.train import recalibrate

    _finish(recalibrate(directory, margin), as_json)


@app.command()
def report(directory: RunDirectory, as_json: AsJson = False) -> None:
    """Show a run's metrics, and what each layer uses; report.html in the directory shows the curves too.

    Example: hgq2 report runs/digits
    """
    from hgq2_core.model.cost import summary
    from hgq2_training.runs.directory import load, read_metrics
    from hgq2_training.runs.directory import report as gather

    if as_json:
        print_json(gather(directory))
        return
    out.print(narrow(summary(load(directory)).__rich__()))
    _print_outcome(read_metrics(directory), directory)


@app.command()
def verify(directory: RunDirectory, as_json: AsJson = False) -> None:
    """Compare a run's model with its integer interpretation, on every test sample.

    Every value of every layer is compared with ==. Exit code 1 where one differs; the first faulty layer is named.

    Example: hgq2 verify runs/digits
    """
    from hgq2_core.model.verification import verify as compare
    from hgq2_training.runs.directory import calibration_of, load_run

    config, model = load_run(directory)
    with calibration_of(directory):
        found = compare(model, config.load_data().test.x)
    if as_json:
        print_json(found.to_dict())
    else:
        out.print(str(found), markup=False)
    if not found.ok:
        raise typer.Exit(MISMATCH)


for _command in (show, schema, resolve, doctor, quantize):
    app.command()(_command)
register_export(app)


def _count(kinds: Mapping[str, Mapping[str, str]]) -> str:
    counts = {sort: len(names) for sort, names in kinds.items()}
    adapters = sum(name.startswith("keras.") for name in kinds["layers"])
    counts["layers"] -= adapters
    counts["adapters of Keras layers"] = adapters
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _broken(found: Any) -> list[BaseException]:
    from hgq2_core.discovery.registry import registry
    from hgq2_core.testing.protocols import check_class

    broken = [plugin.error for plugin in found if plugin.state == "failed"]
    for plugin in found:
        for sort, names in plugin.kinds.items():
            for name in names:
                try:
                    if sort == "commands":
                        registry().command(name)
                    else:
                        check_class(sort, name)
                except HGQ2Error as error:
                    broken.append(error)
    return broken


def _train(
    file: Path | None,
    output: Path,
    epochs: int | None,
    resume: bool,
    settings: Sequence[str] = (),
    as_json: bool = False,
) -> None:
    from hgq2_core.config.model import load_config
    from hgq2_training.commands.progress import TrainingProgress
    from hgq2_training.runs import train as training_run
    from hgq2_training.runs.directory import CONFIG

    if file is None and settings:
        raise ConfigError("train: --set changes the values of a config FILE; a run is gone on with as it was begun.")
    config = None if file is None else load_config(file, settings)
    try:
        with TrainingProgress(_beside(as_json)) as progress:
            if resume:
                finished = training_run.resume(output, config, epochs, [progress.callback()])
            elif config is None:
                raise ConfigError("train: give the config FILE to train, or --resume to go on with a run.")
            else:
                finished = training_run.train(config, output, epochs, [progress.callback()])
    except KeyboardInterrupt as error:
        again = [f"To go on: hgq2 train -o {output} --resume"] if (output / CONFIG).is_file() else []
        raise KeyboardInterrupt(*again) from error
    _finish(finished, as_json)


def _finish(finished: Any, as_json: bool) -> None:
    from hgq2_core.model.cost import summary
    from hgq2_training.runs.directory import load, read_data
    from hgq2_training.runs.directory import report as gather

    if as_json:
        print_json(gather(finished.directory))
    else:
        out.print(narrow(summary(load(finished.directory)).__rich__()))
        _print_outcome(finished.metrics, finished.directory)
        _print_notes(read_data(finished.directory).get("notes", ()))
        out.print(f"run: {finished.directory}", markup=False)
    if not finished.verification.ok:
        _beside(as_json).print(str(finished.verification), style="red", markup=False)
        raise typer.Exit(MISMATCH)


def _beside(as_json: bool) -> Console:
    """Give the console for what is no result: with --json, the standard output is JSON alone."""
    return Console(stderr=True, highlight=False) if as_json else out


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        out.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def _print_outcome(metrics: dict[str, Any], directory: Path) -> None:
    from hgq2_training.commands.outcome import outcome_lines

    for line in outcome_lines(metrics, directory):
        out.print(line)


def _complain(message: str, style: str) -> None:
    # soft_wrap: a message is one line, which programs can read and terminals wrap.
    Console(stderr=True, highlight=False).print(message, style=style, markup=False, soft_wrap=True)


def main() -> None:
    """Run the command line, on one CPU thread unless the user says otherwise.

    On tensors as small as these models', more threads only wait for each other: a training takes several times longer.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        app(prog_name="hgq2")
    except SystemExit as error:
        # Both typer and rich end a program whose output nobody reads with 1, which here says that integers differ.
        if isinstance(error.__context__, BrokenPipeError):
            raise SystemExit(UNREAD) from None
        raise


if __name__ == "__main__":
    main()
