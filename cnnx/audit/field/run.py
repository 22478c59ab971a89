"""Ask engines, each in processes of its own, as one may end another."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from .child import MARK
from .questions import QUESTIONS

THREADS = "threads_bits"  # the answers of two processes, compared
CHILD = ("-m", "cnnx.audit.field.child")
SECONDS = 600.0  # for all questions of an engine: some compile a kernel for each


class Answers(NamedTuple):
    """What came of an engine: its version, "" if it is not installed, why not, and the answers by question."""

    version: str
    why_not: str
    answers: dict[str, str]


def ask(engine: str, keys: Iterable[str] = QUESTIONS, *, seconds: float = SECONDS) -> Answers:
    """The answers of an engine; a process that ends or hangs at a question is the answer to it."""
    left, found, version = list(keys), dict[str, str](), ""
    threads = THREADS in left
    left = [key for key in left if key != THREADS]
    while left:
        said, ended, last = child((*CHILD, engine, "0", *left), seconds)
        version = version or next((one["version"] for one in said if "version" in one), "")
        if not version:
            return Answers("", last, {})
        new = {one["key"]: one["answer"] for one in said if "key" in one}
        asked = [one["asked"] for one in said if "asked" in one]
        if ended and asked and asked[-1] not in new:
            new[asked[-1]] = ended
        if not new:
            return Answers(version, last, found)
        found |= new
        left = [key for key in left if key not in new]
    if threads:
        found[THREADS] = _threads(engine, seconds)
    return Answers(version, "", {key: found[key] for key in keys if key in found})


def _threads(engine: str, seconds: float) -> str:
    digests = []
    for n in (1, 2):
        said, ended, _ = child((*CHILD, engine, str(n), THREADS), seconds)
        found = next((one["answer"] for one in said if "key" in one), ended)
        if len(found) != 64:  # not a digest but a reason
            return found
        digests.append(found)
    return "yes" if digests[0] == digests[1] else "no"


def child(arguments: Iterable[str], seconds: float) -> tuple[list[dict[str, Any]], str, str]:
    """What a process of Python said, how it ended if that was not as it should, and the last line of its errors."""
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
                              env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})  # fmt: skip
        output, errors, code = done.stdout, done.stderr, done.returncode
        ended = ""
        if code < 0:
            ended = f"ends the process ({signal.Signals(-code).name})"
        elif code:
            ended = f"ends the process (exit code {code})"
    except subprocess.TimeoutExpired as late:
        output, errors = (_text(stream) for stream in (late.stdout, late.stderr))
        ended = f"no answer within {seconds:g} s"
    said = [json.loads(line.removeprefix(MARK)) for line in output.splitlines() if line.startswith(MARK)]
    return said, ended, (errors.strip().splitlines() or [ended])[-1]


def _text(stream: "bytes | str | None") -> str:
    return stream.decode(errors="replace") if isinstance(stream, bytes) else stream or ""
