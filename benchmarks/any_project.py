"""Does `cnnx bench --against` judge other people's projects rightly? python benchmarks/any_project.py [PACKAGE]

A pinned release, from its sources, becomes a git repository in a temporary folder, with benchmarks of this script's.

    unchanged   the tree against its own commit: any alarm is false
    slowed      one function waits, after its work, for a share of the time that the work took
    drift       twenty commits, of which five in a row make the function 2 % slower each; every commit is measured
                against the first one and recorded, then `--history` names what changed, and `--bisect` the commit
    cost        how long a run on an unchanged tree takes and how far its ratios are off, beside two runs of plain
                pytest-benchmark, by turns (more-itertools, whose figures are such tests)

more-itertools is pure Python and is measured by tests of pytest-benchmark (its drift by functions), bitarray is an
extension and has functions in its pyproject.toml. Each line has the machine's load. Needs an index of packages; takes
15 to 40 minutes a package, on a quiet machine.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from other_projects import PACKAGES, commit, git, repository

STEPS, BEFORE, BEHIND = 5, 9, 6  # commits: slower by --step each, those before the first, those after the last


def bench(root, *options):
    """A run: the exit code, and what it printed."""
    command = [sys.executable, "-m", "cnnx", "bench", *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        words = f"{' '.join(command[2:])} ended with exit code {done.returncode}: {done.stderr}"
        raise SystemExit(f"any_project.py: error: {words}")
    return done


def load():
    return f"load {os.getloadavg()[0]:.1f}"


def runs(kind, root, count, options):
    """So many runs, a line for each."""
    alarms = 0
    for number in range(1, count + 1):
        start = time.monotonic()
        found = json.loads(bench(root, "--against", "HEAD", "--json", *options).stdout)
        if found["failed"]:
            raise SystemExit(f"any_project.py: error: {found['failed']}")
        alarms += bool(found["regressions"])
        words = "; ".join(found["regressions"]) or "no regression"
        seconds = time.monotonic() - start
        print(f"{kind}, run {number}, {len(found['figures'])} figures, {seconds:.0f} s, {load()}: {words}", flush=True)
    print(f"{kind}: {alarms} of {count} runs raised an alarm", flush=True)


def drift(root, step, slow, options):
    """Twenty commits with five slower ones, each recorded; then what is said of them."""
    first = git(root, "rev-parse", "HEAD")[:12]
    slow(root, 0.0)  # so that the wait itself is in all of them
    first = commit(root, "as fast as before")
    commits = [first]
    for number in range(1, BEFORE + STEPS + BEHIND):
        steps = min(max(0, number - BEFORE + 1), STEPS)
        slow(root, round(step * steps, 3))
        (root / "CHANGES.txt").write_text(f"{number}\n")
        commits.append(commit(root, f"{number}: {steps} steps"))
    print(f"drift: from {commits[BEFORE]} to {commits[BEFORE + STEPS - 1]}, after {commits[BEFORE - 1]}", flush=True)
    history = root.parent / "history.jsonl"
    for name in commits:
        git(root, "checkout", "--quiet", name)
        start = time.monotonic()
        bench(root, "--against", first, "--rounds", "10", "--record", str(history), *options)
        print(
            f"{name} ({git(root, 'show', '-s', '--format=%s')}): {time.monotonic() - start:.0f} s, {load()}", flush=True
        )
    print("$ cnnx bench --history history.jsonl")
    print(bench(root, "--history", str(history)).stdout, flush=True)
    git(root, "checkout", "--quiet", commits[-1])
    print("$ cnnx bench --history history.jsonl --bisect")
    found = bench(root, "--history", str(history), "--bisect").stdout
    print(found[found.find("searching") :], flush=True)
    print(f"$ cnnx bench --against {first} --bisect {' '.join(options)}")
    print(bench(root, "--against", first, "--bisect", *options).stdout, flush=True)


def cost(root, count, options):
    """Seconds of a run and the error of its ratios, which should be 1; of cnnx bench and of two plain runs."""
    bench(root, "--against", "HEAD", "--rounds", "1", *options)  # builds
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cnnx" / "bench"
    newest = max(cache.glob(f"{root.name}-*/environments/*"), key=lambda path: path.stat().st_mtime)  # it was used now
    plain = [
        str(newest / "bin" / "python"),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        options[1],
        "--benchmark-json",
    ]
    found = {"cnnx bench": [], "pytest-benchmark": []}
    for number in range(1, count + 1):
        start = time.monotonic()
        run = json.loads(bench(root, "--against", "HEAD", "--json", *options).stdout)
        first = {figure["op"]: statistics.median(figure["ratios"]) for figure in run["figures"]}
        found["cnnx bench"].append((time.monotonic() - start, first))
        start, medians = time.monotonic(), []
        for _ in range(2):
            path = root.parent / "plain.json"
            subprocess.run([*plain, str(path)], cwd=root, check=True, stdout=subprocess.DEVNULL)
            tests = json.loads(path.read_text())["benchmarks"]
            medians.append({test["fullname"]: test["stats"]["median"] for test in tests})
        ratios = {name: medians[0][name] / seconds for name, seconds in medians[1].items()}
        found["pytest-benchmark"].append((time.monotonic() - start, ratios))
        for name, each in found.items():
            seconds, ratios = each[-1]
            errors = sorted(abs(math.log(ratio)) for ratio in ratios.values())
            words = f"off by {100 * statistics.median(errors):.1f} %, at most {100 * errors[-1]:.0f} %"
            print(f"cost, run {number}, {name}, {len(ratios)} figures: {seconds:.0f} s, {words}, {load()}", flush=True)
    for name, each in found.items():
        errors = [abs(math.log(ratio)) for _, ratios in each for ratio in ratios.values()]
        spread = math.sqrt(statistics.fmean(error**2 for error in errors))
        seconds = statistics.median(seconds for seconds, _ in each)
        print(
            f"cost: {name}: {seconds:.0f} s; off by {100 * statistics.median(errors):.1f} %, {100 * spread:.1f} % rms"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("package", nargs="?", choices=PACKAGES, help="default: each")
    parser.add_argument("--runs", type=int, default=10, help="unchanged, and slowed (default 10)")
    parser.add_argument("--by", type=float, default=0.1, help="how much slower the function is made (default 0.1)")
    parser.add_argument("--step", type=float, default=0.02, help="of a commit of the drift (default 0.02)")
    parser.add_argument("--only", choices=("unchanged", "slowed", "drift", "cost"), help="one of them")
    parser.add_argument("--case", action="append", default=[], help="for cnnx bench; may be given again")
    asked = parser.parse_args()
    for name in [asked.package] if asked.package else PACKAGES:
        version, _, _, slow, options = PACKAGES[name]
        options = [*options, *(word for case in asked.case for word in ("--case", case))]
        print(f"{name} {version}, {load()}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            root = repository(name, Path(folder))
            if asked.only in (None, "unchanged"):
                runs("unchanged", root, asked.runs, options)
            if asked.only in (None, "slowed"):
                slow(root, asked.by)
                runs("slowed", root, asked.runs, options)
                git(root, "checkout", "--quiet", ".")
            if asked.only == "cost":
                cost(root, asked.runs, options)
            if asked.only in (None, "drift"):
                drift(root, asked.step, slow, [word for word in options if word not in ("--pytest", "benchmarks")])


if __name__ == "__main__":
    main()
