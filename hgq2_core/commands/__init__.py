"""What a subcommand of `hgq2` is written with, the core's own and a plugin's: exit codes, shared options, output.

A command is a function with typed parameters, as typer reads them, that a plugin names in its hook `hgq2_commands`. Its
module is imported when the command is run, and imports the backend inside the function: `hgq2 train --help` needs none.
"""
