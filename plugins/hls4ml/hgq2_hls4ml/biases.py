"""Constants that are added to a product, which hls4ml's dense layers add themselves."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from hgq2_core.exact import IntervalArray
from hgq2_hls4ml.nodes import Elementwise, Node, Product
from hgq2_hls4ml.record import Entry
from hgq2_hls4ml.recording import Recording


def biased_products(recording: Recording) -> dict[int, tuple[Entry, IntervalArray]]:
    """Return the sums that are a product with a constant matrix, plus constants, and nothing else reads that product.

    Returns:
        The product and the constants, by the first number of the sum.
    """
    readers: dict[int, list[Entry]] = defaultdict(list)
    for entry in recording.nodes:
        if isinstance(entry.node, Node):
            for source in recording.record.sources(*entry.node.operands):
                readers[source.first].append(entry)
    found = {}
    for product in recording.nodes:
        if len(readers[product.first]) != 1 or not isinstance(product.node, Product):
            continue
        (reader,) = readers[product.first]
        bias = _added(recording, product, reader)
        # A product reads numbers in one axis, and only a dense layer has them so.
        dense = product.node.groups == product.node.rows == 1
        if bias is not None and (dense or not any(isinstance(each.node, Product) for each in readers[reader.first])):
            found[reader.first] = product, bias
    return found


def _added(recording: Recording, product: Entry, reader: Entry) -> IntervalArray | None:
    """Return the constants that a node adds to a product, element by element."""
    record, node = recording.record, reader.node
    assert isinstance(product.node, Product)
    if not isinstance(node, Elementwise) or node.operation != "add" or not record.constant(product.node.operands[1]):
        return None
    for one, other in (node.operands, node.operands[::-1]):
        if np.array_equal(one, product.numbers) and record.constant(other):
            return record.bounds(other)
    return None
