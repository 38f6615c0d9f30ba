"""The hooks of the QONNX plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_exporters() -> dict[str, str]:
    """Return the exporter to QONNX."""
    return {"qonnx": "hgq2_qonnx.exporter:QonnxExporter"}
