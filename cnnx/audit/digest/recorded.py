"""The digests that this release gives, by the instruction set of the kernels."""

import json
from pathlib import Path
from typing import Any

from ... import native as _native
from ..._files import replacing

FILE = Path(__file__).with_name("expected.json")
SCHEMA = 1
OTHERS = "v3"  # what back ends that have no instruction set of cnnx's are held against


def kind(backend: str) -> str:
    """The instruction set whose digests a back end is held against."""
    return _native.instruction_set() if backend == "optimized" else OTHERS


def expected(which: str) -> dict[str, dict[str, str]]:
    """Of an instruction set: "lines", by name, and "short", by op; empty where none were recorded."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return {name: found.get(which, {}).get(name, {}) for name in ("lines", "short")}


def write(which: str, lines: dict[str, str], short: dict[str, str], version: str) -> None:
    """Record digests as the expected ones, beside those of other instruction sets."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    found |= {"schema": SCHEMA, "cnnx": version, which: {"lines": lines, "short": short}}
    with replacing(str(FILE)) as file:
        file.write((json.dumps(dict(sorted(found.items())), indent=1) + "\n").encode())
