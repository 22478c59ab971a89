"""One side of a comparison, in a process of its own: `python worker.py cnnx`, or a peer's name.

It is asked in lines of JSON and answers alike; between two questions it waits in a read, and nothing runs.

    {"do": "about"}
        versions, and where it comes from
    {"do": "prepare", "op", "direction", "arrays": FILE, "options", "threads", "save": FILE}
        one call, its result saved; then calls until it is warm: {"seconds": of a call}, or {"missing": why}.
        A direction is "forward", "backward", "both" (a cost and its gradient), one gradient of several by the name of
        its kernel ("grad_input"), or "update" of a network's parameters
    {"do": "limit", "multiply_adds", "bytes", "dtype"}
        the machine's limit of that work: {"bound": which}
    {"do": "turn", "what": "call" or "limit"}
        {"seconds": of a call, or of the work at the limit}

It is run by its path and needs NumPy, cnnx's public functions and, for one gradient alone, `cnnx.backend.intercept`, so
that it can also measure builds of cnnx that are older than this file. Only what is asked for limits and peers needs
cnnx.bench.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from . import timing
else:  # by its path, as the cnnx that is measured may have none
    _spec = importlib.util.spec_from_file_location("_cnnx_timing", Path(__file__).with_name("timing.py"))
    timing = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(timing)

LEARNING_RATE = 0.01

Arrays = dict[str, np.ndarray]
Answer = dict[str, Any]


class Side(Protocol):
    """A framework; peers are modules of these functions."""

    def about(self) -> dict[str, str]:
        """Versions."""

    def set_threads(self, n: int) -> None:
        """Compute with so many."""

    def prepare(self, op: str, direction: str, arrays: Arrays, options: Answer) -> Callable[[], Any]:
        """The call to be timed; NotImplementedError says that there is no such thing."""

    def result(self, returned: Any) -> list[np.ndarray]:
        """What the call returned, as arrays."""


@dataclass(frozen=True)
class Update:
    """A call that changes parameters, of which `read` gives copies; its result is what three of them add."""

    step: Callable[[], Any]
    read: Callable[[], list[Any]]

    def __call__(self) -> None:
        self.step()

    def result(self) -> tuple[Any, ...]:
        before = self.read()
        for _ in range(3):
            self.step()
        return tuple(now - then for now, then in zip(self.read(), before, strict=True))


class Cnnx:
    """Calls of cnnx's public functions, and what is a part of one or several."""

    def __init__(self) -> None:
        import cnnx

        self.cnnx: Any = cnnx

    def about(self) -> dict[str, str]:
        return {"cnnx": getattr(self.cnnx, "__version__", "unknown"), "path": os.path.dirname(self.cnnx.__file__)}

    def set_threads(self, n: int) -> None:
        self.cnnx.set_num_threads(n)

    def prepare(self, op: str, direction: str, arrays: Arrays, options: Answer) -> Callable[[], Any]:
        if direction == "update":
            return self._update(op, arrays, options)
        if direction == "both":
            forward, backward = self._public(op), self._public(f"{op}_backward")
            call, back = as_written(forward, arrays, options), as_written(backward, arrays, options)
            return lambda: (call(), back())
        function = self._public(op if direction == "forward" else f"{op}_backward")
        call = as_written(function, arrays, options)
        return call if direction in ("forward", "backward") else self._kernel(f"{op}_{direction}", call)

    def _public(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] | None = getattr(self.cnnx, name, None)
        if found is None:
            raise NotImplementedError(f"it has no {name}")
        return found

    def _kernel(self, name: str, call: Callable[[], Any]) -> Callable[[], Any]:
        """The kernel `name` as `call` calls it, but with a new output each time: one of several gradients, alone."""
        found: list[tuple[Callable[..., None], tuple[Any, ...], Answer]] = []

        def note(asked: str, kernel: Callable[..., None]) -> Callable[..., None]:
            def noting(*arrays: Any, **numbers: Any) -> None:
                if asked == name:
                    found.append((kernel, arrays, numbers))
                kernel(*arrays, **numbers)

            return noting

        with self.cnnx.backend.intercept(note):
            call()
        if not found:
            raise NotImplementedError(f"the public call does not use the kernel {name}")
        kernel, (*inputs, output), numbers = found[-1]
        shape, dtype, empty = output.shape, output.dtype, np.empty

        def once() -> Any:
            made = empty(shape, dtype)
            kernel(*inputs, made, **numbers)
            return made

        return once

    def _update(self, network: str, arrays: Arrays, options: Answer) -> Callable[[], Any]:
        """An update of a network's parameters as `cnnx.nn.fit` does it, in buffers that are used again."""
        nn = importlib.import_module(f"{self.cnnx.__name__}.nn")
        x, target = arrays.pop("x"), arrays.pop("target")
        model = getattr(nn, network)(**options, dtype=x.dtype).reuse_buffers()
        cost, optimizer = nn.CrossEntropy().reuse_buffers(), nn.SGD(LEARNING_RATE)
        for name, value in arrays.items():
            model.parameters[name][...] = value
        learnt = [model.parameters[name] for name in arrays]
        model.train()

        def step() -> None:
            cost.forward(model.forward(x), target)
            model.backward(cost.backward(), input_grad=False)
            optimizer.step(model)

        return Update(step, lambda: [parameter.copy() for parameter in learnt])

    def result(self, returned: Any) -> list[np.ndarray]:
        parts = returned if isinstance(returned, tuple) else [returned]
        return [np.asarray(part) for part in parts if part is not None]


