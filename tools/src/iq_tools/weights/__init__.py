"""Published weights: their names, and their download into the cache folder."""
