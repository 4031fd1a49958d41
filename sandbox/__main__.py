"""``python -m sandbox``."""

from sandbox.cli.main import command

command()
