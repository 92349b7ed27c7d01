"""From a trained tower to a Triton model repository."""

__version__ = "0.2.0"
