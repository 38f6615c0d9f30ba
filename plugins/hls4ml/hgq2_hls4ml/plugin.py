"""The hooks of the hls4ml plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_exporters() -> dict[str, str]:
    """Return the exporter to projects of hls4ml."""
    return {"hls4ml": "hgq2_hls4ml.exporter:HLS4MLExporter"}
