"""Files for a host, copied beside an export as they are: they depend on nothing."""