def as_written(function: Callable[..., Any], arrays: Arrays, options: Answer) -> Callable[[], Any]:
    """The call as users write it, arrays by position as far as that goes: tiny calls notice how they are passed."""
    named, positional = dict(arrays), []
    for name, parameter in signature(function).parameters.items():
        if name not in named or parameter.kind is parameter.KEYWORD_ONLY:
            break
        positional.append(named.pop(name))
    return partial(function, *positional, **named, **options)


class Worker(timing.Timed):
    """What `serve` asks."""

    def __init__(self, side: Side) -> None:
        super().__init__()
        self.side = side
        self.limit: Any = None
        self.amount = 0.0  # work at the limit

    def answer(self, name: str, asked: Answer) -> Answer:
        return super().answer("limit_of" if name == "limit" else name, asked)

    def about(self) -> dict[str, str]:
        return self.side.about()

    def prepare(self, op: str, direction: str, arrays: str, options: Answer, threads: int, save: str | None) -> Answer:
        self.forget()  # what the last figure held goes before the next one is made
        self.limit = None
        self.side.set_threads(threads)
        with np.load(arrays) as file:
            loaded = {name: file[name] for name in file.files}
        try:
            self.call = self.side.prepare(op, direction, loaded, {k: tuples(v) for k, v in options.items()})
            result = getattr(self.call, "result", self.call)()
        except (NotImplementedError, TypeError, ValueError) as error:  # an older cnnx may lack an option
            return {"missing": " ".join(str(error).split()) or type(error).__name__}
        if save is not None:
            np.savez(save, *self.side.result(result))
        del result
        return {"seconds": self.warm()}

    def limit_of(self, multiply_adds: int, bytes: int, dtype: str) -> Answer:
        from cnnx.bench import limits

        name, self.limit, self.amount = limits.binding((multiply_adds, bytes), dtype)
        return {"bound": name}

    def turn(self, what: str = "call") -> Answer:
        if what == "limit":
            self.limit.call()
            return {"seconds": self.limit.seconds() * self.amount}
        return super().turn(what)


def tuples(value: Any) -> Any:
    """JSON has lists where cnnx has tuples."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def main(name: str) -> None:
    """Serve on what were stdin and stdout; what a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        side: Any = Cnnx() if name == "cnnx" else importlib.import_module(f"cnnx.bench.peers.of_{name}")
        worker = Worker(side)
        first: Answer = {"ready": worker.about()}
    except ImportError as error:
        first = {"absent": str(error)}
    try:
        timing.send(first, answers)
        if "ready" in first:
            timing.serve(worker, sys.stdin, answers)
    except BrokenPipeError:  # Ctrl-C at the other side
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
