"""Towers: backbones, their registry, their weights, and what of them learns."""
