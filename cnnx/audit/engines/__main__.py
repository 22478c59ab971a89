"""Judge installed engines, each in processes of its own, and keep what was found.

python -m cnnx.audit.engines ENGINE ... [--write FOLDER]. Exit code 3 if no engine was judged, 0 otherwise: what
fails is a finding.
"""

import argparse
import datetime
import sys
from importlib import metadata
from pathlib import Path

from ...ops import OPS
from ..asked import select
from ..checks import CHECKS
from ..field.run import child
from .record import Found, Record, ended
from .words import faults, nameless

CHILD = ("-m", "cnnx.audit.engines.child")
# Of what may differ by right (bits in a batch, in a layout) the table of conventions has a question.
JUDGED = ("exact", "bound", "special", "adjoint", "worked", "threads", "search")
DISTRIBUTIONS = {
    "mnn": "MNN", "ncnn": "ncnn", "paddle": "paddlepaddle", "tensorflow": "tensorflow-cpu", "onnx-reference": "onnx",
    "opencv": "opencv-python-headless",
}  # fmt: skip
# Of these XLA, clang or oneDNN compile a kernel for each shape, so that a case takes long.
COMPILING = ("jax", "tensorflow", "tinygrad", "mlx")
COUNT, DRAWN = 6, 6
SINGLE = ("mlx", "mnn", "ncnn", "opencv")  # in float32 alone
SECONDS = 1800.0


def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cnnx.audit.engines", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("engines", nargs="+", metavar="ENGINE", help="a back end's name")
    add("--write", type=Path, metavar="FOLDER", help="write ENGINE.json there; what is there of other ops stays")
    add("--op", action="append", metavar="NAME", help="may be given again; default: all")
    add("--check", action="append", choices=JUDGED, help="may be given again; default: all of these")
    add("--count", type=int, metavar="N", help=f"of an op's cases, 0: all (default: 0, {COUNT} of {_list(COMPILING)})")
    add("--drawn", type=int, default=DRAWN, metavar="N", help=f"of drawn cases of each op (default {DRAWN})")
    add("--timeout", type=float, default=SECONDS, metavar="SECONDS", help="for all that an engine is asked")
    arguments = parser.parse_args()
    try:
        ops = select("--op", arguments.op, {op.name: op for op in OPS if op.kernels})
    except ValueError as error:
        parser.error(str(error))
    wanted = [f"{op}:{check}" for op, one in ops.items() for check in arguments.check or JUDGED
              if not CHECKS[check].why_not(one)]  # fmt: skip
    judged = 0
    for engine in arguments.engines:
        count = arguments.count if arguments.count is not None else COUNT * (engine in COMPILING)
        record = judge(engine, wanted, count, arguments.drawn, arguments.timeout)
        if isinstance(record, str):
            print(f"{engine}: not judged: {record}", flush=True)
            continue
        judged += 1
        failing = [*record.failing()]
        print(f"{engine} {record.version}: {record.ran} cases, {len(failing)} findings", flush=True)
        for one in failing:
            print(f"    {one.op} {one.check} {one.kernel} {one.dtype}: {one.found['case']}: {one.found['what']}")
        if arguments.write is not None:
            _write(record, arguments.write / f"{engine}.json")
            words = faults(arguments.write) if (arguments.write / "faults.toml").exists() else []
            for one in nameless(record, words):
                print(f"    no words: {one.op} {one.check} {one.kernel} {one.dtype}", flush=True)
    return 0 if judged else 3


def judge(engine: str, wanted: list[str], count: int, drawn: int, seconds: float) -> Record | str:
    """An engine's audit, or why there is none; a process that ends or hangs at a check is a finding."""
    dtypes = ["float32"] if engine in SINGLE else ["float32", "float64"]
    left, found, about = list(wanted), dict[str, Found](), dict[str, str]()
    while left:
        said, how, last = child((*CHILD, engine, str(count), str(drawn), ",".join(dtypes), *left), seconds)
        about = about or next((one for one in said if "about" in one), {})
        if not about:
            return last
        new = {one["key"]: one["result"] for one in said if "key" in one}
        asked = [one["asked"] for one in said if "asked" in one]
        if asked and asked[-1] not in new:
            new[asked[-1]] = ended(how or last)
        if not new:
            return last
        found |= new
        left = [key for key in left if key not in new]
    results: dict[str, dict[str, Found]] = {}
    for key in wanted:
        op, _, check = key.partition(":")
        results.setdefault(op, {})[check] = found[key]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Record(
        engine, metadata.version(DISTRIBUTIONS.get(engine, engine)), about["about"], about["compat"],
        about["processor"], today, dtypes, count, drawn, results,
    )  # fmt: skip


def _write(record: Record, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        before = Record.read(path)
        if before.version == record.version:
            rows = {op: {**before.results.get(op, {}), **row} for op, row in record.results.items()}
            merged = {**before.results, **rows}
            record.results = {op.name: merged[op.name] for op in OPS if op.name in merged}
    path.write_text(record.text(), encoding="utf-8")


def _list(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


if __name__ == "__main__":
    sys.exit(main())
