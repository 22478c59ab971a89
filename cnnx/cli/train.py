"""Train a network on o and x, on scikit-learn's digits or on MNIST, and say how good it is.

`ox` is D19's network with D19's weights, six examples, the chain rule applied once. `digits` and `mnist`
train CN's network; MNIST comes from --data, or from OpenML through scikit-learn, and CN's rows are used
(0-999 test, 1000-9999 train). Ctrl-C ends the training, without another test, and keeps what was learnt
(exit code 130), which --save writes to a file as it does at the end.

With --checkpoint the same command, given again, goes on where it was stopped or killed. Started by mpiexec, on more
than one process, they train together: `mpiexec -n 4 cnnx train mnist`; with --exact to the same bits as one does.
"""

import argparse
import copy
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

import cnnx
from cnnx import data, nn
from cnnx._check import integer
from cnnx._files import check_replaceable
from cnnx._text import aligned, time_left
from cnnx.lang import text
from cnnx.nn._arguments import natural, not_negative
from cnnx.ops._conv import Algorithm

from ._language import add_language
from ._ranks import together
from ._speaker import Speaker


@dataclass(frozen=True)
class Task:
    """What is trained by default."""

    updates: int
    batch_size: int
    dtype: str


TASKS = {
    "ox": Task(updates=5000, batch_size=6, dtype="float64"),
    "digits": Task(updates=2000, batch_size=10, dtype="float32"),
    "mnist": Task(updates=10000, batch_size=10, dtype="float32"),
}
Trained = tuple[nn.History, nn.Layer, dict[str, Any]]
DIGITS_TEST_ROWS = 360  # a fifth
NO_SETTINGS = "json", "lang", "plot", "run", "save"  # what has no part in the training
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx train`."""
    add = parser.add_argument
    add("task", choices=TASKS, help="what to learn")
    add("--data", metavar="DIR", help="folder of MNIST's IDX files, gzip-compressed or not (mnist only)")
    add("--backend", metavar="NAME", help="back end; default: CNNX_BACKEND, or optimized")
    add("--seed", type=int, default=0, metavar="N", help="of weights and order (default 0; ox has fixed weights)")
    add("--updates", type=int, metavar="N", help=f"default: {_defaults('updates')}")
    add("--batch-size", type=int, metavar="N", help=f"images per update; default: {_defaults('batch_size')}")
    add("--learning-rate", type=float, default=0.1, metavar="X", help="default 0.1")
    add("--dtype", choices=("float32", "float64"), help=f"default: {_defaults('dtype')}")
    add(
        "--algorithm",
        choices=get_args(Algorithm),
        default="direct",
        help="of the convolutions (digits and mnist): auto is the faster one by shape (default direct)",
    )
    add("--plot", metavar="FILE.png", help="write curves of loss and accuracy, and the first layer's filters")
    add("--save", metavar="FILE", help="write the trained network there, for cnnx.io.load_model (extra io)")
    add("--checkpoint", metavar="DIR", help="keep checkpoints there; if there are any, go on from the newest")
    add("--every", type=int, metavar="N", help="updates from one checkpoint to the next; default: a pass")
    add("--exact", action="store_true", help="the same bits on 1 to 8 processes: batches are computed in 8 parts")
    add("--log", metavar="FILE", help="write a line of JSON per pass, and one at the end")
    add("--quiet", action="store_true", help="print the result alone, and no progress")
    add("--json", action="store_true", help="print JSON, at the end")
    add_language(parser)


def _defaults(option: str) -> str:
    return ", ".join(f"{getattr(task, option)} ({name})" for name, task in TASKS.items())


def run(arguments: argparse.Namespace) -> int:
    """Train, print, and return the exit code."""
    with together(arguments.exact) as ranks:
        return _run(arguments, ranks)


def _run(arguments: argparse.Namespace, ranks: nn.Ranks | None) -> int:
    if arguments.data is not None and arguments.task != "mnist":
        raise ValueError(f"--data: expected with mnist only, got it with {arguments.task}")
    if arguments.algorithm != "direct" and arguments.task == "ox":
        raise ValueError(f"--algorithm: expected with digits or mnist only, got {arguments.algorithm} with ox")
    for option in ("updates", "batch_size", "dtype"):
        if getattr(arguments, option) is None:
            setattr(arguments, option, getattr(TASKS[arguments.task], option))
    natural("--seed", arguments.seed)
    integer("--updates", arguments.updates, 1)
    integer("--batch-size", arguments.batch_size, 1)
    not_negative("--learning-rate", arguments.learning_rate)
    if arguments.every is not None:
        if arguments.checkpoint is None:
            raise ValueError("--every: expected with --checkpoint only, got it without")
        integer("--every", arguments.every, 1)
    if arguments.plot is not None:
        from cnnx import plot

        plot.check_target(arguments.plot)  # before the training, which may take long
    if arguments.save is not None:
        from cnnx.io import save_model

        check_replaceable(arguments.save)
    first = ranks is None or ranks.rank == 0  # the others say and write nothing
    speak = Speaker(told=first and not arguments.json, quiet=arguments.quiet)
    with cnnx.use_backend(cnnx.get_backend() if arguments.backend is None else arguments.backend), speak.notices():
        try:
            history, model, result = (_ox if arguments.task == "ox" else _classes)(arguments, speak, ranks)
        except FloatingPointError as error:
            raise RuntimeError(str(error)) from error
    if arguments.json and first:
        settings = {name: value for name, value in vars(arguments).items() if name not in NO_SETTINGS}
        done = {"interrupted": history.interrupted, "resumed": history.resumed, "ranks": ranks.size if ranks else 1}
        report = {"settings": settings, "epochs": [asdict(epoch) for epoch in history.epochs], **done, **result}
        print(json.dumps(report, indent=2))
    if arguments.save is not None and first:
        save_model(model, arguments.save)
    if arguments.plot is not None and first:
        if history.epochs:
            title = f"{arguments.task}, seed {arguments.seed}" if arguments.task != "ox" else "o and x (D19)"
            plot.save(plot.training(history, model, title), arguments.plot)
        else:
            print(f"{arguments.plot}: not written, as Ctrl-C came before the first update", file=sys.stderr)
    return INTERRUPTED if history.interrupted else 0


def _classes(arguments: argparse.Namespace, speak: Speaker, ranks: nn.Ranks | None) -> Trained:
    """CN's network on digits or MNIST."""
    say = speak.say
    if arguments.task == "mnist":
        split = data.mnist(arguments.data).split(dtype=arguments.dtype)
    else:
        split = data.digits().split(DIGITS_TEST_ROWS, None, dtype=arguments.dtype)
    weights, order = np.random.SeedSequence(arguments.seed).spawn(2)
    image = split.x_train.shape[1:]
    model = nn.cn_network(image=image, algorithm=arguments.algorithm, dtype=arguments.dtype, seed=weights)
    count = sum(w.size for w in model.parameters.values())
    say(f"{len(split.x_train)} training and {len(split.x_test)} test images of {' x '.join(map(str, image))}")
    say(f"CN's network, {count} parameters, {arguments.dtype}, back end {cnnx.get_backend()}, seed {arguments.seed}")
    batch_size = min(arguments.batch_size, len(split.x_train))
    shared = "" if ranks is None or ranks.size == 1 else f", {ranks.size} processes of {cnnx.get_num_threads()} threads"
    shared += ", exact" if arguments.exact else ""
    say(f"{arguments.updates} updates of {batch_size} images, learning rate {arguments.learning_rate:g}{shared}\n")
    a_pass = -(-len(split.x_train) // batch_size)
    header = "  pass   updates     loss  accuracy  test loss  test accuracy  images/s     left"

    def row(epoch: nn.Epoch) -> None:
        nonlocal header
        if header:
            say(header)
            header = ""
        before = (epoch.updates - 1) // a_pass
        test_loss = "-" if epoch.validation_loss is None else f"{epoch.validation_loss:.4f}"
        left = (arguments.updates - epoch.updates) * epoch.seconds / (epoch.updates - before * a_pass)
        say(
            f"{before + 1:6} {epoch.updates:9} {epoch.loss:8.4f} {_percent(epoch.accuracy):>9} "
            f"{test_loss:>10} {_percent(epoch.validation_accuracy):>14} "
            f"{epoch.images / epoch.seconds:9.0f} {time_left(left):>8}"
        )

    history = nn.fit(
        model,
        nn.CrossEntropy(),
        nn.SGD(arguments.learning_rate),
        split.x_train,
        split.y_train,
        batch_size=batch_size,
        updates=arguments.updates,
        validation=(split.x_test, split.y_test),
        seed=order,
        on_epoch=row,
        **_kept(arguments, ranks),
    )
    reached = history.epochs[-1].validation_accuracy if history.epochs else None
    stopped = ", stopped by Ctrl-C" if history.interrupted else ""
    say("")
    speak.result(f"test accuracy {_percent(reached)} after {history.updates} updates{stopped}")
    return history, model, {"updates": history.updates, "test_accuracy": reached}


def _ox(arguments: argparse.Namespace, speak: Speaker, ranks: nn.Ranks | None) -> Trained:
    """D19's network on six examples; the cost is their sum, C_T."""
    say = speak.say
    examples = data.ox_images("six", dtype=arguments.dtype)
    model, cost = nn.ox_network(dtype=arguments.dtype), nn.SquaredError(reduction="sum")
    rate = f"{arguments.learning_rate:g}"
    say(text("train.network", dtype=arguments.dtype, backend=cnnx.get_backend(), rate=rate))
    say(text("train.examples") + "\n")

    def train(model: nn.Layer, updates: int, **options: Any) -> nn.History:
        return nn.fit(
            model,
            cost,
            nn.SGD(arguments.learning_rate),
            examples.images,
            examples.labels,
            batch_size=arguments.batch_size,
            updates=updates,
            seed=arguments.seed,
            shuffle=arguments.batch_size < len(examples),
            **options,
        )

    def total(model: nn.Layer) -> float:
        return nn.evaluate(model, cost, examples.images, examples.labels)[0]

    start = copy.deepcopy(model)
    history = train(model, arguments.updates, **_kept(arguments, ranks))
    totals = {0: total(start)}
    if history.updates:
        train(start, 1)  # once more the first update
        totals |= {1: total(start), history.updates: total(model)}
    _table(say, [(text("train.updates"), "C_T"), *((f"{n}", f"{value:.4f}") for n, value in totals.items())])

    pair = data.ox_images("two", dtype=arguments.dtype)
    outputs = nn.predict(model, pair.images)
    say("")
    names, targets = "ox", pair.labels.astype(int)
    head = tuple(text(f"train.{name}") for name in ("image", "output_1", "output_2", "target", "taken_for"))
    rows = [
        (name, f"{output[0]:.4f}", f"{output[1]:.4f}", f"{target[0]}, {target[1]}", names[output.argmax()])
        for name, output, target in zip(names, outputs, targets, strict=True)
    ]
    _table(say, [head, *rows])
    apart = nn.accuracy(outputs, pair.labels) == 1
    say("")
    stopped = text("train.stopped") if history.interrupted else ""
    speak.result(text("train.apart" if apart else "train.not_apart") + stopped)
    return history, model, {"C_T": totals, "outputs": outputs.tolist(), "told_apart": apart}


def _table(say: Callable[[str], None], rows: Sequence[Sequence[str]]) -> None:
    for line in aligned(rows, left=0):
        say(f"  {line}")


def _kept(arguments: argparse.Namespace, ranks: nn.Ranks | None) -> dict[str, Any]:
    """The options of `fit` that the command hands on."""
    options = {"checkpoint": arguments.checkpoint, "every": arguments.every, "log": arguments.log, "ranks": ranks}
    return options | {"progress": False if arguments.quiet else None}


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
