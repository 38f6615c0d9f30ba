"""A stranger's distribution, whose plugins would all do harm; its metadata lies beside it, so a path installs it."""
