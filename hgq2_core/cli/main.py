"""The command line: the commands of the core and of plugins, and the exit codes of errors.

Each command imports what it needs when it runs, so that listing is fast and imports no backend.
"""

from __future__ import annotations

import os
import traceback
from typing import Annotated, Any

import typer
from rich.console import Console
from typing_extensions import override

from hgq2_core.cli.inspection import resolve, schema, show
from hgq2_core.cli.listing import list_kinds, plugins
from hgq2_core.cli.new_plugin import new_plugin
from hgq2_core.cli.requirements import freeze_requirements
from hgq2_core.cli.subcommands import PluginCommands
from hgq2_core.cli.validation import validate
from hgq2_core.commands.exit_codes import DEFECT, INTERRUPTED, OVER_BUDGET, UNHEALTHY, UNREAD, WRONG
from hgq2_core.compilation.allocator import keep_freed_memory
from hgq2_core.discovery.backends import check_backend, lacks_backend, no_backend
from hgq2_core.errors import BudgetError, HGQ2Error

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""The exception that a misspelt option raises; typer shows it."""


class Commands(PluginCommands):
    """The group of all commands; a user's error is one message and exit code 2, with a traceback only under --debug."""

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HGQ2Error as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            _complain("error: " + _with_notes(error), "red")
            raise typer.Exit(OVER_BUDGET if isinstance(error, BudgetError) else WRONG) from error
        except KeyboardInterrupt as error:
            _complain(". ".join(["interrupted", *map(str, error.args)]), "yellow")
            raise typer.Exit(INTERRUPTED) from error
        except (typer.Exit, typer.Abort, USAGE_ERROR, BrokenPipeError):
            raise
        except Exception as error:  # anything else is a defect
            if ctx.params.get("debug"):
                traceback.print_exc()
            if lacks_backend(error):
                _complain(f"error: {no_backend('this command')}", "red")
                raise typer.Exit(WRONG) from error
            where = "" if ctx.params.get("debug") else " `hgq2 --debug ...` shows where."
            _complain(
                f"defect: {type(error).__name__}: {_with_notes(error)}. This is a fault of hgq2 or of a plugin, "
                f"not yours; please report it.{where}",
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
        "Exit codes: 0 success, 1 the model and its integers differ, 2 an input cannot be used (a message says "
        f"which), {DEFECT} a defect of this program or of a plugin, {UNHEALTHY} `doctor --strict` found an error, "
        f"{INTERRUPTED} interrupted, {UNREAD} the reader of the output closed it early."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    """Check the backend before any command; `Commands` reads the options."""
    check_backend()


for _command in (plugins, validate, show, schema, resolve):
    app.command()(_command)
app.command("list")(list_kinds)
app.command("new-plugin")(new_plugin)
app.command("freeze-requirements")(freeze_requirements)


def _with_notes(error: Exception) -> str:
    return " ".join([str(error), *getattr(error, "__notes__", ())])


def _complain(message: str, style: str) -> None:
    # soft_wrap: a message stays one line, which programs can read and terminals wrap.
    Console(stderr=True, highlight=False).print(message, style=style, markup=False, soft_wrap=True)


def main() -> None:
    """Run the command line, on one CPU thread and with memory kept between steps unless the user says otherwise.

    On small tensors such as those of these models, more threads make training several times slower.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    keep_freed_memory()
    try:
        app(prog_name="hgq2")
    except SystemExit as error:
        # On a closed pipe typer and rich exit with 1, which here means that the integers differ.
        if isinstance(error.__context__, BrokenPipeError):
            raise SystemExit(UNREAD) from None
        raise


if __name__ == "__main__":
    main()
