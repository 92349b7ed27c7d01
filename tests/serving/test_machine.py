"""Number of threads that pay, read from control groups made of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iq_serving.machine import has_bf16, has_vnni, usable_cores


def _group(root: Path, path: str, **files: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def _cores(tmp_path: Path, own: str) -> int:
    (tmp_path / "own").write_text(own + "\n")
    return usable_cores(cgroups=tmp_path / "cgroup", own=tmp_path / "own")


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 16), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1),
     ("1000 100000", 1), ("9900000 100000", 16)],
)  # fmt: skip
def test_a_quota_bounds_the_cores(tmp_path: Path, quota: str, cores: int) -> None:
    _group(tmp_path / "cgroup", ".", cpu__max=quota)
    assert _cores(tmp_path, "0::/") == cores


def test_the_tightest_group_above_counts(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    _group(root, "pod", cpu__max="300000 100000")
    _group(root, "pod/container", cpu__max="max 100000")
    assert _cores(tmp_path, "0::/pod/container") == 3
    _group(root, "pod/container", cpu__max="100000 50000")
    assert _cores(tmp_path, "0::/pod/container") == 2


def test_the_hosts_path_of_a_container_leads_to_the_mounted_root(tmp_path: Path) -> None:
    _group(tmp_path / "cgroup", ".", cpu__max="400000 100000")
    assert _cores(tmp_path, "0::/system.slice/docker-0123.scope") == 4


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    folder = "cpu,cpuacct/docker/0123"
    _group(tmp_path / "cgroup", folder, cpu__cfs_quota_us="500000", cpu__cfs_period_us="100000")
    own = "5:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123"
    assert _cores(tmp_path, own) == 5
    _group(tmp_path / "cgroup", folder, cpu__cfs_quota_us="-1")
    assert _cores(tmp_path, own) == 16


def test_no_control_groups_no_quota(tmp_path: Path) -> None:
    assert usable_cores(cgroups=tmp_path, own=tmp_path / "none") == 16


@given(st.text(max_size=60))
def test_whatever_the_kernel_writes_there_is_at_least_one_core(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("groups")
    (folder / "own").write_text(f"0::/{text}", encoding="utf-8")
    (folder / "cpu.max").write_text(text, encoding="utf-8")
    assert 1 <= usable_cores(cgroups=folder, own=folder / "own") <= 16


def test_this_machine() -> None:
    assert 1 <= usable_cores() <= 16


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2 avx512_bf16", True), ("fpu amx_bf16 amx_tile", True), ("fpu avx2", False)],
)
def test_bf16_is_read_from_the_flags(tmp_path: Path, flags: str, expected: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbogomips\t: 1\n")
    assert has_bf16(path) is expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2 avx512_vnni", True), ("fpu avx_vnni", True), ("fpu avx2 avx512f", False)],
)
def test_vnni_is_read_from_the_flags(tmp_path: Path, flags: str, expected: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert has_vnni(path) is expected
