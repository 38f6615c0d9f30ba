"""Every quantizer of an attention layer has an argument of its own, which takes a config and leaves it as it is."""

from __future__ import annotations

import pytest

from hgq2_attention import QGroupedQueryAttention, QLinformerAttention, QMultiHeadAttention
from hgq2_core import QLayer
from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.schema.signature import parameters
from hgq2_fixed_point import KIF

pytestmark = pytest.mark.once

ALL = {"use_gate": True, "position_bias": "full"}
LAYERS = {
    "multi-head": (QMultiHeadAttention, {"num_heads": 2, "key_dim": 3, **ALL}, ()),
    "kv": (QMultiHeadAttention, {"num_heads": 2, "key_dim": 3, "fuse": "kv"}, ("value",)),
    "qkv": (QMultiHeadAttention, {"num_heads": 2, "key_dim": 3, "fuse": "qkv"}, ("key", "value")),
    "grouped-query": (
        QGroupedQueryAttention,
        {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2, **ALL},
        (),
    ),
    "Linformer": (
        QLinformerAttention,
        {"num_heads": 2, "key_dim": 3, "projected_length": 2, "share_sequence_projection": False, **ALL},
        (),
    ),
}


def configs(name):
    """A different config for each slot that the layer has."""
    cls, arguments, shared = LAYERS[name]
    absent = {f"{other}_{part}_quantizer" for other in shared for part in ("input", "kernel", "bias")}
    slots = [slot for slot in parameters(cls) if slot.endswith("_quantizer") and slot not in absent]
    if not arguments.get("use_gate"):
        slots = [slot for slot in slots if not slot.startswith(("gate_", "position_"))]
    return {slot: KIF(i=n % 6, f=2 + n // 6, overflow_mode="SAT") for n, slot in enumerate(slots)}


@pytest.mark.parametrize("name", LAYERS)
def test_each_slot_takes_its_config(name):
    cls, arguments, _ = LAYERS[name]
    given = configs(name)
    copies = {slot: config.model_copy() for slot, config in given.items()}
    layer = cls(**arguments, **given)
    assert len(given) >= 16
    for slot, config in given.items():
        assert (getattr(layer, slot).config.i, getattr(layer, slot).config.f) == (config.i, config.f), slot
    assert given == copies
    assert cls.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("name", LAYERS)
def test_no_quantizer_is_without_a_slot(name):
    cls, arguments, _ = LAYERS[name]
    layer = cls(**arguments, **configs(name))
    parts = [part for part in (layer, *layers_of(layer)) if isinstance(part, QLayer)]
    there = {id(quantizer) for part in parts for quantizer in part.quantizers}
    assert there == {id(getattr(layer, slot)) for slot in configs(name)}


@pytest.mark.parametrize("name", LAYERS)
def test_a_slot_left_empty_is_saved_complete(name):
    cls, arguments, _ = LAYERS[name]
    layer = cls(**arguments)
    saved = layer.get_config()
    for slot in configs(name):
        quantizer = getattr(layer, slot)
        assert (saved[slot] is None) == (quantizer is None), slot
    assert cls.from_config(saved).get_config() == saved
