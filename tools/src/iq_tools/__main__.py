"""`python -m iq_tools`, where the command is not installed."""

from iq_tools.cli import main

main()
