"""How many processors a process may use: affinity, and quotas of control groups in trees made for the purpose."""

import os
import subprocess
import sys

import pytest

from cnnx import _processors


def tree(folder, groups, **files):
    """A root with /proc/self/cgroup and files below /sys/fs/cgroup (their names with : for /)."""
    own = folder / "proc" / "self" / "cgroup"
    own.parent.mkdir(parents=True)
    own.write_text(groups)
    for name, text in files.items():
        file = folder / "sys/fs/cgroup" / name.replace(":", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


V2 = "0::/user.slice/app.scope\n"
V1 = "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        (V2, {"user.slice:app.scope:cpu.max": "150000 100000\n"}, 1.5),
        (V2, {"user.slice:app.scope:cpu.max": "max 100000\n"}, None),
        (V2, {"user.slice:cpu.max": "50000 100000\n", "user.slice:app.scope:cpu.max": "400000 100000\n"}, 0.5),
        (V2, {"user.slice:cpu.max": "400000 100000\n", "user.slice:app.scope:cpu.max": "max 100000\n"}, 4),
        (V2, {"other:cpu.max": "50000 100000\n"}, None),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/../..\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/not/in/sight\n", {"cpu.max": "300000 100000\n"}, 3),
        (V1, {"cpu,cpuacct:docker:abc:cpu.cfs_quota_us": "250000\n",
              "cpu,cpuacct:docker:abc:cpu.cfs_period_us": "100000\n"}, 2.5),
        (V1, {"cpu,cpuacct:cpu.cfs_quota_us": "100000\n", "cpu,cpuacct:cpu.cfs_period_us": "50000\n"}, 2),
        (V1, {"cpu,cpuacct:cpu.cfs_quota_us": "-1\n", "cpu,cpuacct:cpu.cfs_period_us": "50000\n"}, None),
        (V1, {"cpu,cpuacct:cpu.cfs_quota_us": "100000\n"}, None),
        (V1, {"cpuset:cpu.cfs_quota_us": "100000\n", "cpuset:cpu.cfs_period_us": "50000\n"}, None),
        ("1:cpu:/a\n", {"cpu:a:cpu.cfs_quota_us": "70000\n", "cpu:a:cpu.cfs_period_us": "100000\n"}, 0.7),
        (V1 + "0::/docker/abc\n", {"unified:docker:abc:cpu.max": "max 100000",
                                   "cpu,cpuacct:cpu.cfs_quota_us": "300000", "cpu,cpuacct:cpu.cfs_period_us": "100000"},
         3),
        (V2, {"user.slice:app.scope:cpu.max": ""}, None),
        (V2, {"user.slice:app.scope:cpu.max": "0 0"}, None),
        (V2, {"user.slice:app.scope:cpu.max": "abc def"}, None),
        ("", {}, None),
        ("what is this\n\n::\n", {"cpu.max": "max 1"}, None),
    ],
)  # fmt: skip
def test_quota(tmp_path, groups, files, quota):
    root = tree(tmp_path, groups, **files)
    assert _processors.quota(root) == quota


def test_no_control_groups(tmp_path):
    assert _processors.quota(tmp_path) is None
    assert _processors.usable(tmp_path) == _processors.in_affinity()


@pytest.mark.parametrize(("quota", "count"), [(20_000, 1), (100_000, 1), (100_001, 2), (250_000, 3), (10**9, 8)])
def test_usable(tmp_path, monkeypatch, quota, count):
    """Rounded up, at least one, at most the affinity's."""
    monkeypatch.setattr(_processors, "in_affinity", lambda: 8)
    assert _processors.usable(tree(tmp_path, "0::/", **{"cpu.max": f"{quota} 100000"})) == count


PROGRAM = """
import os, sys
import cnnx
from cnnx import _processors
_processors.in_affinity = lambda: 3
_processors.quota = lambda root=None: {quota}
print(cnnx.get_num_threads(), end=" ")
cnnx.set_num_threads(4)
print(cnnx.get_num_threads())
"""


@pytest.mark.usefixtures("needs_threads")
@pytest.mark.parametrize(
    ("quota", "environment", "count"),
    [
        (0.5, {}, 1),
        (1.0, {}, 1),
        (0.5, {"OMP_NUM_THREADS": "3"}, 3),
        (0.5, {"CNNX_NUM_THREADS": "2"}, 2),
        (None, {"CNNX_NUM_THREADS": "2"}, 2),
    ],
)
def test_the_start_value_heeds_the_quota_unless_somebody_said_a_number(quota, environment, count):
    clean = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "CNNX_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(quota=quota)],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == [str(count), "4"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity to set")
def test_the_start_value_heeds_the_affinity():
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); import cnnx; print(cnnx.get_num_threads())"
    )
    clean = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "CNNX_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "1"
