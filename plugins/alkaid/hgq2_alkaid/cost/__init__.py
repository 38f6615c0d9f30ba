"""What a circuit costs in LUTs: by synthesis, and by models fitted to it."""
