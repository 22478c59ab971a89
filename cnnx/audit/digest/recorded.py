"""The digests that this release gives: of kernels with fused multiply-adds, and of those for x86-64-v2, without."""

import json
from pathlib import Path
from typing import Any

from ... import native as _native
from ..._files import replacing

FILE = Path(__file__).with_name("expected.json")
SCHEMA = 1
FMA = "fma"


def kind(backend: str) -> str:
    """Which of the two a back end is held against: "fma", or "v2" where cnnx's own kernels have none."""
    mine = _native.instruction_set() if backend == "optimized" else ""
    return mine if mine in _native.WITHOUT_FMA else FMA


def expected(which: str) -> dict[str, dict[str, str]]:
    """Of "fma" or "v2": "lines", by name, and "short", by op; empty where none were recorded."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return {name: found.get(which, {}).get(name, {}) for name in ("lines", "short")}


def write(which: str, lines: dict[str, str], short: dict[str, str], version: str) -> None:
    """Record digests as the expected ones, beside those of the other kind."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    found |= {"schema": SCHEMA, "cnnx": version, which: {"lines": lines, "short": short}}
    with replacing(str(FILE)) as file:
        file.write((json.dumps(dict(sorted(found.items())), indent=1) + "\n").encode())
