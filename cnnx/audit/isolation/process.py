"""A back end in a process of its own, asked for its kernels from here."""

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Array
from ..supervise import START, death
from ..trace import BreachError, ContractError, inputs_count, parameter_names
from .arena import LARGE, LINE, NOT_A_NUMBER, Arena, Layout
from .words import error_of, fault_of, said_of, where_beyond

SIZE = 1 << 28  # bytes of shared memory, of which only those in use are there; more where a call needs more
LAYOUTS = 512  # that are kept: beyond these, all begin anew
HANGS, DEATHS = 3, 20  # of a kernel, after which it is not called any more
PATTERNS = 0x4000


class LoadError(Exception):
    """A back end cannot be loaded, which the message says."""


class Process:
    """The back end's process: started when it is first needed, and again after it died.

    Parameters
    ----------
    candidate : mapping
        What to load, as `child.py` takes it.
    limit : float
        Seconds that a call may take.
    who : str
        Its name, for messages.
    """

    def __init__(self, candidate: Mapping[str, str], limit: float, who: str) -> None:
        self._candidate, self._limit, self._who = dict(candidate), limit, who
        self._process: Any = None
        self._arena: Arena | None = None
        self._size = SIZE
        self._layouts: dict[Any, Layout] = {}
        self._last: tuple[str, Layout] | None = None
        self._threads = self._count = 0
        self._hangs: Counter[str] = Counter()
        self._deaths: Counter[str] = Counter()
        self._ended: dict[str, str] = {}  # by kernel, how it did last
        self.about: dict[str, Any] = {}

    def start(self) -> None:
        """Start it.

        Raises
        ------
        LoadError
            The back end cannot be loaded there.
        """
        self._arena = Arena(self._size)
        (theirs, self._requests), (self._answers, said) = os.pipe(), os.pipe()
        shared = self._arena.to_share()
        command = [sys.executable, "-P", str(Path(__file__).with_name("child.py")), str(theirs), str(said)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs, said, *shared),
                close_fds=True,
                start_new_session=True,  # so that what it started ends with it
            )
        finally:
            for descriptor in (theirs, said, *shared):
                os.close(descriptor)
        load: dict[str, Any] = {"path": sys.path, "candidate": self._candidate, "descriptors": shared}
        try:
            before, self.about = self.about, {}
            self.about = self._ask("", "load", self._limit + START, size=self._size, **load)
            if before and before.get("contracts") != self.about.get("contracts"):
                raise BreachError("its contracts are others when it is loaded again")
            if self._threads:
                self._ask("", "threads", self._limit, count=self._threads)
        except Exception as error:
            self.close()
            raise LoadError(f"{self._who} cannot be loaded in a process of its own: {said_of(error)}") from None

    def close(self) -> None:
        """End it; the next call starts another."""
        if self._process is not None:
            if self._process.poll() is None:  # as long as it is not reaped its number is nobody else's
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for descriptor in (self._requests, self._answers):
                os.close(descriptor)
        if self._arena is not None:
            self._arena.close()
        self._process = self._arena = self._last = None
        self._layouts.clear()

    def threads(self, count: int) -> None:
        """Have its kernels use so many threads; 0: as many as it likes."""
        self._threads = count
        if self._process is not None:
            self._ask("", "threads", self._limit, count=count)

    # ------------------------------------------------------------------------------------ runs

    def run(self, kernel: str, dtype: str, arrays: Sequence[Array], numbers: Mapping[str, Any], where: str) -> Layout:
        """Run a kernel on the inputs among its arrays. The layout has what it gave, until the next run.

        Raises
        ------
        BreachError, ContractError
            It did what no kernel may; it hung; its process died.
        cnnx.backend.MissingKernelError
            It says that it does not compute this.
        """
        inputs, layout = self.prepared(kernel, dtype, arrays, numbers, where)
        self.fill(layout, inputs, large=False)
        return self.ran(kernel, [layout])[0]

    def prepared(
        self, kernel: str, dtype: str, arrays: Sequence[Array], numbers: Mapping[str, Any], where: str
    ) -> tuple[Sequence[Array], Layout]:
        """The inputs among a kernel's arrays, and where they will lie: the same objects at the same addresses for the
        same shapes and numbers."""
        count = inputs_count(kernel)
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in numbers.items()}
        said = {"kernel": kernel, "dtype": dtype, "numbers": plain}
        shapes = [(a.shape, a.strides, a.dtype.str, a.__array_interface__["data"][0] % LINE) for a in arrays]
        return arrays[:count], self.laid_out(said, arrays[:count], arrays[count:], where, repr((said, shapes, where)))

    def laid_out(
        self,
        said: dict[str, Any],
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        where: str,
        key: str,
        ends: Sequence[int] = (0, 0),
    ) -> Layout:
        """A layout, kept under a key."""
        if self._process is None:
            self.start()
        names = said["contract"]["names"] if "contract" in said else parameter_names(said["kernel"])
        if key not in self._layouts:
            if len(self._layouts) > LAYOUTS:
                self._check_last()
                self._layouts.clear()
                self._ask("", "forget", self._limit)
            assert self._arena is not None
            try:
                self._layouts[key] = self._arena.layout(str(self._next()), said, inputs, outputs, where, ends, names)
            except MemoryError as error:
                self._check_last()
                self.close()
                self._size = 1 << int(str(error)).bit_length()
                return self.laid_out(said, inputs, outputs, where, key, ends)
        return self._layouts[key]

    def fill(self, layout: Layout, inputs: Sequence[Array], *, large: bool) -> None:
        """Lay out inputs for a run. Outputs hold another number each time: a large one, or one of the NaNs."""
        self._check_last()
        layout.fill(inputs, (LARGE if large else NOT_A_NUMBER) + 1 + self._next() % PATTERNS)

    def guard_all(self, layouts: Sequence[Layout]) -> None:
        """Have all guards of a batch stand while any of it runs, since to set them takes time."""
        if not all(layout.known for layout in layouts):
            guards = [guard for layout in layouts for guard in layout.said["guards"]]
            for layout in layouts:
                layout.said["guards"] = guards

    def _next(self) -> int:
        self._count += 1
        return self._count

    def ran(self, kernel: str, layouts: list[Layout]) -> list[Layout]:
        """Run what has been laid out, one after the other, and see what else it did."""
        self.send(kernel, layouts)
        self.settle(kernel, layouts)
        return layouts

    def send(self, kernel: str, layouts: list[Layout]) -> float:
        """Run, and nothing else; seconds from the request to the answer, by the clock of this process."""
        if self._hangs[kernel] >= HANGS or self._deaths[kernel] >= DEATHS:
            raise BreachError(f"{self._ended[kernel]}; it does so again and again, and is not called any more")
        new = {layout.name: layout.said for layout in layouts if not layout.known}
        for layout in layouts:
            layout.known = True
        start = time.perf_counter()
        answer = self._ask(kernel, "run", self._limit, layouts[-1], runs=[layout.name for layout in layouts], new=new)
        seconds = time.perf_counter() - start
        self._began = answer["began"]
        self._tell_late(kernel, answer)
        if answer["flushing"]:
            self.close()
            raise ContractError(f"kernel {kernel} switched flush-to-zero on and left it on")
        if answer["returned"]:
            raise ContractError(f"kernel {kernel}: expected None, got {answer['returned']}")
        return seconds

    def settle(self, kernel: str, layouts: list[Layout]) -> None:
        """What came after a run: threads that it left, what was written beside the outputs or after it had returned."""
        if self._began:
            self._tell_late(kernel, self._ask(kernel, "settle", self._limit))
        for layout in layouts:
            outputs = layout.names[len(layout.inputs) :]
            if (spilt := layout.spilt()) is not None:
                i, at = spilt
                self.close()
                raise BreachError(f"kernel {kernel} wrote {where_beyond(at, outputs[i])}")
            self._last = kernel, layout
            self._check_last()
        self._last = kernel, layouts[-1]

    def _check_last(self) -> None:
        """Whether the run before wrote to its outputs after it had returned."""
        last, self._last = self._last, None
        if last is not None and (i := last[1].late()) is not None:
            self._tell_late(last[0], {"late": last[1].names[len(last[1].inputs) + i]})

    def _tell_late(self, kernel: str, answer: Mapping[str, Any]) -> None:
        if answer["late"] is not None:
            self.close()
            raise BreachError(
                f"kernel {kernel} still wrote to {answer['late']} after it had returned: a thread goes on"
            )

    def _note(self, answer: Mapping[str, Any], who: str) -> None:
        """What it did that no kernel has to do."""
        if answer["asked"]:
            raise BreachError(f"{who} imports {answer['asked'][0]}, which has or judges the answer")
        if answer["replaced"]:
            raise BreachError(f"{who} replaces {answer['replaced'][0]}, by which it might be measured or judged")

    # ----------------------------------------------------------------------------- messages

    def _ask(self, kernel: str, what: str, limit: float, layout: Layout | None = None, **words: Any) -> dict[str, Any]:
        message = json.dumps({"do": what, **words}).encode()
        end = time.monotonic() + limit
        try:
            _write(self._requests, struct.pack("=I", len(message)) + message)
            size = struct.unpack("=I", self._read(4, end))[0]
            answer: dict[str, Any] = json.loads(self._read(size, end))
        except (TimeoutError, EOFError, BrokenPipeError, ValueError) as error:
            if isinstance(error, TimeoutError):
                self._hangs[kernel] += 1
                end_of_it = f"hangs: no result after {limit:g} s"
            else:
                self._deaths[kernel] += 1
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(START)
                end_of_it = f"ended its process: {death(self._process.returncode)}"
            self.close()
            self._ended[kernel] = f"kernel {kernel} {end_of_it}" if kernel else end_of_it
            raise BreachError(self._ended[kernel]) from None
        except BaseException:  # Ctrl-C: what comes next would be the answer to this request
            self.close()
            raise
        if "fault" in answer:
            self._deaths[kernel] += 1
            starts = self.about["starts"] if self.about else [0, 0]
            self.close()
            self._ended[kernel] = f"kernel {kernel} {fault_of(answer, layout, starts)}"
            raise BreachError(self._ended[kernel])
        self._note(answer, f"kernel {kernel}" if kernel else "while it is imported, it")
        if "error" in answer:
            raise error_of(kernel, answer["error"])
        return answer

    def _read(self, size: int, end: float) -> bytes:
        found = b""
        while len(found) < size:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise TimeoutError
            part = os.read(self._answers, size - len(found))
            if not part:
                raise EOFError
            found += part
        return found


def _write(descriptor: int, message: bytes) -> None:
    while message:
        message = message[os.write(descriptor, message) :]
