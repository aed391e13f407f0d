"""Allow ``python -m bat``."""

from bat.cli import main

main()
