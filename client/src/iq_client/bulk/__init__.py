"""Folders of photos too large for one run: cut in shards, scored by many workers, exactly once."""

from iq_client.bulk.batches import BatchScorer

__all__ = ["BatchScorer"]
