"""Runs one command, again where it crashes, and never longer than the process that wanted it.

Started by `iq_client.local.server` as a script of its own with a bare interpreter, so it imports
nothing but the standard library. Neither atexit nor PR_SET_PDEATHSIG in the wanting process would
do: the first does not run on SIGKILL, the second fires when the thread that started the child ends.

Triton's Python backend gives the processes of its models one second to show that they live. Where
the machine keeps them from it (starved of processor time, frozen, asleep) Triton takes back memory
that they still write to, and crashes within the next requests. So a server that ran and crashed is
started again; clients try again meanwhile.

    python supervisor.py PARENT_PID SHARED_MEMORY_PREFIX COMMAND...

Writes the command's process id as one line to standard output and ends with its exit status.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.25  # how long a server may outlive a killed parent
GRACE_SECONDS = 10.0  # for requests in flight, before SIGKILL
CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS}
# A command that crashes sooner than this, and then again, would do so for ever.
PROVEN_SECONDS = 10.0


def supervise(parent: int, shared_memory_prefix: str, command: list[str]) -> int:
    """Runs the command until it ends, this process is told to stop, or the parent is gone.

    SIGTERM lets the command finish what it has begun, SIGINT kills it at once. A command that
    crashes is run again, unless it had only just started for the second time.

    Args:
        parent: Process id of the process that wanted the command.
        shared_memory_prefix: Files in /dev/shm starting with it are removed at the end: a
            server that was killed leaves its regions behind.
        command: Program and arguments.

    Returns:
        The command's exit status, negative for a signal.
    """
    wake = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, wake)
    announced = False
    early_crashes = 0
    while True:
        started = time.monotonic()
        child = _start(command, wake)
        if not announced:
            announced = True
            print(child.pid, flush=True)
            # The caller waits for that line only; an open pipe would keep its readers waiting.
            os.close(sys.stdout.fileno())
        wanted = _watch(child, parent, wake)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # its helpers, where it left any
        for region in Path("/dev/shm").glob(f"{shared_memory_prefix}*"):
            region.unlink(missing_ok=True)
        seconds = time.monotonic() - started
        early_crashes = early_crashes + 1 if seconds < PROVEN_SECONDS else 0
        if not wanted or child.returncode not in CRASHES or early_crashes > 1:
            return child.returncode
        reason = signal.Signals(-child.returncode).name
        print(f"the server crashed ({reason}) and is started again", file=sys.stderr, flush=True)


def _start(command: list[str], blocked: set[signal.Signals]) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should even the supervisor be killed

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # a group of its own, killed as a whole at the end
        preexec_fn=prepare,
    )


def _watch(child: subprocess.Popen[bytes], parent: int, wake: set[signal.Signals]) -> bool:
    """Waits for the child's end; returns whether anybody still wants it to run."""
    wanted = True
    while child.poll() is None:
        received = signal.sigtimedwait(wake, POLL_SECONDS)
        number = None if received is None else received.si_signo
        if number == signal.SIGTERM:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS)
        if number in (signal.SIGTERM, signal.SIGINT) or os.getppid() != parent:
            wanted = False
            child.kill()
            child.wait()
    return wanted


if __name__ == "__main__":
    status = supervise(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    os._exit(status if status >= 0 else 128 - status)
