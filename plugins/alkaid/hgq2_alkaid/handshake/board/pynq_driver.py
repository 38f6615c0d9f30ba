"""Run an export with an AXI4-Stream on a board with PYNQ.

Needs numpy, the files beside this one, and on the board pynq. Its packing is tested; it has run on no board.

    from pynq_driver import Accelerator

    accelerator = Accelerator("design.bit")
    accelerator.predict({"pixels": x})  # {"logits": ...}, float64, one row per sample
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

host_quantize: Any = importlib.import_module("host_quantize")  # lies beside this file

Bytes = npt.NDArray[np.uint8]
Transfer = Callable[[Bytes, int], Bytes]


class Packing:
    """Samples and results as the bytes of a stream, as ports.json says.

    Args:
        ports: what host_quantize.read_ports gives; None reads ports.json beside this file.
    """

    def __init__(self, ports: dict[str, Any] | None = None) -> None:
        self.ports = host_quantize.read_ports() if ports is None else ports
        self.bus: int = self.ports["signals"]["s_axis_tdata"] // 8

    def size(self, side: str) -> int:
        """Return the bytes of a sample (side "inputs") or of a result ("outputs"), whole words of the bus."""
        bits: int = sum(element["width"] for port in self.ports[side] for element in port["elements"])
        return -(-bits // (8 * self.bus)) * self.bus

    def pack(self, x: Mapping[str, Any]) -> Bytes:
        """Return the bytes of samples, one row each.

        Args:
            x: an array for each input, samples first, as the model takes them.
        """
        names = [port["name"] for port in self.ports["inputs"]]
        rows = {name: np.asarray(x[name]).reshape(len(x[name]), -1).tolist() for name in names}
        samples = [dict(zip(names, each, strict=True)) for each in zip(*(rows[name] for name in names), strict=True)]
        integers = [host_quantize.quantize(self.ports, sample) for sample in samples]
        return self.words([[number for name in names for number in each[name]] for each in integers], "inputs")

    def words(self, samples: Sequence[Sequence[int]], side: str) -> Bytes:
        """Return the bytes of integers, the numbers of all elements of a side, one row per sample."""
        elements = [element for port in self.ports[side] for element in port["elements"]]
        size, rows = self.size(side), []
        for sample in samples:
            word = 0
            for element, number in zip(elements, sample, strict=True):
                word |= (number & (1 << element["width"]) - 1) << element["offset"]
            rows.append(np.frombuffer(word.to_bytes(size, "little"), dtype=np.uint8))
        return np.array(rows, dtype=np.uint8).reshape(len(samples), size)

    def unpack(self, words: Bytes) -> dict[str, npt.NDArray[np.float64]]:
        """Return the outputs, an array each, of the bytes of results, one row each."""
        numbers = [int.from_bytes(row.tobytes(), "little") for row in words]
        outputs = {}
        for port in self.ports["outputs"]:
            values = [[_number(number, element) for element in port["elements"]] for number in numbers]
            outputs[port["name"]] = np.array(values, dtype=np.float64).reshape(len(numbers), *port["shape"])
        return outputs


class Accelerator:
    """A model on the board.

    Args:
        bitstream: the file of the design, whose AXI DMA is called `dma`; None with `transfer`.
        transfer: sends bytes and returns so many; None by the DMA of the design.
    """

    def __init__(self, bitstream: str | None = None, transfer: Transfer | None = None) -> None:
        self.packing = Packing()
        self.transfer = _dma(str(bitstream)) if transfer is None else transfer

    def predict(self, x: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
        """Return the outputs of the model for an array of each input, samples first; one transfer, one tlast."""
        sent = self.packing.pack(x)
        received = self.transfer(sent.ravel(), len(sent) * self.packing.size("outputs"))
        return self.packing.unpack(received.reshape(len(sent), -1))


def _number(word: int, element: dict[str, Any]) -> float:
    if not element["width"]:
        return 0.0
    size = 1 << element["width"]
    number = (word >> element["offset"]) & (size - 1)
    signed = number - size if element["k"] and number >= size // 2 else number
    return float(np.ldexp(float(signed), -element["f"]))


def _dma(bitstream: str) -> Transfer:
    pynq = importlib.import_module("pynq")
    dma = pynq.Overlay(bitstream).dma

    def transfer(sent: Bytes, size: int) -> Bytes:
        given = pynq.allocate(shape=sent.shape, dtype=np.uint8)
        taken = pynq.allocate(shape=(size,), dtype=np.uint8)
        try:
            given[:] = sent
            dma.recvchannel.transfer(taken)
            dma.sendchannel.transfer(given)
            dma.sendchannel.wait()
            dma.recvchannel.wait()
            return np.array(taken)
        finally:
            given.freebuffer()
            taken.freebuffer()

    return transfer
