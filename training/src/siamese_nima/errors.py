"""What a user can mend, said in one sentence each.

SiameseNimaError
├── ConfigError          a config file
├── DataError            labels or photos
├── TrainingError        a run that cannot go on
├── WeightsError         a weight file
└── UnknownTowerError    a name that the registry lacks
"""

from __future__ import annotations


class SiameseNimaError(ValueError):
    """Root of the package's own errors."""


class ConfigError(SiameseNimaError):
    """A config file that is missing, or says something that no run can do."""


class DataError(SiameseNimaError):
    """Labels or photos that are missing, malformed or too often bad."""


class TrainingError(SiameseNimaError):
    """A run that cannot go on."""


class WeightsError(SiameseNimaError):
    """A weight file that is missing, unreadable or does not fit the model."""


class UnknownTowerError(SiameseNimaError):
    """No tower has this name."""
