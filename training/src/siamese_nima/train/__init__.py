"""The Siamese trainer: sets of photos, the losses on them, and the run that minimises these."""
