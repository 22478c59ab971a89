"""The table after pytest-benchmark's own: the optimized back end beside the machine's limit and the reference."""

from typing import Any

import pytest

from cnnx._text import aligned
from cnnx.bench.fingerprint import fingerprint

HEADER = ("op", "case", "direction", "threads", "time", "GFLOP/s", "GB/s", "share of limit", "speed-up")
SPEED_UPS = pytest.StashKey[list[tuple[str, ...]]]()


@pytest.fixture
def speed_ups(request: pytest.FixtureRequest) -> list[tuple[str, ...]]:
    """Rows of the table: what `HEADER` names."""
    return request.config.stash.setdefault(SPEED_UPS, [])


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """What `cnnx bench --compare` tells machines apart by."""
    machine_info["cnnx"] = fingerprint()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    measured = config.stash.get(SPEED_UPS, [])
    if not measured:
        return
    terminalreporter.section("optimized back end (float32, medians; ~: reference's time from one row of its output)")
    for line in aligned([HEADER, *measured], left=3):
        terminalreporter.write_line(line)
