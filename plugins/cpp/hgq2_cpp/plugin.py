"""The hooks of the C++ plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_exporters() -> dict[str, str]:
    """Return the exporter to C++."""
    return {"cpp": "hgq2_cpp.exporter:CppExporter"}
