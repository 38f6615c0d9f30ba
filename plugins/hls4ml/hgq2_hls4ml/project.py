"""A recording as a project of hls4ml. Only this module imports hls4ml, which changes registries of its own."""

from __future__ import annotations

import contextlib
import io
import itertools
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hgq2_core.errors import ConfigError, ExactnessError, HGQ2Error, ToolError
from hgq2_core.exact import IntervalArray
from hgq2_core.exact.integer_array import NO_BITS
from hgq2_core.exact.integers import to_float
from hgq2_core.exporting.errors import Unsupported, named
from hgq2_core.exporting.formats import formats
from hgq2_core.exporting.ports import Port
from hgq2_core.files import write_text
from hgq2_core.schema.base import unknown
from hgq2_hls4ml.backends import BACKENDS, Kif
from hgq2_hls4ml.biases import biased_products
from hgq2_hls4ml.code import PACKETS, CodeWriter
from hgq2_hls4ml.nodes import Node, Product
from hgq2_hls4ml.record import Entry
from hgq2_hls4ml.recording import Recording
from hgq2_hls4ml.sharing import Sharing
from hgq2_hls4ml.simulation import Argument

TOP = "model"
HEADER = "hgq2_nodes.h"
CODE = "HGQ2Code"
COPY = "Clone"
"""The layer of hls4ml that copies a stream for several readers."""

READERS = 7
"""The most readers of a stream."""

Layer = dict[str, Any]
"""A layer in hls4ml's own words."""


def require_hls4ml() -> None:
    """Refuse to go on without hls4ml.

    Raises:
        ToolError: it cannot be imported, which says what to install.
    """
    with _quiet():
        try:
            import hls4ml.model  # noqa: F401
        except ImportError as error:
            raise ToolError(
                f"export: hls4ml cannot be imported: {error}. Install it with pip install 'hls4ml>=1.3,<1.4'"
            ) from error


@dataclass(frozen=True)
class Settings:
    """What hls4ml is told of the hardware.

    Args:
        backend: name of hls4ml's backend.
        part: the FPGA.
        clock_period: in ns.
        sharing: of the multipliers of all layers.
        layers: of those of single layers, by their place.
        io_type: `io_parallel` or `io_stream`.
    """

    backend: str
    part: str
    clock_period: float
    sharing: Sharing
    layers: Mapping[str, Sharing]
    io_type: str

    @property
    def streams(self) -> bool:
        """Whether numbers come in packets."""
        return self.io_type == "io_stream"

    def of(self, layer: str) -> Sharing:
        """Return how the multipliers of a layer are shared."""
        return self.layers.get(layer, self.sharing)


