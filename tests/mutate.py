"""Show that the tests can fail: change an operator or a number of the product, and see whether a test notices.

python tests/mutate.py --seed 1 --count 60      in a clone with built kernels; half in kernels, half in Python

Each mutant is a copy of the tree; the kernels that it changes are built for this processor. `--only 7 12
--tests tests/ops tests/nn` tries some of the same draw again, with other tests.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = {  # of kernels, in tests/ops: the first pattern found in the file's path
    "winograd": "test_winograd.py",
    "/_?(conv|pack|microkernel|runtime)": "test_grad_weight.py test_conv_large.py test_agreement.py -k conv or grad",
    "pool": "test_pooling.py test_agreement.py -k pool",
    "/optimizer": "test_optimizer_kernels.py",
    "/_threads": "test_threads.py",
    "/matmul": "test_matmul.py",
    "/(affine|softmax|cross_entropy|batch_norm2d|squared_error|dropout)": "test_agreement.py test_semantics.py -k {}",
    "": "test_functions.py test_batch_norm2d.py test_agreement.py",
}
SWAPS = {
    "<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="), "==": ("!=",), "!=": ("==",),
    "+": ("-",), "-": ("+",), "*": ("+",), "/": ("*",), "//": ("*",), "%": ("+",), "+=": ("-=",), "-=": ("+=",),
    "and": ("or",), "or": ("and",), "True": ("False",), "False": ("True",), "not": ("",),
    "min": ("max",), "max": ("min",), "min_of": ("max_of",), "max_of": ("min_of",),
}  # fmt: skip
TEXT = r"'''[\s\S]*?'''|\"\"\"[\s\S]*?\"\"\"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|#[^\n]*"
SIGN = r"(?<= )(?:[<>=!]=|[<>+*%-]|//?|[+-]=)(?= )"  # Cython's pointers and casts have no space on one side
WORD = r"\b(?:and|or|(?<!is )not(?! in)|True|False|(?:min|max)(?:_of)?(?=\())\b"
TOKEN = re.compile(rf"({TEXT}|cdef enum.*(?:\n +.*|\n)*)|({SIGN}|{WORD}|(?<![\w.:])\d+(?![\w.]))")
# Speed alone, inputs of the audit, errors' texts, imports; files of printed figures, of code that is wrong or not ours.
LINES_LEFT_OUT = (
    r"prefetch|ahead|threads_for|double work|memory_for|case\(|large=|import |raise |error\(|warn|@|\": [{(\[]"
)
FILES_LEFT_OUT = "figures|mutants|adapters|peers|networks"


def places(pattern):
    """File, begin, end and replacement of every mutation that there could be."""
    for path in sorted(ROOT.glob(pattern)):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
        for match in [] if re.search(FILES_LEFT_OUT, name) else TOKEN.finditer(text):
            begin, end = match.span()
            line = text[text.rfind("\n", 0, begin) + 1 : text.find("\n", end)]
            if match[2] and not re.search(LINES_LEFT_OUT, line, re.I):
                yield from ((name, begin, end, other) for other in SWAPS.get(match[2]) or (str(int(match[2]) + 1),))


def tests_of(file):
    """Pytest's arguments: for Python the three files of tests that name most often what a file defines, or its name."""
    part, stem = Path(file).parts[1], Path(file).stem.strip("_")
    if part == "optimized":
        found = next(filter(None, (re.search(pattern, file) for pattern in TESTS)))
        files, _, keywords = TESTS[found.re.pattern].format(*found.groups()).partition(" -k ")
        return [*(f"tests/ops/{name}" for name in files.split()), "-k", keywords]
    names = "|".join([stem, *re.findall(r"^(?:def|class) ([A-Za-z]\w+)", (ROOT / file).read_text("utf-8"), re.M)])
    count = {path: len(re.findall(rf"\b({names})\b", path.read_text("utf-8"))) for path in ROOT.glob("tests/*/test_*")}
    best = sorted(count, key=lambda path: (path.parent.name == part, count[path]))[-3:]
    return [path.relative_to(ROOT).as_posix() for path in reversed(best)]


def run(folder, *command, timeout=None, **variables):
    """Exit status and output; None where it takes too long."""
    environment = {"CNNX_BUILD_ISA": "best", **variables, **os.environ, "PYTHONPATH": str(folder)}
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    with subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, **kept) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None, ""
    return process.returncode, output


def judge(base, options, number, file, begin, end, other):
    """Whether the tests notice a mutant, and which."""
    kernel = "optimized" in file
    memo = {"CNNX_TEST_MEMO": str(base.parent / "memo")} if kernel else {}  # the reference is not changed
    with tempfile.TemporaryDirectory(dir=base.parent) as folder:
        tree = Path(shutil.copytree(base, Path(folder, "tree")))
        text = (tree / file).read_text("utf-8")
        (tree / file).write_text(text[:begin] + other + text[end:], "utf-8")
        status, output = run(tree, "setup.py", "build_ext", "--inplace") if kernel else (0, "")
        if not status:
            command = "-m", "pytest", "-xqm", "not slow", *(options.tests or tests_of(file))
            status, output = run(tree, *command, timeout=options.timeout, **memo)
    verdict = {0: "survived", None: "too long", 5: "no tests"}.get(status, "killed")
    failed = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", output, re.M)
    why = failed[1] if failed else f"exit status {status}"
    line = f"{text[:begin]}[{text[begin:end]} -> {other}]{text[end:]}".splitlines()[text.count("\n", 0, begin)].strip()
    print(f"{number} {verdict}: {file}:{text[:begin].count(chr(10)) + 1}: {line}\n    {why}", flush=True)
    return f"{'kernels' if kernel else 'Python'}: {verdict}", why


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in {"seed": 1, "count": 60, "jobs": 2, "timeout": 600}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of mutants")
    parser.add_argument("--tests", nargs="+", help="what pytest runs, instead of the tests about the changed file")
    options = parser.parse_args()
    draw, half = random.Random(options.seed), options.count // 2
    drawn = draw.sample(list(places("cnnx/optimized/**/*.p[yx][xd]")), half)
    drawn += draw.sample(list(places("cnnx/**/*.py")), options.count - half)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        base = Path(shutil.copytree(ROOT, Path(folder, "base"), ignore=shutil.ignore_patterns(".git", ".tox")))
        if (built := run(base, "setup.py", "build_ext", "--inplace"))[0]:
            sys.exit(built[1])
        found = list(pool.map(lambda i: judge(base, options, i, *drawn[i]), options.only or range(options.count)))
        # A test that fails on the unchanged tree too has killed nothing.
        status, output = run(base, "-m", "pytest", "-q", *{why for _, why in found if "::" in why})
    print(*(f"{count} {what}" for what, count in Counter(what for what, _ in found).items()), sep="\n")
    sys.exit(output if status else 0)


if __name__ == "__main__":
    main()
