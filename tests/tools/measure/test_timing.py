from __future__ import annotations

from iq_tools.measure.timing import rate


def test_a_rate_counts_what_was_done() -> None:
    done: list[int] = []

    def work() -> int:
        done.append(3)
        return 3

    assert rate(work, 0.0) > 0
    assert len(done) == 2  # once to warm up
    assert rate(work, 0.05) <= sum(done) / 0.05
