"""Write docs/tested.md: what is tested of each layer and quantizer, by backend and by exporter.

`python scripts/write_tested_table.py` writes the page from docs/results/exporters.json. With `--measure`, it first
exports the layers of the contract and a model of each quantizer by every exporter, and writes that file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "contract"))
PAGE = ROOT / "docs" / "tested.md"
RESULTS = ROOT / "docs" / "results" / "exporters.json"
START = "<!-- the rest is written by scripts/write_tested_table.py -->\n"
EXPORTERS = ("alkaid.alkaid", "hls4ml.hls4ml", "cpp.cpp", "qonnx.qonnx")
OF_INPUTS = ("before any quantizer", "which a host could apply")
"""What a refusal says that another quantizer of the inputs avoids."""
SAMPLES = 100
EQUAL, BEHIND = "equal", "equal, behind `layers.quantize`"


def calibrated(make: Callable[[], Any], shape: Any, quantize: bool = False) -> tuple[Any, Any]:
    """Return a calibrated and frozen model of one layer, and its inputs.

    Args:
        make: makes the layer.
        shape: of its input, or a list of shapes.
        quantize: whether a layer in front of it quantizes each input.
    """
    import keras

    from hgq2_core import calibrate, freeze
    from hgq2_core.testing.rules import samples
    from hgq2_layers import QQuantize

    keras.utils.set_random_seed(1)
    inputs = [keras.Input(each) for each in (shape if isinstance(shape, list) else [shape])]
    tensors = [QQuantize()(each) for each in inputs] if quantize else inputs
    model = keras.Model(inputs, make()(tensors if isinstance(shape, list) else tensors[0]))
    values = [samples(SAMPLES, *each.shape[1:]) for each in inputs]
    x = values if len(values) > 1 else values[0]
    calibrate(model, x)
    return freeze(model), x


def subjects() -> Iterator[tuple[str, str, Callable[[], Any], Any]]:
    """Yield group and kind, what makes a layer of or with it, and the shape of the layer's input."""
    from layer_examples import EXAMPLES

    import hgq2_core  # noqa: F401  # chooses the backend
    from hgq2_core.discovery.known_plugins import is_official
    from hgq2_core.discovery.registry import registry
    from hgq2_layers import QDense

    for kind, ((arguments, shape), *_) in EXAMPLES.items():
        yield "layers", kind, partial(registry().load("layers", kind), **arguments), shape
    for kind in filter(is_official, registry().names("quantizers")):
        modes = registry().load("quantizers", kind).model_fields
        quantizer = {"kind": kind, **({"overflow_mode": "SAT_SYM"} if "overflow_mode" in modes else {})}
        yield "quantizers", kind, partial(QDense, 2, input_quantizer=quantizer, kernel_quantizer=quantizer), (4,)


def outcome(exporter: str, make: Callable[[], Any], shape: Any, quantize: bool = False) -> str:
    """Return what becomes of a layer: equal to the integers, or the exporter's refusal."""
    from hgq2_core.errors import ExactnessError
    from hgq2_core.exporting.export import exporter_of

    try:
        mismatches = exporter_of(exporter).mismatches(*calibrated(make, shape, quantize))
    except ExactnessError as refusal:
        if any(reason in str(refusal) for reason in OF_INPUTS) and not quantize:
            return outcome(exporter, make, shape, quantize=True)
        return str(refusal)
    return f"{mismatches} mismatches" if mismatches else BEHIND if quantize else EQUAL


def measure() -> None:
    """Export each layer by every exporter, and write what became of it."""
    from hgq2_core import defaults

    found: dict[str, dict[str, dict[str, str]]] = {"layers": {}, "quantizers": {}}
    for group, kind, make, shape in subjects():
        with defaults(activation={"kind": "fixed_point.kif", "overflow_mode": "SAT_SYM"}):
            found[group][kind] = {exporter: outcome(exporter, make, shape) for exporter in EXPORTERS}
        print(kind, *found[group][kind].values(), sep=" | ", flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def table(results: dict[str, dict[str, str]], title: str, backends: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines of a table of kinds, with the backends and what became of each export."""
    yield f"| {title} | jax, tensorflow | " + " | ".join(each.partition(".")[0] for each in EXPORTERS) + " |"
    yield "|---|---|" + "---|" * len(EXPORTERS)
    for kind in sorted(results):
        cells = (results[kind][exporter] for exporter in EXPORTERS)
        yield f"| {kind} | {backends(kind)} | " + " | ".join(map(_short, cells)) + " |"


def _short(result: str) -> str:
    return result if result in (EQUAL, BEHIND) else "refused"


def refusals(results: dict[str, dict[str, dict[str, str]]]) -> Iterator[str]:
    """Yield a line for each refusal, with the exporter's words."""
    for kinds in results.values():
        for kind, exporters in sorted(kinds.items()):
            for exporter, result in exporters.items():
                if _short(result) == "refused":
                    yield f"* `{kind}`, {exporter.partition('.')[0]}: {result.partition(': ')[2] or result}"


def page() -> str:
    """Return the generated part of the page."""
    from layer_examples import FAMILIES

    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    families = {*FAMILIES}
    parts: Iterable[str] = (
        "## Layers\n",
        *table(results["layers"], "layer", lambda kind: "every change" if kind in families else "every night"),
        "\n## Quantizers\n",
        *table(results["quantizers"], "quantizer", lambda kind: "every change"),
        "\n## What was refused\n",
        *refusals(results),
    )
    return "\n" + "\n".join(parts) + "\n"


def main() -> None:
    """Measure if asked to, and replace the generated part of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--measure", action="store_true", help="export everything anew first")
    if parser.parse_args().measure:
        measure()
    text, start, _ = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(text + start + page(), encoding="utf-8")


if __name__ == "__main__":
    main()
