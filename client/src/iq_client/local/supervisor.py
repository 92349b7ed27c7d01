"""Runs one command, again where it crashes, and never longer than the process that wanted it.

Started by `iq_client.local.server` as a script of its own with a bare interpreter, so it imports
nothing but the standard library. Neither atexit nor PR_SET_PDEATHSIG in the wanting process would
do: the first does not run on SIGKILL, the second fires when the thread that started the child ends.

Triton's Python backend gives the processes of its models one second to show that they live. Where
the machine keeps them from it (starved of processor time, frozen, asleep) Triton takes back memory
that they still write to, and crashes within the next requests. Where such a process dies (a
decoder's crash, the kernel's killer of large processes) Triton lives on, calls itself ready and
scores nothing any more. So a server that crashed or was killed is started again, and one that lost
a model's process is killed and started again; clients try again meanwhile.

    python supervisor.py PARENT_PID SHARED_MEMORY_PREFIX COMMAND...

Writes the command's process id as one line to standard output and ends with its exit status.
SIGUSR1 says that the command is of use: from then on it is started again however often it crashes.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.25  # how long a server may outlive a killed parent
GRACE_SECONDS = 10.0  # for requests in flight, before SIGKILL
CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE,
           -signal.SIGKILL}  # fmt: skip
# A command that was never of use and crashes as often as this would do so for ever.
USELESS_STARTS = 2
# A crash sooner than this after the start doubles the pause before the next one.
EARLY_SECONDS = 10.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 8.0
LOOK_SECONDS = 2.0  # between two looks for new processes of models
UNWAITED_SECONDS = 5.0  # after which the end of a model's process was not the server's will


def supervise(parent: int, shared_memory_prefix: str, command: list[str]) -> int:
    """Runs the command until it ends, this process is told to stop, or the parent is gone.

    SIGTERM lets the command finish what it has begun, SIGINT kills it at once. A command that
    crashes or loses one of its child processes is run again, after a pause that grows where it
    crashes early; one that SIGUSR1 never called of use only `USELESS_STARTS` times.

    Args:
        parent: Process id of the process that wanted the command.
        shared_memory_prefix: Files in /dev/shm starting with it are removed at the end: a
            server that was killed leaves its regions behind.
        command: Program and arguments.

    Returns:
        The command's exit status, negative for a signal.
    """
    wake = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, wake)
    wish = _Wish(parent, wake)
    starts = early_crashes = 0
    while True:
        started = time.monotonic()
        child = _start(command, wake)
        starts += 1
        if starts == 1:
            print(child.pid, flush=True)
            # The caller waits for that line only; an open pipe would keep its readers waiting.
            os.close(sys.stdout.fileno())
        lost = _watch(child, wish)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # its helpers, where it left any
        for region in Path("/dev/shm").glob(f"{shared_memory_prefix}*"):
            region.unlink(missing_ok=True)
        useless = not wish.of_use and starts >= USELESS_STARTS
        if not wish.wanted or child.returncode not in CRASHES or useless:
            return child.returncode
        early_crashes = early_crashes + 1 if time.monotonic() - started < EARLY_SECONDS else 0
        reason = lost or f"crashed ({signal.Signals(-child.returncode).name})"
        print(f"the server {reason} and is started again", file=sys.stderr, flush=True)
        if early_crashes:
            pause = FIRST_PAUSE_SECONDS * 2 ** min(early_crashes - 1, 16)
            over = time.monotonic() + min(pause, LONGEST_PAUSE_SECONDS)
            while wish.wanted and time.monotonic() < over:
                wish.ask()
            if not wish.wanted:
                return child.returncode


@dataclass
class _Wish:
    """Signals and the parent: whether anybody still wants the command to run.

    Attributes:
        parent: Process id.
        wake: Signals that are waited for.
        wanted: False from the first SIGTERM or SIGINT on, or without the parent.
        gently: True where the command may finish what it has begun.
        of_use: True from the first SIGUSR1 on.
    """

    parent: int
    wake: set[signal.Signals]
    wanted: bool = True
    gently: bool = False
    of_use: bool = False

    def ask(self) -> None:
        """Waits for a signal, not for long."""
        received = signal.sigtimedwait(self.wake, POLL_SECONDS)
        number = None if received is None else received.si_signo
        self.of_use |= number == signal.SIGUSR1
        self.gently |= number == signal.SIGTERM
        if number in (signal.SIGTERM, signal.SIGINT) or os.getppid() != self.parent:
            self.wanted = False


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


def _watch(child: subprocess.Popen[bytes], wish: _Wish) -> str | None:
    """Waits for the child's end, or makes it: says what it lost where that was the reason."""
    helpers = _Helpers(child.pid)
    while child.poll() is None:
        wish.ask()
        lost = helpers.lost()
        if not wish.wanted and wish.gently:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS)
        if not wish.wanted or lost:
            child.kill()
            child.wait()
            return lost
    return None


@dataclass
class _Helpers:
    """The child processes of a server, those of its models.

    Attributes:
        server: Process id.
        known: Process ids; a server of many threads is costly to look through.
        looked: Seconds of the clock when they were looked for.
        unwaited_since: Seconds of the clock since when one has ended that nobody waits for.
    """

    server: int
    known: frozenset[int] = frozenset()
    looked: float = -math.inf
    unwaited_since: float | None = None

    def lost(self) -> str | None:
        """Says which of them was killed or crashed, or ended though nobody wanted it to.

        Triton waits at once for those that it ends itself.
        """
        now = time.monotonic()
        if now - self.looked >= LOOK_SECONDS:
            self.known, self.looked = _children(self.server), now
        ended = [status for pid in self.known if (status := _status(pid)) is not None]
        if not ended:
            self.unwaited_since = None
            return None
        for status in filter(os.WIFSIGNALED, ended):
            return f"lost a model's process ({signal.Signals(os.WTERMSIG(status)).name})"
        self.unwaited_since = self.unwaited_since or now
        if now - self.unwaited_since < UNWAITED_SECONDS:
            return None
        return "lost a model's process (it ended)"


def _children(pid: int) -> frozenset[int]:
    found: set[int] = set()
    with contextlib.suppress(OSError):  # it ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found.update(map(int, (task / "children").read_text().split()))
    return frozenset(found)


def _status(pid: int) -> int | None:
    """The status of a process that ended and that nobody has waited for; None for another."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[-1]) if fields[0] == "Z" else None


if __name__ == "__main__":
    status = supervise(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    os._exit(status if status >= 0 else 128 - status)
