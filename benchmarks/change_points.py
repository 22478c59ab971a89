"""cnnx's drifts beside Apache Otava's change points, on the same series: tox -e otava [-- --series 100] [--tcpd FOLDER]

Otava (Hunter) is what others watch performance with: E-divisive in windows, then Student's t-test. Both see the same
simulated histories of 200 runs: without a change, by three kinds of noise, with one change of twice the noise at once,
with a change in five steps, and with a change and outliers. Prints, for each, in how many series a change is marked
where there is none, and in how many the change is found within three runs, and nothing else.

--tcpd FOLDER adds real, annotated series in the format of the Turing Change Point Dataset (datasets/NAME/NAME.json and
annotations.json): how many changes that annotators marked are found within five places, and how many marks nobody made.
The volume of the Nile, 1871 to 1970, whose level fell in 1898 with the first dam at Aswan, is always there.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from otava.analysis import compute_change_points

from cnnx.bench.drift import shifts

RUNS, NOISE, NEAR = 200, 0.01, 3
NILE = [
    *(1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140),
    *(1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969),
    *(831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759),
    *(781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890),
    *(744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740),
]
NILE_CHANGE = 28  # 1899, the first year at the new level


def ours(values):
    """Places at which a new level begins."""
    return [one.since for one in shifts(values)]


def otava(values):
    """Likewise, as `otava analyze` has it by default: windows of 50, p of 0.001, no least size."""
    found, _ = compute_change_points(values, window_len=50, max_pvalue=0.001, min_magnitude=0.0)
    return sorted(int(point.index) for point in found)


SIDES = {"cnnx": ours, "otava": otava}


def no_change(rng):
    return rng.standard_normal(RUNS), None


def heavy_tails(rng):
    return rng.standard_t(2, RUNS), None


def now_and_then_slower(rng):
    return rng.standard_normal(RUNS) - 8 * (rng.random(RUNS) < 0.05), None


def a_step(rng):
    place = int(rng.integers(20, RUNS - 20))
    return rng.standard_normal(RUNS) + rng.choice([-2, 2]) * (np.arange(RUNS) >= place), place


def five_steps(rng):
    """From one level to another by a fifth of the change a run."""
    place = int(rng.integers(20, RUNS - 20))
    return rng.standard_normal(RUNS) - 0.8 * np.clip(np.arange(RUNS) - place + 1, 0, 5), place + 4


def a_step_and_outliers(rng):
    logs, place = a_step(rng)
    return logs - 8 * (rng.random(RUNS) < 0.05), place


def simulated(count):
    print(f"{'of ' + str(count) + ' series':24} " + " ".join(f"{name:>18}" for name in SIDES))
    for make in (no_change, heavy_tails, now_and_then_slower, a_step, five_steps, a_step_and_outliers):
        rng = np.random.default_rng(3)
        series = [make(rng) for _ in range(count)]
        words = []
        for find in SIDES.values():
            marked = right = 0
            for logs, place in series:
                found = find(np.exp(NOISE * logs).tolist())
                near = [k for k in found if place is not None and abs(k - place) <= NEAR]
                right += bool(near)
                marked += len(found) > len(near)
            words.append(f"marked {marked}" if series[0][1] is None else f"found {right}, more {marked}")
        print(f"{make.__name__.replace('_', ' '):24} " + " ".join(f"{word:>18}" for word in words), flush=True)


def agreed(marks):
    """What more than half of the annotators marked, within two places of each other; the place that most have."""
    near = {k: sum(any(abs(k - place) <= 2 for place in each) for each in marks) for each in marks for k in each}
    exact = {k: sum(k in each for each in marks) for k in near}
    kept = []
    for k in sorted((k for k in near if 2 * near[k] > len(marks)), key=lambda k: (-near[k], -exact[k], k)):
        if all(abs(k - other) > 5 for other in kept):
            kept.append(k)
    return sorted(kept)


def real(folder):
    series = {"nile": (NILE, [NILE_CHANGE])}
    if folder is not None:
        annotations = json.loads((folder / "annotations.json").read_text())
        for path in sorted((folder / "datasets").glob("*/*.json")):
            one = json.loads(path.read_text())
            values = one["series"][0]["raw"] if one.get("n_dim") == 1 else []
            if values and all(value is not None and value > 0 for value in values) and path.stem in annotations:
                series[path.stem] = (values, agreed(list(annotations[path.stem].values())))
    print(f"\n{'real series':24} {'annotated':>12} " + " ".join(f"{name:>28}" for name in SIDES))
    for name, (values, known) in series.items():
        words = []
        for find in SIDES.values():
            found = find([float(value) for value in values])
            hits = [k for k in known if any(abs(k - place) <= 5 for place in found)]
            words.append(f"{len(hits)} found of {len(known)}, {found}")
        print(f"{name:24} {known!s:>12} " + " ".join(f"{word:>28}" for word in words))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--series", type=int, default=100, help="of each kind (default 100)")
    parser.add_argument("--tcpd", type=Path, metavar="FOLDER", help="real series, with datasets and annotations.json")
    asked = parser.parse_args()
    simulated(asked.series)
    real(asked.tcpd)


if __name__ == "__main__":
    main()
