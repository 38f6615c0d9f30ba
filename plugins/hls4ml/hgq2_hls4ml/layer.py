"""The layer of hls4ml that calls a function of ours."""

from __future__ import annotations

from typing import Any

from hls4ml.backends import get_backend
from hls4ml.backends.template import FunctionCallTemplate
from hls4ml.model.layers import Layer, layer_map, register_layer

from hgq2_hls4ml.project import CODE, HEADER


class HGQ2Code(Layer):
    """A function of the numbers of other layers."""

    def initialize(self) -> None:
        """Declare the output."""
        self.add_output_variable(list(self.attributes["out_shape"]))


class Call(FunctionCallTemplate):
    """The call of the function, which has the name of the layer."""

    def __init__(self) -> None:
        super().__init__(HGQ2Code, include_header=[f"nnet_utils/{HEADER}"])

    def format(self, node: Any) -> str:
        """Return the call."""
        # By place, as hls4ml puts copies in front of those that read the same stream.
        arguments = [node.get_input_variable(name).name for name in node.inputs[: node.get_attr("sources")]]
        return f"nnet::{node.name}({', '.join([*arguments, node.get_output_variable().name])});"


def register(backend: str) -> None:
    """Make the layer known to hls4ml, once."""
    if CODE not in layer_map:
        register_layer(CODE, HGQ2Code)
    templates = get_backend(backend)
    if not any("hgq2code" in name for name in templates._get_layer_templates()):
        templates.register_template(Call)