class Project:
    """The layers of a model, with the types of all their numbers, as hls4ml takes them.

    Args:
        recording: the model's nodes.
        settings: what hls4ml is told of the hardware.

    Raises:
        ExactnessError: the backend's types cannot say what a node computes.
    """

    def __init__(self, recording: Recording, settings: Settings) -> None:
        self.recording = recording
        self.settings = settings
        self.sizes: dict[str, int] = {}
        """How many numbers each layer has."""
        self.writer = CodeWriter(recording, BACKENDS[settings.backend], self.sizes if settings.streams else None)
        self.types: dict[str, dict[str, str]] = {}
        """For each layer, the types by hls4ml's names of them."""
        self.shared: dict[str, Sharing] = {}
        """For each layer that takes it, how its multipliers are shared."""
        self.unrolled: list[str] = []
        """Layers that share nothing, though asked to."""
        self.functions: list[str] = [PACKETS] if settings.streams else []
        ports = zip(recording.input_layers, recording.input_ports, strict=True)
        self.layers = [self._input(name, port) for name, port in ports]
        biased = biased_products(recording)
        merged = {product.first for product, _ in biased.values()}
        for entry in recording.nodes:
            if isinstance(entry.node, Node) and entry.first not in merged:
                with named(entry.name):
                    self.layers.append(self._layer(entry, entry.node, *biased.get(entry.first, (None, None))))
        if settings.streams:
            self._check_readers()
        self._check_layers()

    def write(self, directory: Path) -> tuple[list[Argument], list[Argument]]:
        """Write the project.

        Returns:
            The inputs and the outputs of its top function.

        Raises:
            ExactnessError: hls4ml has changed a layer or a type.
            ToolError: hls4ml fails.
        """
        with _quiet():
            graph = self._graph(directory)
            self._check(graph)
            graph.config.backend.writer.write_hls(graph)
        self._tell_of_reuse(graph)
        (utilities,) = directory.rglob("nnet_utils")
        functions = "\n".join(self.functions)
        write_text(utilities / HEADER, f"#pragma once\n\nnamespace nnet {{\n\n{functions}\n}} // namespace nnet\n")
        for path in directory.rglob("*"):
            if path.is_file() and str(directory) in (text := path.read_text(errors="surrogateescape")):
                path.write_text(text.replace(str(directory), "."), errors="surrogateescape")
        inputs, outputs = graph.get_input_variables(), graph.get_output_variables()
        return self._arguments(inputs), self._arguments(outputs)

    def _arguments(self, variables: Sequence[Any]) -> list[Argument]:
        return [Argument(each.type.name, each.size(), self.settings.streams) for each in variables]

    def _input(self, name: str, port: Port) -> Layer:
        bits = [(each.k, each.i, each.f) for each in port.elements if each.width]
        joint = tuple(max(each) for each in zip(*bits, strict=True)) if bits else (0, 0, 0)
        self.types[name] = {"result": self._named_type(self.writer.backend.holding(joint))}
        self.sizes[name] = len(port.elements)
        return {"name": name, "class_name": "InputLayer", "input_shape": [len(port.elements)], "inputs": []}

    def _layer(self, entry: Entry, node: Node, product: Entry | None, bias: IntervalArray | None) -> Layer:
        self.types[entry.name] = {"result": self._type(entry.bounds)}
        self.sizes[entry.name] = entry.size
        computed = product.node if product else node
        if isinstance(computed, Product):
            return self._product(entry, computed, bias)
        self.functions.append(self.writer.function(entry))
        return _code(entry.name, self.writer.sources(node), self.layers[0]["name"], [entry.size])

    def _product(self, entry: Entry, node: Product, bias: IntervalArray | None) -> Layer:
        record = self.recording.record
        left, right = node.operands
        left_shape = node.groups, node.rows, node.terms
        right_shape = node.groups, node.terms, node.columns
        shape = node.groups, node.rows, node.columns
        bounds = record.bounds(left), record.bounds(right)
        finest = _finest(bounds[0].step.reshape(left_shape), bounds[1].step.reshape(right_shape))
        k, i, f = formats(entry.bounds).joint()
        of_bias = 0 if bias is None else formats(bias).joint()[2]
        # A sum that wraps on the way is right in the end, but no product may lose a bit.
        self.types[entry.name]["accum"] = self._named_type(self.writer.backend.holding((k, i, max(f, finest, of_bias))))
        layer: Layer = {"name": entry.name, "inputs": [self.recording.source(int(left[0]))[0]], "out_shape": shape}
        dense = node.groups == node.rows == 1 and record.constant(right)
        if not (dense or self.writer.backend.matrices):
            raise Unsupported(f"a product of matrices. hls4ml's {self.settings.backend} has none; oneAPI has.")
        if not record.constant(right):
            if self.settings.streams:
                raise Unsupported("a product of data. hls4ml's streams have none; io_type=io_parallel has.")
            layer["inputs"].append(self.recording.source(int(right[0]))[0])
            return layer | {
                "class_name": "Einsum",
                "equation": Product.EQUATION,
                "inp0_shape": left_shape,
                "inp1_shape": right_shape,
            }
        kernel = to_float(bounds[1].lo).reshape(right_shape)
        self.types[entry.name] |= {
            "weight": self._type(bounds[1]),
            "bias": self._named_type(self.writer.backend.holding((0, 1, 0))) if bias is None else self._type(bias),
        }
        added = None if bias is None else to_float(bias.lo).reshape(shape)
        sharing = self.settings.of(entry.layer)
        if dense:
            self.shared[entry.name] = sharing
            sizes = {"n_in": node.terms, "n_out": node.columns, "data_format": "channels_last"}
            return (
                layer
                | sizes
                | {
                    "class_name": "Dense",
                    "weight_data": kernel[0],
                    "bias_data": None if added is None else added.ravel(),
                }
            )
        of_positions = None if added is None else np.unique(added, axis=1)
        alike = of_positions is None or of_positions.shape[1] == 1
        in_turn = sharing.by_positions or self.settings.streams
        if in_turn and self.writer.backend.positions and node.groups == 1 and alike:
            self.shared[entry.name] = sharing
            layer["inputs"] = [self._reshaped(layer["inputs"][0], [node.rows, node.terms], f"{entry.name}_rows")]
            return layer | _by_positions(node, kernel, None if of_positions is None else of_positions.ravel())
        if self.settings.streams:
            raise Unsupported(
                "a product with another matrix or bias for each position. hls4ml's streams have none; "
                "io_type=io_parallel has."
            )
        if sharing != Sharing():
            self.unrolled.append(entry.layer)
        return layer | {
            "class_name": "EinsumDense",
            "equation": Product.EQUATION,
            "inp_shape": left_shape,
            "weight_data": kernel,
            "bias_data": added,
        }

    def _reshaped(self, source: str, shape: list[int], name: str) -> str:
        """Append a layer that gives the numbers of another in a shape, and return its name."""
        self.types[name], self.sizes[name] = {"result": self.types[source]["result"]}, self.sizes[source]
        if not self.settings.streams:
            self.layers.append({"name": name, "class_name": "Reshape", "target_shape": shape, "inputs": [source]})
            return name
        copy = "\n".join(f"    out[{place}] = in0[{place}];" for place in range(self.sizes[name]))
        self.functions.append(self.writer.streamed(name, "Packets", [source], self.sizes[name], copy))
        self.layers.append(_code(name, [source], source, shape))
        return name

    def _type(self, bounds: IntervalArray) -> str:
        return self._named_type(self.writer.type_of(bounds))

    def _named_type(self, kif: Kif) -> str:
        k, i, f = kif
        return f"{'' if k else 'u'}fixed<{k + i + f},{k + i}>"

    def _graph(self, directory: Path) -> Any:
        from hls4ml.model import ModelGraph

        from hgq2_hls4ml.layer import register

        register(self.settings.backend)
        outputs = [self.recording.source(int(numbers[0]))[0] for numbers in self.recording.outputs]
        inputs = [layer["name"] for layer in self.layers if layer["class_name"] == "InputLayer"]
        return ModelGraph.from_layer_list(self._config(directory), self.layers, inputs, outputs)

    def _config(self, directory: Path) -> dict[str, Any]:
        settings = self.settings
        # A convolution shares a multiplier among the products of one sum at most.
        most = {layer["name"]: layer["n_chan"] for layer in self.layers if "n_chan" in layer}
        layers = {
            name: {"Precision": types, **self._sharing(name, most.get(name))} for name, types in self.types.items()
        }
        return {
            "OutputDir": str(directory),
            "ProjectName": TOP,
            "Stamp": TOP,
            "Backend": settings.backend,
            "Part": settings.part,
            "ClockPeriod": settings.clock_period,
            "ClockUncertainty": "12.5%",
            "IOType": settings.io_type,
            "HLSConfig": {
                # Every type is known from its bounds: hls4ml's own derivation stays out.
                "Model": {"Precision": "fixed<16,6>", "ReuseFactor": settings.sharing.reuse_factor, "BitExact": False},
                "LayerName": layers,
            },
            "WriterConfig": {
                "Namespace": None,
                "WriteWeightsTxt": False,
                "WriteTar": False,
                "TBOutputStream": "both",
            },
        }

    def _sharing(self, name: str, most: int | None) -> dict[str, Any]:
        if name not in self.shared:
            return {"Strategy": "Latency"}
        sharing = self.shared[name]
        return {
            "Strategy": sharing.strategy,
            "ReuseFactor": min(sharing.reuse_factor, most or sharing.reuse_factor),
            "ParallelizationFactor": sharing.parallelization_factor or 1,
        }

    def _check_readers(self) -> None:
        """Refuse numbers that more layers read than hls4ml copies a stream for."""
        given = [self.recording.source(int(numbers[0]))[0] for numbers in self.recording.outputs]
        readers = Counter(itertools.chain(given, *(layer["inputs"] for layer in self.layers)))
        (name, count), *_ = readers.most_common(1)
        if count > READERS:
            raise ExactnessError(
                f"{name}: {count} layers read its numbers, and hls4ml copies a stream for {READERS}. Allowed: "
                "io_type=io_parallel."
            )

    def _check_layers(self) -> None:
        """Refuse names of layers that there are not, and what has nothing to share."""
        known = {row.name for row in self.recording.layers}
        sharing = {entry.layer for entry in self.recording.nodes if entry.name in self.shared}
        for name in self.settings.layers:
            if name not in known:
                raise ConfigError(f"export to hls4ml: layers: {unknown(name, known, 'layer')}")
            if name not in sharing:
                raise ConfigError(
                    f"export to hls4ml: layers.{name}: it has no product with constants whose multipliers could be "
                    "shared by these settings; those of several positions can by strategy=Resource or a "
                    f"parallelization_factor. Allowed: {', '.join(sorted(sharing)) or 'no layer of this model'}."
                )
        in_turn = {layer["name"] for layer in self.layers if layer["class_name"] == "Conv1D"}
        several = {entry.layer for entry in self.recording.nodes if entry.name in in_turn}
        for place, each in {"": self.settings.sharing, **self.settings.layers}.items():
            if each.parallelization_factor is not None and not (place in several if place else several):
                where = f"layers.{place}.parallelization_factor" if place else "parallelization_factor"
                raise ConfigError(
                    f"export to hls4ml: {where}: there are not several positions that one kernel could compute in "
                    f"turn. Received: {each.parallelization_factor}."
                )

    def _tell_of_reuse(self, graph: Any) -> None:
        """Warn where hls4ml takes other factors than those asked for."""
        used = {name: layer for name, layer in graph.graph.items() if name in self.shared}
        found = {
            name: ", ".join(self.shared[name].differences(layer.get_attr("reuse_factor"), _in_parallel(layer)))
            for name, layer in used.items()
        }
        if others := [f"{name} {texts}" for name, texts in found.items() if texts]:
            message = f"export to hls4ml: not every layer can take these factors. Used: {'; '.join(others)}."
            warnings.warn(message, stacklevel=2)

    def _check(self, graph: Any) -> None:
        made = {name: layer.get_output_variable().type.precision for name, layer in graph.graph.items()}
        got = {name: f"{'' if each.signed else 'u'}fixed<{each.width},{each.integer}>" for name, each in made.items()}
        wanted = {name: types["result"] for name, types in self.types.items()}
        got = {name: each for name, each in got.items() if graph.graph[name].class_name != COPY}
        if got != wanted:
            changed = next(name for name in {**wanted, **got} if got.get(name) != wanted.get(name))
            raise ExactnessError(
                f"{changed}: hls4ml changed the type of this layer, so nothing is exported. Received: "
                f"{got.get(changed, 'no layer')}. Allowed: {wanted.get(changed, 'no layer')}. Please report it."
            )


