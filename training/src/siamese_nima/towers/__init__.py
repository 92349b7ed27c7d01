"""Towers by name: a backbone, what it wants its pixels to look like, and the head of NIMA."""

from siamese_nima.towers.freezing import freeze, frozen_depth
from siamese_nima.towers.registry import TOWERS, Tower, build_tower, get_tower

__all__ = ["TOWERS", "Tower", "build_tower", "freeze", "frozen_depth", "get_tower"]
