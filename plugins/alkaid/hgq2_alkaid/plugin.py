"""The hooks of the alkaid plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_exporters() -> dict[str, str]:
    """Return the exporter to Verilog, VHDL and Vitis HLS."""
    return {"alkaid": "hgq2_alkaid.exporter:AlkaidExporter"}
