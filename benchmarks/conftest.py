"""The table that follows pytest-benchmark's own: what the optimized back end gains over the reference."""

from typing import Any

import pytest

SPEED_UPS = pytest.StashKey[list[tuple[str, ...]]]()


@pytest.fixture
def speed_ups(request: pytest.FixtureRequest) -> list[tuple[str, ...]]:
    """Rows of the table: op, case, direction, time of the reference, of the optimized back end, their ratio."""
    return request.config.stash.setdefault(SPEED_UPS, [])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    measured = config.stash.get(SPEED_UPS, [])
    if not measured:
        return
    rows = [("op", "case", "direction", "reference", "optimized", "speed-up"), *measured]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    terminalreporter.section("speed-up over the reference (float32, 1 thread, medians)")
    for row in rows:
        cells = [cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        terminalreporter.write_line("  ".join(cells))
