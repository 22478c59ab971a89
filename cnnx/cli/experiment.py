"""Run the CN note's experiments, or a recipe that goes further, and write pictures, JSON and a page.

`mlp-vs-cnn` trains CN's CNN and its MLP alike, five times each; `filters` trains CN's CNN with filters of 3x3, 5x5 and
7x7 and shows what they learn; `augmented` trains a larger network on augmented images. MNIST comes from --data, or from
OpenML through scikit-learn, and CN's rows are used (0-999 test, 1000-9999 train). Ctrl-C keeps the runs that were
finished (exit code 130).
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cnnx
from cnnx import data
from cnnx._check import integer
from cnnx.nn._arguments import natural, not_negative

# What is run by default; `filters` trains one network for each size.
DEFAULTS: dict[str, dict[str, float]] = {
    "mlp-vs-cnn": dict(repetitions=5, updates=10_000, batch_size=10, learning_rate=0.1),
    "filters": dict(updates=10_000, batch_size=10, learning_rate=0.1),
    "augmented": dict(repetitions=3, updates=3600, batch_size=50, learning_rate=0.002),
}
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx experiment`."""
    add = parser.add_argument
    add("name", choices=DEFAULTS, help="what to run")
    add("--data", metavar="DIR", help="folder of MNIST's IDX files, gzip-compressed or not")
    add("--out", metavar="DIR", help="folder to write into; default: one of the experiment's name")
    add("--backend", metavar="NAME", help="back end; default: CNNX_BACKEND, or optimized")
    add("--seed", type=int, default=0, metavar="N", help="the first one (default 0); repetitions have the next ones")
    add("--repetitions", type=int, metavar="N", help=f"default: {_defaults('repetitions')}")
    add("--updates", type=int, metavar="N", help=f"default: {_defaults('updates')}")
    add("--batch-size", type=int, metavar="N", help=f"images per update; default: {_defaults('batch_size')}")
    add("--learning-rate", type=float, metavar="X", help=f"default: {_defaults('learning_rate')}")
    add("--quiet", action="store_true", help="print nothing, and show no progress")


def _defaults(option: str) -> str:
    return ", ".join(f"{values[option]:g} ({name})" for name, values in DEFAULTS.items() if option in values)


def run(arguments: argparse.Namespace) -> int:
    """Train, write, and return the exit code."""
    defaults = DEFAULTS[arguments.name]
    if arguments.repetitions is not None and "repetitions" not in defaults:
        raise ValueError(f"--repetitions: not an option of {arguments.name}, which trains each network once")
    settings: dict[str, Any] = {
        option: default if getattr(arguments, option) is None else getattr(arguments, option)
        for option, default in defaults.items()
    }
    for option in settings.keys() - {"learning_rate"}:
        integer(f"--{option.replace('_', '-')}", settings[option], 1)
    not_negative("--learning-rate", settings["learning_rate"])
    settings["seed"] = natural("--seed", arguments.seed)

    from cnnx import experiments  # late: it needs matplotlib, and `cnnx --help` does not
    from cnnx.experiments._report import folder_for

    experiment: Callable[..., experiments.Report] = getattr(experiments, arguments.name.replace("-", "_"))
    folder = Path(arguments.name if arguments.out is None else arguments.out)

    def say(text: str) -> None:
        if not arguments.quiet:
            print(text, flush=True)

    with cnnx.use_backend(cnnx.get_backend() if arguments.backend is None else arguments.backend):
        split = data.mnist(arguments.data).split()
        with folder_for(folder, arguments.name):  # before the training, which may take long
            images = f"{len(split.x_train)} training and {len(split.x_test)} test images"
            say(f"{arguments.name}: {images}, back end {cnnx.get_backend()}")
            try:
                report = experiment(split, **settings, say=say, progress=False if arguments.quiet else None)
            except FloatingPointError as error:
                raise RuntimeError(str(error)) from error
            written = report.write(folder)
    stopped = ", of what was finished before Ctrl-C" if report.interrupted else ""
    say(f"wrote {', '.join(map(str, written))}{stopped}")
    return INTERRUPTED if report.interrupted else 0
