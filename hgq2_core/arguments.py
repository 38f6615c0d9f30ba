"""Former location of `hgq2_core.layers.arguments`, kept for plugins that import it."""

from hgq2_core.layers.arguments import *  # noqa: F403
