"""Pictures of a training and of filters (extra `plot`: matplotlib)."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from .nn import History, Layer

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator
except ImportError as error:
    message = f"cnnx.plot needs matplotlib: python -m pip install 'cnnx[plot]' ({error})"
    raise ModuleNotFoundError(message, name="matplotlib") from error

__all__ = ["check_target", "training"]

# Okabe and Ito's blue and vermilion: told apart by colour-blind people too; line styles differ as well.
_TRAIN = dict(color="#0072B2", linestyle="-", label="training, during the pass")
_TEST = dict(color="#D55E00", linestyle="--", label="test, after the pass")
_FORMATS = ".png", ".pdf", ".svg", ".jpg"
_MOST_MARKERS = 40
_MOST_FILTERS = 16
_MOST_CHANNELS = 4


def training(history: History, model: Layer, title: str = "") -> Figure:
    """Loss and, if there is one, accuracy over the updates, and the filters of the first convolution.

    Parameters
    ----------
    history : History
        With at least one epoch.
    model : Layer
        Whose first weights of four axes are drawn: at most 16 filters, 4 input channels of each.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Without pyplot's state; `figure.savefig(path)` writes it.

    Raises
    ------
    ImportError
        matplotlib is not installed (at the import of this module).
    ValueError
        The history is empty.
    """
    if not history.epochs:
        raise ValueError("history: expected at least one epoch, got none")
    weight = next((w for w in model.parameters.values() if w.ndim == 4), None)
    figure = Figure(figsize=(9, 6), layout="constrained")
    figure.suptitle(title)
    parts: Any = [figure] if weight is None else figure.subfigures(2, 1, height_ratios=[5, 3])
    classes = any(accuracy is not None for e in history.epochs for accuracy in (e.accuracy, e.validation_accuracy))
    loss, *others = parts[0].subplots(1, 1 + classes, squeeze=False)[0]
    _curve(loss, history, "loss", 1.0)
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_formatter("")
    loss.set_ylabel("loss")
    for accuracy in others:
        _curve(accuracy, history, "accuracy", 100.0)
        accuracy.set_ylabel("accuracy in %")
    if weight is not None:
        _filters(parts[1], weight)
    return figure


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise now what would keep a picture from being written to `path` later; leaves no file behind.

    Raises
    ------
    ValueError
        The name ends neither in .png nor .pdf, .svg or .jpg.
    OSError
        The file cannot be opened for writing.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(_FORMATS)}, got {path.suffix!r}")
    existed = path.exists()
    with path.open("ab"):
        pass
    if not existed:
        path.unlink()


def _curve(axes: Any, history: History, name: str, scale: float) -> None:
    marker = "o" if len(history.epochs) <= _MOST_MARKERS else ""
    for attribute, style in (name, _TRAIN), (f"validation_{name}", _TEST):
        points = [(epoch.updates, getattr(epoch, attribute)) for epoch in history.epochs]
        measured = [(updates, scale * value) for updates, value in points if value is not None]
        if measured:
            axes.plot(*zip(*measured, strict=True), marker=marker, markersize=4, **style)
    axes.set_xlabel("updates")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(alpha=0.3)
    axes.legend()


def _filters(figure: Any, weight: np.ndarray[Any, Any]) -> None:
    """One small image per filter and input channel, on one colour scale around zero."""
    shown = weight[:_MOST_FILTERS, :_MOST_CHANNELS]
    count, channels = shown.shape[:2]
    figure.suptitle("filters of the first convolution")
    axes = figure.subplots(channels, count, squeeze=False)
    most = float(abs(shown).max()) or 1.0
    for k, c in np.ndindex(count, channels):
        image = axes[c, k].imshow(shown[k, c], cmap="PuOr_r", vmin=-most, vmax=most)
        axes[c, k].set_xticks([])
        axes[c, k].set_yticks([])
        if c == channels - 1:
            axes[c, k].set_xlabel(f"filter {k}")
        if channels > 1 and k == 0:
            axes[c, k].set_ylabel(f"channel {c}")
    figure.colorbar(image, ax=axes, label="weight")
