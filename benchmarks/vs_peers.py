"""How fast is cnnx beside torch and onnxruntime? Prints the ratios and what was to be reached; see README.md here.

    python benchmarks/vs_peers.py [--only conv,pool] [--threads 1 2] [--seconds 2] [--json FILE]

Exit code 0: measured, whatever the figures are; 1: results disagree or a figure failed; 2: usage, or a framework is
not installed; 130: Ctrl-C, after what was measured so far.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out

from peers import memory, report
from peers.figures import FIGURES, GROUPS
from peers.measure import Measured, Worker, environment, limits, measure

from cnnx.bench.process import AbsentError, WorkerError

PEERS = ("torch", "onnxruntime")
BUSY = 0.5  # processes that run or wait to run, over the last minute


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and return the exit code."""
    options = parsed(argv)
    if options.memory:
        return memory.main(options.threads, options.isa, markdown=options.markdown)
    run = Run(options)
    try:
        code = run.all()
    except KeyboardInterrupt:
        print("\ninterrupted: this is what was measured", file=sys.stderr)
        code = 130
    except AbsentError as error:
        return _error(f"{error}; the extra peers has the frameworks: pip install 'cnnx[peers]'")
    except WorkerError as error:
        return _error(str(error))
    run.report(interrupted=code == 130)
    return code


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="vs_peers.py", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--peer", nargs="+", choices=PEERS, default=["torch"], help="what to compare with (default torch)")
    add("--threads", nargs="+", type=_at_least_one, default=[1, 2], metavar="N", help="default 1 2")
    add("--only", type=_groups, default=list(GROUPS), metavar="GROUPS", help=f"some of {','.join(GROUPS)}")
    add("--figure", action="append", metavar="NAME", help='only this figure of the tables ("conv D"); again for more')
    add("--seconds", type=_seconds, default=2.0, metavar="S", help="of measuring per figure (default 2)")
    add("--isa", choices=("v2", "v3", "v4"), help="kernels for this instruction set, and torch limited to it")
    add("--default-malloc", action="store_true", help="let freed memory go back to the system after every call")
    add("--memory", action="store_true", help="measure the memory that cnnx.conv2d needs, and nothing else")
    add("--json", type=Path, metavar="FILE", help="write the whole record there")
    add("--markdown", action="store_true", help="print tables in Markdown")
    options = parser.parse_args(argv)
    if options.isa in ("v2", "v3") and "onnxruntime" in options.peer:
        parser.error("--isa: onnxruntime cannot be limited to an instruction set")
    unknown = [name for name in options.figure or () if name not in FIGURES]
    if unknown:
        parser.error(f"--figure: there is no {unknown[0]!r}; there are {', '.join(FIGURES)}")
    return options


def _groups(text: str) -> list[str]:
    wanted = text.split(",")
    for name in wanted:
        if name not in GROUPS:
            raise argparse.ArgumentTypeError(f"expected some of {','.join(GROUPS)}, got {name!r}")
    return wanted


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return value


def _error(text: str) -> int:
    print(f"vs_peers.py: error: {text}", file=sys.stderr)
    return 2


