"""`python -m iq_tools`, where the command is not installed."""

from iq_tools.cli import main

main(prog_name="iq-tools")
