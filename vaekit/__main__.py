"""Runs the command: `python -m vaekit` is `vaekit`."""

from vaekit.cli import main

if __name__ == "__main__":
    main()
