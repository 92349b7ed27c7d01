"""The machine under this process: cores and memory by quota, bf16, and memory that is kept."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from pathlib import Path
from typing import Final

_BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})
_VNNI_FLAGS: Final = frozenset({"avx512_vnni", "avx_vnni"})
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")
_CPU_INFO: Final = Path("/proc/cpuinfo")

_M_TRIM_THRESHOLD: Final = -1  # of malloc.h
_M_MMAP_THRESHOLD: Final = -3
# Where freed memory goes back to the kernel, in bytes; a process started with them in its
# environment has them from the beginning.
MALLOC_THRESHOLDS: Final = {
    "MALLOC_MMAP_THRESHOLD_": 32 * 2**20,  # glibc takes no more
    "MALLOC_TRIM_THRESHOLD_": 256 * 2**20,
}


def usable_cores(*, cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> int:
    """The number of threads that can compute at once.

    More threads than that do not finish sooner: under a quota the kernel stops all of them until
    its next period.

    Args:
        cgroups: Where the control groups are mounted.
        own: The file that names this process's control groups.

    Returns:
        The smaller of the process's CPU affinity and the tightest quota of its control group and
        the groups above it, a part of a core counted as a whole one; at least 1.
    """
    allowed = float(len(os.sched_getaffinity(0)))
    for folder in _folders(cgroups, own, "cpu"):
        quota = _quota(folder)
        if quota is not None:
            allowed = min(allowed, quota)
    return max(math.ceil(allowed), 1)


def memory_limit(*, cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> int:
    """The memory that this process may use before the kernel ends it, in bytes.

    Args:
        cgroups: Where the control groups are mounted.
        own: The file that names this process's control groups.

    Returns:
        The smaller of the machine's memory, where the system tells it (Windows does not), and the
        tightest limit of its control group and the groups above it.
    """
    allowed = sys.maxsize
    if hasattr(os, "sysconf"):
        allowed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in _folders(cgroups, own, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                allowed = min(allowed, int((folder / name).read_text(encoding="utf-8")))
            except (OSError, ValueError):  # not this version of control groups, or "max"
                continue
    return allowed


def has_bf16(cpu_info: Path = _CPU_INFO) -> bool:
    """True where the processor multiplies bf16 by itself (AVX512-BF16 or AMX)."""
    return not _BF16_FLAGS.isdisjoint(_flags(cpu_info))


def has_vnni(cpu_info: Path = _CPU_INFO) -> bool:
    """True where the processor adds up products of eight bits at once (AVX512-VNNI or AVX-VNNI)."""
    return not _VNNI_FLAGS.isdisjoint(_flags(cpu_info))


def keep_freed_memory() -> None:
    """Has the C library keep what is freed for what is allocated next.

    Every photo takes and gives back megabytes. Given back to the kernel they would be cleared and
    mapped anew for the next one, which takes a part of the time of its decoding. Does nothing where
    the C library is not glibc.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_TRIM_THRESHOLD, MALLOC_THRESHOLDS["MALLOC_TRIM_THRESHOLD_"])
        libc.mallopt(_M_MMAP_THRESHOLD, MALLOC_THRESHOLDS["MALLOC_MMAP_THRESHOLD_"])


def _flags(cpu_info: Path) -> list[str]:
    lines = cpu_info.read_text(encoding="utf-8").splitlines()
    return next((line for line in lines if line.startswith("flags")), "").split()


def _folders(cgroups: Path, own: Path, controller: str) -> list[Path]:
    """The folders that may limit something, for both versions of control groups."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # no control groups, no quota
        return []
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            root = cgroups
        elif controller in controllers.split(","):
            root = cgroups / controllers
        else:
            continue
        # Inside a container the path may be that of the host, of which only the root is mounted.
        group = Path(path.strip("/"))
        found += [root / part for part in (group, *group.parents)]
    return found


def _quota(folder: Path) -> float | None:
    """The cores that a control group may use, None where it states no quota."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip()
                for name in ("quota", "period")
            )
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
