"""The sides of sweep.py, each in a process of its own: `sweep_sides.py NAME`, asked as bench's workers are.

cnnx keeps what a layer keeps (a norm's statistics), torch computes in either of its layouts, and a busy machine is
passed over by processor time (SWEEP_CPU=1).
"""

import contextlib
import importlib
import json
import os
import sys
import time
from functools import partial
from types import SimpleNamespace

from cnnx.bench import worker as serving


class Cnnx(serving.Cnnx):
    """The public calls, a norm's backward with the statistics that its forward call returns."""

    def prepare(self, op, direction, arrays, options):
        if direction == "backward" and (op.endswith("group_norm") or op.startswith(("batch", "instance", "layer"))):
            forward = self._public(op)
            kept = {name: a for name, a in arrays.items() if name != "grad_output"}
            if "bias" not in kept:
                kept["bias"] = kept["weight"]
            returned = forward(**kept, **options, return_statistics=True)
            options = {**options, "statistics": returned[1]}
        return super().prepare(op, direction, arrays, options)


def torch_last():
    """torch in channels last, wherever there are four axes."""
    peer = importlib.import_module("cnnx.bench.peers.of_torch")
    prepare = partial(peer.prepare, channels_last=True)
    return SimpleNamespace(about=peer.about, set_threads=peer.set_threads, prepare=prepare, result=peer.result)


SIDES = {
    "cnnx": Cnnx,
    "torch": lambda: importlib.import_module("cnnx.bench.peers.of_torch"),
    "torch-nhwc": torch_last,
}


class Timed(serving.Worker):
    """A worker whose clock may be the processor's."""

    clock = staticmethod(time.process_time if os.environ.get("SWEEP_CPU") else time.perf_counter)

    def timed(self, count):
        call, clock = self.call, self.clock
        start = clock()
        for _ in range(count):
            call()
        return (clock() - start) / count


def serve(name):
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        worker = Timed(SIDES[name]())
        first = {"ready": worker.about()}
    except ImportError as error:
        worker, first = None, {"absent": str(error)}
    with contextlib.suppress(BrokenPipeError):  # Ctrl-C at the other side
        print(json.dumps(first), file=answers, flush=True)
        if worker is not None:
            serving.timing.serve(worker, sys.stdin, answers)


if __name__ == "__main__":
    serve(sys.argv[1])
