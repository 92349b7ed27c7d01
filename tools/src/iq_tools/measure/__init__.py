"""Measurements: of a running server, and of a GPU beside its own peak."""
