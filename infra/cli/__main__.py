"""`python -m infra.cli` is `headframe`."""

from infra.cli.app import main

main()
