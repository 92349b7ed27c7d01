"""Labelled photos: read from files of several forms, checked, and fed to a tower."""

from siamese_nima.data.inspection import Inspection, inspect
from siamese_nima.data.samples import FORMS, DataConfig, Problem, Sample

__all__ = ["FORMS", "DataConfig", "Inspection", "Problem", "Sample", "inspect"]
