"""The hooks of this plugin: names and where the classes are, so that listing imports neither."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_quantizers() -> dict[str, str]:
    """Offer the kind `acme.levels`."""
    return {"levels": "acme_quantizers.levels:Levels"}


@hookimpl
def hgq2_layers() -> dict[str, str]:
    """Offer the kind `acme.layer_scale`."""
    return {"layer_scale": "acme_quantizers.layer_scale:QLayerScale"}


@hookimpl
def hgq2_metrics() -> dict[str, str]:
    """Offer the kind `acme.worst_recall`."""
    return {"worst_recall": "acme_quantizers.worst_recall:WorstRecall"}


@hookimpl
def hgq2_commands() -> dict[str, str]:
    """Offer the subcommand `hgq2 levels`."""
    return {"levels": "acme_quantizers.commands:levels"}
