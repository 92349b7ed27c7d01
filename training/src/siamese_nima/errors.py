"""Errors that a user can mend, said in one sentence each.

    SiameseNimaError         exit code 1
    ├── ConfigError          2: a config file, or an option of a command
    │   └── UnknownTowerError   a name that the registry lacks
    ├── DataError            labels or photos
    ├── TrainingError        a run that cannot go on
    └── WeightsError         a weight file

`ImageError`, one image that cannot be turned into pixels, belongs to the preprocessing, which
serves without this package; the command line gives it the exit code of the root.
"""

from __future__ import annotations

from typing import ClassVar


class SiameseNimaError(ValueError):
    """Root of the package's own errors.

    Attributes:
        exit_code: What a command ends with that it stops.
    """

    exit_code: ClassVar[int] = 1


class ConfigError(SiameseNimaError):
    """A config file that is missing, or says something that no run can do."""

    exit_code = 2


class UnknownTowerError(ConfigError):
    """A name that no tower has."""


class DataError(SiameseNimaError):
    """Labels or photos that are missing, malformed or too often bad."""


class TrainingError(SiameseNimaError):
    """A run that cannot go on."""


class WeightsError(SiameseNimaError):
    """A weight file that is missing, unreadable or does not fit the model."""