class Run:
    """One run: its options, and what was found so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.figures = [
            figure
            for figure in FIGURES.values()
            if (figure.key in options.figure if options.figure else figure.group in options.only)
        ]
        self.results: list[Measured] = []
        self.failed: list[str] = []
        self.limits: dict[int, dict[str, list[float]]] = {}
        self.abouts: dict[int, dict[str, Any]] = {}
        self.environments: dict[int, dict[str, dict[str, str]]] = {}
        self.isa: str | None = options.isa  # that the kernels use: targets differ
        self.started = time.time()
        self.load = os.getloadavg() if hasattr(os, "getloadavg") else None

    def all(self) -> int:
        """Measure everything; the exit code."""
        if self.load is not None and self.load[0] > BUSY:
            print(f"the machine is busy (load {self.load[0]:.1f}): figures will be noisy", file=sys.stderr)
        for threads in self.options.threads:
            self._with(threads)
        wrong = [m for m in self.results if not all(map(m.agrees, m.apart))]
        return 1 if wrong or self.failed else 0

    def _with(self, threads: int) -> None:
        frameworks = ("cnnx", *self.options.peer, "limits")
        chosen = {
            name: environment(name, threads, self.options.isa, keep_memory=not self.options.default_malloc)
            for name in frameworks
        }
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            workers = {name: stack.enter_context(Worker(name, chosen[name])) for name in frameworks}
            self.abouts[threads] = {name: worker.about for name, worker in workers.items()}
            self.isa = workers["cnnx"].about["instruction set"]
            self.environments[threads] = chosen
            self.limits[threads] = limits(workers["limits"], min(1.0, self.options.seconds))
            for figure in self.figures:
                others = ("limits",) if figure.group == "peak" else self.options.peer
                measured = Measured(figure, threads)
                self.results.append(measured)
                taking_part = {name: workers[name] for name in ("cnnx", *others)}
                try:
                    measure(figure, threads, taking_part, folder, self.options.seconds, measured)
                except WorkerError as error:
                    self.failed.append(f"{figure.key}, threads {threads}: {error}")
                    self.results.remove(measured)
                    for name in taking_part:  # whose process died gets a new one
                        workers[name] = stack.enter_context(Worker(name, chosen[name]))
                self._say(measured, others)

    def _say(self, measured: Measured, others: Sequence[str]) -> None:
        """A line for who waits."""
        for peer in others:
            line = report.row(measured, peer, self.isa)
            print(f"  {measured.threads} thread(s)  {'  '.join((peer, *line))}", file=sys.stderr, flush=True)

    def report(self, *, interrupted: bool) -> None:
        """Print the tables; write the record."""
        isa, markdown = self.isa, self.options.markdown
        for threads, found in self.limits.items():
            peak, copied = (sorted(found[name])[len(found[name]) // 2] for name in ("multiply_adds", "copy"))
            ours = self.abouts[threads]["cnnx"]
            print(
                f"{threads} thread(s): cnnx {ours['version']} with {ours['instruction set']} kernels; multiply-adds at "
                f"{2 * peak / 1e9:.0f} GFLOP/s, copy at {copied / 1e9:.1f} GB/s (read + written)"
            )
        for threads in self.limits:
            results = [m for m in self.results if m.threads == threads]
            for peer in (*self.options.peer, "limits"):
                if lines := report.rows(results, peer, isa):
                    title = report.title(peer, threads, self.abouts[threads])
                    header = ("figure", "cnnx", "peak" if peer == "limits" else peer, *report.HEADER[3:])
                    report.show(title, lines, header, markdown=markdown)
        for line in (*report.notes(self.results), *self.failed):
            print(f"{'- ' * markdown}{line}")
        if self.options.json is not None:
            self.options.json.write_text(json.dumps(self._record(interrupted), indent=1) + "\n", encoding="utf-8")

    def _record(self, interrupted: bool) -> dict[str, Any]:
        isa, peers = self.isa, self.options.peer
        return {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": time.time() - self.started,
            "interrupted": interrupted,
            "failed": self.failed,
            "machine": {
                "platform": platform.platform(),
                "processor": memory.processor(),
                "processors": os.cpu_count(),
                "python": platform.python_version(),
                "load_before": self.load,
                "load_after": os.getloadavg() if hasattr(os, "getloadavg") else None,
            },
            "isa": isa,
            "options": {name: str(v) if isinstance(v, Path) else v for name, v in vars(self.options).items()},
            "frameworks": self.abouts,
            "environments": self.environments,
            "limits": self.limits,
            "figures": [report.record(m, peers, isa) for m in self.results],
            "means": [
                {"group": group, "threads": threads, "peer": peer, **found}
                for threads in self.limits
                for peer in peers
                for group in report.MEANS
                if (found := report.mean([m for m in self.results if m.threads == threads], group, peer, isa))["of"]
            ],
        }


if __name__ == "__main__":
    sys.exit(main())
