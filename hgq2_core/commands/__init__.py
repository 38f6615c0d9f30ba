"""Tools to write a subcommand of `hgq2`, in the core or in a plugin: exit codes, options, output, figures.

A command is a function with typed parameters, as typer reads them, that a plugin names in its hook `hgq2_commands`. Its
module is imported when the command runs, and imports the backend inside the function: `hgq2 train --help` needs none.
"""
