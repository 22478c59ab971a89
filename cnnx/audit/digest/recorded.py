"""The digests that this release gives: one set with fused multiply-adds, on every processor, and one without."""

import json
from pathlib import Path
from typing import Any

from ... import native as _native
from ..._files import replacing

FILE = Path(__file__).with_name("expected.json")
SCHEMA = 1
FMA, NO_FMA = "fused multiply-add", "no fused multiply-add"


def kind(backend: str) -> str:
    """Which digests a back end is held against."""
    return NO_FMA if backend == "optimized" and not _native.has_fma() else FMA


def expected(which: str) -> dict[str, dict[str, str]]:
    """Of a kind: "lines", by name, and "short", by op; empty where none were recorded."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return {name: found.get(which, {}).get(name, {}) for name in ("lines", "short")}


def write(which: str, lines: dict[str, str], short: dict[str, str], version: str) -> None:
    """Record digests as the expected ones, beside those of the other kind."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    found |= {"schema": SCHEMA, "cnnx": version, which: {"lines": lines, "short": short}}
    with replacing(str(FILE)) as file:
        file.write((json.dumps(dict(sorted(found.items())), indent=1) + "\n").encode())
