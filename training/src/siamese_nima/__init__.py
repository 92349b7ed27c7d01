"""Siamese NIMA: train a tower on votes and on pairs, evaluate it, export it as a SavedModel."""
