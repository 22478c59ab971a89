"""Learning curves: loss and accuracy over the updates, of one run or of many."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from ..nn import History, Layer
from ._maps import draw_filters, first_convolution

Runs = Mapping[str, History | Sequence[History]]

# Okabe and Ito's colours: told apart by colour-blind people too; line styles and markers differ as well.
_TRAIN = dict(color="#0072B2", linestyle="-", label="training, during the pass")
_TEST = dict(color="#D55E00", linestyle="--", label="test, after the pass")
_NAMED: list[dict[str, Any]] = [
    dict(color="#0072B2", linestyle="-", marker="o"),
    dict(color="#D55E00", linestyle="--", marker="s"),
    dict(color="#009E73", linestyle="-.", marker="^"),
    dict(color="#CC79A7", linestyle=":", marker="D"),
    dict(color="#000000", linestyle=(0, (5, 1, 1, 1, 1, 1)), marker="v"),
    dict(color="#E69F00", linestyle=(0, (1, 1)), marker="x"),
]
_MOST_MARKERS = 40


def training(history: History, model: Layer, title: str = "") -> Figure:
    """Loss and, if there is one, accuracy over the updates, and the filters of the first convolution.

    Parameters
    ----------
    history : History
        With at least one epoch.
    model : Layer
        Whose first convolution is drawn, as `filters` draws it, if it has one.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The history is empty.
    """
    _check_history("history", history)
    convolution = first_convolution(model)
    figure = Figure(figsize=(9, 6 if convolution else 4), layout="constrained")
    figure.suptitle(title)
    parts: Any = [figure] if convolution is None else figure.subfigures(2, 1, height_ratios=[5, 3])
    _one_run(parts[0], history)
    if convolution is not None:
        axes = parts[1].subplots()
        draw_filters(axes, convolution.parameters["weight"])
        axes.set_title("filters of the first convolution")
    return figure


def learning_curves(runs: History | Runs, title: str = "") -> Figure:
    """Loss and accuracy over the updates: of one run, or of several networks with one or more runs each.

    One run is drawn with its training and its test images. Of several networks the test images alone are drawn (the
    training images, where a run has no others): the mean of a network's runs as a line, and a band from its lowest
    to its highest run, at the updates that all its runs have.

    Parameters
    ----------
    runs : History, or a mapping from at most six names to a History or a sequence of them
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        Something else; a history without an epoch; runs of one name that have no updates in common.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(title)
    if isinstance(runs, History):
        _check_history("runs", runs)
        _one_run(figure, runs)
        return figure
    if not isinstance(runs, Mapping):
        raise TypeError(f"runs: expected a History or a mapping from names to them, got {type(runs).__name__}")
    if not 1 <= len(runs) <= len(_NAMED):
        raise ValueError(f"runs: expected 1 to {len(_NAMED)} names, got {len(runs)}")
    named = {name: [given] if isinstance(given, History) else list(given) for name, given in runs.items()}
    for name, histories in named.items():
        if not histories:
            raise ValueError(f"runs[{name!r}]: expected at least one History, got none")
        for history in histories:
            _check_history(f"runs[{name!r}]", history)
    every = [epoch for histories in named.values() for history in histories for epoch in history.epochs]
    tested = all(
        any(epoch.validation_loss is not None for epoch in history.epochs)
        for histories in named.values()
        for history in histories
    )
    prefix, images = ("validation_", "test") if tested else ("", "training")
    classes = any(getattr(epoch, f"{prefix}accuracy") is not None for epoch in every)
    loss, *others = figure.subplots(1, 1 + classes, squeeze=False)[0]
    for style, (name, histories) in zip(_NAMED, named.items(), strict=False):
        label = name if len(histories) == 1 else f"{name}, mean of {len(histories)} runs"
        _many_runs(loss, f"runs[{name!r}]", histories, f"{prefix}loss", 1.0, dict(style, label=label))
        for accuracy in others:
            _many_runs(accuracy, f"runs[{name!r}]", histories, f"{prefix}accuracy", 100.0, dict(style, label=label))
    _finish_loss(loss, f"{images} loss")
    for accuracy in others:
        _finish(accuracy, f"{images} accuracy in %")
    return figure


def _check_history(name: str, history: object) -> None:
    if not isinstance(history, History):
        raise TypeError(f"{name}: expected a History, got {type(history).__name__}")
    if not history.epochs:
        raise ValueError(f"{name}: expected at least one epoch, got none")


def _one_run(figure: Any, history: History) -> None:
    classes = any(accuracy is not None for e in history.epochs for accuracy in (e.accuracy, e.validation_accuracy))
    loss, *others = figure.subplots(1, 1 + classes, squeeze=False)[0]
    for axes, name, scale in (loss, "loss", 1.0), *((axes, "accuracy", 100.0) for axes in others):
        marker = "o" if len(history.epochs) <= _MOST_MARKERS else ""
        for attribute, style in (name, _TRAIN), (f"validation_{name}", _TEST):
            measured = _points(history, attribute, scale)
            if measured:
                axes.plot(*zip(*measured.items(), strict=True), marker=marker, markersize=4, **style)
    _finish_loss(loss, "loss")
    for accuracy in others:
        _finish(accuracy, "accuracy in %")


def _points(history: History, attribute: str, scale: float) -> dict[int, float]:
    """Updates -> what was measured then."""
    measured = ((epoch.updates, getattr(epoch, attribute)) for epoch in history.epochs)
    return {updates: scale * value for updates, value in measured if value is not None}


def _many_runs(
    axes: Any, name: str, histories: Sequence[History], attribute: str, scale: float, style: dict[str, Any]
) -> None:
    runs = [_points(history, attribute, scale) for history in histories]
    if not any(runs):
        return  # no accuracy of this network, say
    updates = sorted(set.intersection(*(set(run) for run in runs)))
    if not updates:
        raise ValueError(f"{name}: expected runs that were measured after the same updates, got none such")
    values = np.array([[run[update] for update in updates] for run in runs])
    style["marker"] = style["marker"] if len(updates) <= _MOST_MARKERS else ""
    axes.plot(updates, values.mean(axis=0), markersize=4, **style)
    if len(runs) > 1:
        axes.fill_between(updates, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.2, linewidth=0)


def _finish_loss(axes: Any, label: str) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    _finish(axes, label)


def _finish(axes: Any, label: str) -> None:
    axes.set_ylabel(label)
    axes.set_xlabel("updates")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
