"""Model repositories of tests."""

from __future__ import annotations

from pathlib import Path

from iq_serving.layout import ensembles


def as_ensemble(repository: Path) -> Path:
    """Has the embedded server serve a repository in its steps, as the container does."""
    for name in ensembles(repository):
        (repository / name / "configs" / "embedded.pbtxt").unlink()
    return repository
