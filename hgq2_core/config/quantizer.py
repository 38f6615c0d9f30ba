"""Former location of `hgq2_core.quantizers.config`, kept for plugins that import it."""

from hgq2_core.quantizers.config import *  # noqa: F403
