"""A framework's own process: `python -m peers.worker torch`. It is asked in lines of JSON and answers alike.

{"do": "about"}                             versions, threads
{"do": "prepare", "figure": KEY, "save": PATH}   one call, its result saved; then warm
{"do": "turn", "calls": n}                  seconds of n calls
{"do": "limit", "name": "copy"}             as prepare, for the limits' worker

Between two questions it waits in a read: nothing runs.
"""

import gc
import importlib
import json
import os
import sys
import time
from typing import Any, TextIO

import numpy as np

from .figures import FIGURES, Call

WARM = 0.05  # seconds of calls before the first turn
LONG = 0.1  # seconds of a call that needs no other before it


class Worker:
    """What `main` asks; `framework` is the module of_...."""

    def __init__(self, framework: Any) -> None:
        self.framework = framework
        self.call: Call = lambda: None
        self.seconds = 0.0  # of a call, about

    def about(self) -> dict[str, Any]:
        about: dict[str, Any] = self.framework.about()
        return about

    def prepare(self, figure: str, save: str) -> dict[str, Any]:
        """Compute the figure once, save the result (NumPy's .npz), and say how long a call takes."""
        self.call = lambda: None  # what the last figure held goes before the next one is made
        wanted = FIGURES[figure]
        arrays = wanted.arrays()
        try:
            self.call = self.framework.prepare(wanted, arrays)
            result = getattr(self.call, "result", self.call)()
        except (NotImplementedError, ValueError) as error:
            return {"missing": " ".join(str(error).split())}
        np.savez(save, *as_arrays(result))
        del result
        return {"seconds": self.warm()}

    def limit(self, name: str, **numbers: int) -> dict[str, Any]:
        self.call = getattr(self.framework, name)(**numbers)
        self.call()
        return {"seconds": self.warm()}

    def warm(self) -> float:
        """Seconds that a call takes, about."""
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < WARM or not count:
            self.seconds = self.turn(1)["seconds"]
            count += 1
        return self.seconds

    def turn(self, calls: int) -> dict[str, float]:
        """Seconds of one call, from `calls` of them."""
        call = self.call
        if self.seconds < LONG:  # the other process had the caches, and its threads may be asleep
            call()
        gc.collect(0)
        gc.disable()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        seconds = (time.perf_counter() - start) / calls
        gc.enable()
        return {"seconds": seconds}


def as_arrays(result: Any) -> list[np.ndarray]:
    """One array, number or tensor, or several of them; what was not asked for is None."""
    parts = result if isinstance(result, (list, tuple)) else [result]
    return [np.asarray(part) for part in parts if part is not None]


def serve(worker: Worker, questions: TextIO, answers: TextIO) -> None:
    """Answer until the other side closes."""
    for line in questions:
        asked = json.loads(line)
        try:
            answer = getattr(worker, asked.pop("do"))(**asked)
        except Exception as error:  # the parent says so and goes on with the next figure
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(name: str) -> None:
    """Serve on what were stdin and stdout; what a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        framework = importlib.import_module(f"peers.of_{name}")
    except ImportError as error:
        answers.write(json.dumps({"absent": f"{error}"}) + "\n")
        return
    answers.write(json.dumps({"ready": framework.about()}) + "\n")
    answers.flush()
    try:
        serve(Worker(framework), sys.stdin, answers)
    except BrokenPipeError:  # Ctrl-C at the other side
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
