"""From a trained tower to a Triton model repository."""
