"""``python -m sandbox``."""

from sandbox.cli.main import main

main()
