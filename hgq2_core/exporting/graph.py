"""Functions that an exporter needs of a frozen model: its graph, its exact interpretation, and its cost."""

from hgq2_core.keras_graph.traversal import applications, model_inputs, output_names, run
from hgq2_core.model.cost import ebops, layer_ebops
from hgq2_core.model.exact_masks import require_stated_masks
from hgq2_core.model.verification import interpret

__all__ = [
    "applications",
    "ebops",
    "interpret",
    "layer_ebops",
    "model_inputs",
    "output_names",
    "require_stated_masks",
    "run",
]