def _by_positions(node: Product, kernel: np.ndarray, bias: np.ndarray | None) -> Layer:
    """Return a product as a convolution of one tap, which hls4ml computes for some positions at a time."""
    return {
        "class_name": "Conv1D",
        "data_format": "channels_last",
        "in_width": node.rows,
        "out_width": node.rows,
        "n_chan": node.terms,
        "n_filt": node.columns,
        "filt_width": 1,
        "stride_width": 1,
        "pad_left": 0,
        "pad_right": 0,
        "weight_data": kernel,
        "bias_data": bias,
    }


def _finest(left: np.ndarray, right: np.ndarray) -> int:
    """Return the fraction bits of the finest of all products of `(groups, rows, terms) @ (groups, terms, columns)`."""
    steps = [[step for step in np.unique(each).tolist() if step > NO_BITS // 2] for each in (left, right)]
    pairs = sorted(itertools.product(*steps), key=sum, reverse=True)
    meeting = (pair for pair in pairs if np.einsum(Product.EQUATION, left == pair[0], right == pair[1]).any())
    return sum(next(meeting, (0, 0)))


def _code(name: str, sources: list[str], first: str, shape: list[int]) -> Layer:
    """Return a layer that calls a function; hls4ml wants a source, and a layer of constants has none."""
    layer = {"name": name, "class_name": CODE, "inputs": sources or [first]}
    return layer | {"sources": len(sources), "out_shape": shape}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what hls4ml prints and warns of, and tell of its errors."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        except (HGQ2Error, OSError):
            raise
        except Exception as error:  # hls4ml raises all kinds, most of them without a name of the layer
            raise ToolError(f"export: hls4ml failed, so nothing is exported: {error!r}. Please report it.") from error


def _in_parallel(layer: Any) -> int | None:
    """Return how many positions a layer of hls4ml computes in parallel; None for one that has no loop over them."""
    loops = layer.get_attr("n_partitions", None)
    return None if loops is None or layer.get_attr("out_width", None) is None else layer.get_attr("out_width") // loops
