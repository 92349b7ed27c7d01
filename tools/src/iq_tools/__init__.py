"""From a trained tower to a Triton model repository."""

__version__ = "0.1.0"
