"""Statuses with which the command line ends; an exception of the client carries its own."""

from __future__ import annotations

from typing import Final

from iq_client.errors import IQClientError, ScoringError

SCORED: Final = 0
SOME_FAILED: Final = ScoringError.exit_code
NO_SERVER: Final = IQClientError.exit_code
INTERRUPTED: Final = 130  # what shells report for Ctrl-C
