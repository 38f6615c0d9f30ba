"""The command `hgq2 quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hgq2_core.cli.printing import narrow, print_json
from hgq2_core.errors import ConfigError

SUFFIX = ".keras"


def quantize(
    model: Annotated[Path, typer.Argument(help="A Keras model, a `.keras` file.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="A new `.keras` file.", show_default=False)],
    rules: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON with `rules`, and with `defaults` as in a config.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Convert a plain Keras model into one of quantized layers, its weights kept.

    A rule is a line `{match: NAME, kind: KIND, ...}`: a glob of layer names or a class such as keras.Dense, what such a
    layer becomes (by default the kind of its name), and arguments of that, such as kernel_quantizer. The first rule
    that matches counts. Then fine-tune and calibrate the model from Python: see hgq2_core.quantize_model.

    Example: hgq2 quantize float.keras --rules rules.yaml -o quantized.keras
    """
    from hgq2_core import defaults, load_model, quantize_model, summary
    from hgq2_core.config.files import read_document
    from hgq2_core.errors import listing, nearest
    from hgq2_core.runs import save

    if output.suffix != SUFFIX or output.exists():
        raise ConfigError(f"quantize: --output must be a new file that ends in {SUFFIX}. Received: {str(output)!r}.")
    document = {} if rules is None else read_document(rules)
    allowed = ("rules", "defaults")
    for key in document:
        if key not in allowed:
            raise ConfigError(f"{rules}: unknown key {key!r}. Allowed: {listing(allowed)}.{nearest(key, allowed)}")
    for key, sort in (("rules", list), ("defaults", dict)):
        if not isinstance(document.get(key, sort()), sort):
            raise ConfigError(f"{rules}: {key}: must be a {'list' if sort is list else 'mapping'}.")
    with defaults(**document.get("defaults", {})):
        converted = quantize_model(load_model(model), document.get("rules", ()))
    save(converted, output)
    found = summary(converted)
    if as_json:
        print_json(found.to_dict())
        return
    out = Console(highlight=False)
    out.print(narrow(found.__rich__()))
    out.print(f"quantized: {output}", markup=False)
