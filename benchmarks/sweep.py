"""Where speed falls off: some two hundred shapes, forward and backward, beside torch's better layout; the worst ones.

python benchmarks/sweep.py                              all of it, 1 thread: ten minutes
python benchmarks/sweep.py --group "max windows" --group "global maximum" --rounds 5
python benchmarks/sweep.py --op conv2d --op affine --least 0.8 --json sweep.json

The shapes are in sweep.toml, which says what a group that "grows" is. Every side is a process of its own with the
allocator's default settings (sweep_sides.py), results have to agree, and turns are those of `cnnx bench`. A ratio is
the median over rounds of torch's time by ours, the least of NCHW's and channels last's: above 1 where cnnx is faster. A
slope is the exponent by which time grows with work from one extent to the next: 1 is in proportion; the other number is
torch's. Where a larger array leaves a cache time grows a little faster than work; flagged is what does by more than
`STEEP`, and faster than torch's. On a busy machine `--cpu` takes processor time instead of the clock's, for one thread.
"""

import argparse
import json
import math
import sys
import tempfile
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from statistics import geometric_mean, median

import cnnx
from cnnx.bench.cases_file import read
from cnnx.bench.figures import work
from cnnx.bench.measure import DIFFERS, Rounds, Side
from cnnx.bench.process import environment

HERE = Path(__file__).parent
LAYOUTS = "torch", "torch-nhwc"
BATCH = 24  # figures whose arrays are on the disk at once
STEEP = 1.25  # a slope's


def figures_of(cases, arguments):
    """Both directions of every case; of those that say grad_input, backward alone."""
    for figure in cases.chosen(arguments.group, arguments.op, arguments.case, threads=arguments.threads):
        for direction in ("forward", "backward") if figure.direction == "forward" else ("backward",):
            yield replace(figure, direction=direction)


def call_of(cases, figure):
    """A figure's call; where the case says grad_input, without the winners, which torch always has."""
    call = cases.call_of(figure)
    if cases.entry(figure).direction != "grad_input":
        return call
    return replace(call, arrays={name: a for name, a in call.arrays.items() if name != "winners"})


def measure(cases, figures, rounds, cpu):
    """A row for each figure: seconds of each side, the ratio to the better layout, the work, what is missing."""
    isa = cnnx.native.instruction_set()
    clock = {"SWEEP_CPU": "1"} if cpu else {}

    def around(threads):
        return environment(threads, isa, keep_memory=False) | clock

    ours, *others = (Side(name, around, program=HERE / "sweep_sides.py") for name in ("cnnx", *LAYOUTS))
    for first in range(0, len(figures), BATCH):
        some = figures[first : first + BATCH]
        amounts = {}

        def call(figure, amounts=amounts):
            made = call_of(cases, figure)
            amounts[figure] = max(work(made))
            return made

        with tempfile.TemporaryDirectory() as folder:
            measured = Rounds(
                some, ours, dict(zip(LAYOUTS, others, strict=True)), Path(folder), with_reference=False, limits=False,
                call=call, say=lambda done, total, figure, first=first: said(first, done, total, figure),
            )  # fmt: skip
            measured.run(rounds)
        found = {each.figure: each for each in measured.found}
        for figure in some:
            row = {**asdict(figure), "work": amounts.get(replace(figure, threads=1), 0)}
            if figure not in found:
                yield row | {"missing": {"cnnx": measured.failed.get(figure, "it was not measured")}}
                continue
            one = found[figure]
            ratios = {name: median(values) for name, values in one.ratios.items()}
            row |= {"seconds": median(one.seconds), "ratios": ratios, "missing": one.missing}
            yield row | ({"ratio": min(ratios.values())} if ratios else {})


def said(first, done, total, figure):
    if sys.stderr.isatty():
        print(f"\r{first}: {done} of {total}, {figure}"[:110].ljust(110), end="\r", file=sys.stderr, flush=True)


def slopes(rows):
    """The exponents of neighbours in a group that grows: ours, and that of torch's better layout."""
    growing = [row for row in rows if row["case"].startswith("grows") and "ratio" in row]
    for a, b in pairwise(growing):
        if series(a) != series(b):
            continue
        work, ours, ratio = (math.log(b[name] / a[name]) for name in ("work", "seconds", "ratio"))
        yield {"row": b, "ours": ours / work, "torch": (ours + ratio) / work}


def series(row):
    """What neighbours of a group have in common."""
    return row["threads"], row["case"].rpartition(" ")[0], row["direction"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--op", action="append", help="an op's name; may be given again")
    parser.add_argument("--group", action="append", help="a group's name in sweep.toml; may be given again")
    parser.add_argument("--case", action="append", help="one case, by its group and name; may be given again")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3, help="of new processes")
    parser.add_argument("--worst", type=int, default=30, metavar="N", help="how many are printed (0: all)")
    parser.add_argument("--least", type=float, metavar="RATIO", help="exit code 1 if a ratio is less")
    parser.add_argument("--cpu", action="store_true", help="processor time instead of the clock's; one thread")
    parser.add_argument("--json", metavar="FILE", help="write all of it there")
    arguments = parser.parse_args()
    if arguments.cpu and arguments.threads != [1]:
        parser.error("--cpu: expected with --threads 1")
    cases = read(HERE / "sweep.toml")
    try:
        figures = sorted(figures_of(cases, arguments), key=lambda figure: series(asdict(figure)))
    except ValueError as error:
        parser.error(str(error))
    rows = []
    for row in measure(cases, figures, arguments.rounds, arguments.cpu):
        rows.append(row)
        if arguments.json:  # at once: all of it takes long
            Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")
    return report(rows, arguments.worst, arguments.least)


def report(rows, worst, least):
    beside = sorted((row for row in rows if "ratio" in row), key=lambda row: row["ratio"])
    if beside:
        print(f"{'ratio':>6} {'cnnx us':>10}  {'best':<11} threads")
    for row in beside[: worst or None]:
        best = min(row["ratios"], key=row["ratios"].get)
        line = f"{row['ratio']:>6.2f} {1e6 * row['seconds']:>10.1f}  {best:<11} {row['threads']}  "
        print(line + f"{row['op']} {row['direction']}: {row['case']}")
    for one in slopes(rows):
        flag = "  STEEP" if one["ours"] > STEEP and one["ours"] > one["torch"] else ""
        name = f"{one['row']['direction']}: {one['row']['case']}"
        print(f"slope {one['ours']:.2f} (torch {one['torch']:.2f})  {name}{flag}")
    wrong = 0
    for row in rows:
        for name, reason in row["missing"].items():
            wrong += DIFFERS in reason or name == "cnnx"
            print(f"{row['op']} {row['direction']}, {row['case']}: {name} is missing: {reason}")
    if beside:
        known = [row["ratio"] for row in beside]
        mean, low = geometric_mean(known), sum(ratio < 0.8 for ratio in known)
        print(f"{len(known)} figures: geometric mean {mean:.2f}, least {known[0]:.2f}, below 0.8: {low}")
    return 1 if wrong or (least is not None and beside and beside[0]["ratio"] < least) else 0


if __name__ == "__main__":
    sys.exit(main())
