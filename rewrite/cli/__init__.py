"""The command line: one subcommand per file."""

from rewrite.cli.app import main

__all__ = ["main"]
