"""Configuration: strict schemas, open unions over what is installed, and files."""
