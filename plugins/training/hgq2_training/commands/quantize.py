"""The command `hgq2 quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hgq2_core.commands.exit_codes import MISMATCH
from hgq2_core.commands.options import AsJson, Settings
from hgq2_core.commands.printing import narrow, print_json
from hgq2_core.errors import ConfigError

SUFFIX = ".keras"
NOT_CALIBRATED = "Not calibrated: give --data, or train the model and call hgq2_core.calibrate."


def quantize(
    model: Annotated[Path, typer.Argument(help="A Keras model, a `.keras` file.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="A new `.keras` file.", show_default=False)],
    rules: Annotated[
        Path | None,
        typer.Option(
            help="YAML or JSON with `rules`, `defaults`, `bits` and `data`, all optional.", show_default=False
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(min=2, help="Width where neither a rule nor a default sets it; 8 by default.", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data to calibrate on and compare with: a data set kind, or a file such as samples.npz.",
            show_default=False,
        ),
    ] = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Convert a plain Keras model to quantized layers, with its weights; with --data, the result is ready to use.

    A rule is a mapping `{match: NAME, kind: KIND, ...}`: a glob of layer names or a class such as keras.Dense, the kind
    of the new layer (by default that of the same name), and its arguments, such as kernel_quantizer. The first rule
    that matches applies. With data, the model is calibrated on their training part and compared on their test part
    with the float model and with integers (exit code 1 if these differ). Without data, calibrate it from Python.

    Example: hgq2 quantize float.keras --rules rules.yaml --data samples.npz -o quantized.keras
    """
    from hgq2_core import summary
    from hgq2_core.config.overrides import overridden
    from hgq2_core.config.reader import read_document
    from hgq2_training.runs.convert import ConversionConfig, calibrate_and_compare, load_plain
    from hgq2_training.runs.directory import save

    if output.suffix != SUFFIX or output.exists():
        raise ConfigError(f"quantize: --output must be a new file that ends in {SUFFIX}. Received: {str(output)!r}.")
    document = {} if rules is None else read_document(rules)
    if bits is not None:
        document["bits"] = bits
    if data is not None:
        document["data"] = _entry(data)
    document = overridden(document, settings or ())
    config = ConversionConfig.parse(document, "quantize" if rules is None else str(rules))
    floats = load_plain(model)
    converted = config.convert(floats)
    splits = config.load_data()
    found = None if splits is None else calibrate_and_compare(floats, converted, splits)
    save(converted, output)
    layers = summary(converted)
    if as_json:
        print_json({**layers.to_dict(), "comparison": None if found is None else found.to_dict()})
    else:
        out = Console(highlight=False)
        out.print(narrow(layers.__rich__()))
        out.print(NOT_CALIBRATED if found is None else str(found), markup=False)
        out.print(f"quantized: {output}", markup=False)
    if found is not None and not found.ok:
        raise typer.Exit(MISMATCH)


def _entry(data: str) -> dict[str, str]:
    kind = Path(data).suffix.removeprefix(".")
    return {"kind": kind, "path": data} if kind else {"kind": data}
