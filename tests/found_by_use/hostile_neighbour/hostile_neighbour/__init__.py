"""A foreign distribution whose plugins all do harm; its metadata lies next to it, so a path installs it."""
