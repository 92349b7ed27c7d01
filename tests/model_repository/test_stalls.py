"""Photos in flight when the machine does not let the server's processes run.

Triton gives up a model's process that shows no life for a second, and crashes of what that process
still writes; the embedded server is then started again and the client asks again.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from tests.processes import process_of

from iq_client import Client, LocalServer, Score

STALL_SECONDS = 3.0  # Triton waits for one
PHOTOS = 32


def test_photos_are_scored_although_a_process_stalls(
    model_repository: Path, example_photos: list[Path], tmp_path: Path
) -> None:
    photos = [example_photos[number % len(example_photos)] for number in range(PHOTOS)]
    log = tmp_path / "server.log"
    with (
        LocalServer(model_repository, log_file=log) as server,
        Client(server.url, batch_size=8, in_flight=4) as client,
    ):
        expected = [score.mean for score in client.score_images(photos, raise_on_error=True)]
        scores: list[Score] = []
        asking = threading.Thread(target=lambda: scores.extend(client.score_images(photos)))
        asking.start()
        process = process_of("nima", server.pid)
        os.kill(process, signal.SIGSTOP)
        time.sleep(STALL_SECONDS)
        os.kill(process, signal.SIGCONT)
        asking.join()
    assert [score.error for score in scores] == [None] * PHOTOS, log.read_text()[-3000:]
    assert len(set(expected)) > 1
    for score, mean in zip(scores, expected, strict=True):
        assert abs(score.mean - mean) < 1e-4
