"""Homework judged: each result of each layer, within a budget of time."""

import time
from collections.abc import Iterator

import numpy as np

from . import find
from .answer import RIGHT, Answer, Result
from .budget import TimeUpError, alarm
from .cost import Cost
from .drop import Drop
from .layer import Layer
from .norm import Norm
from .roles import COSTS
from .unit import Unit

DAY = 86400  # seconds; a timer takes no number without end


def check(path: str, *, mapping: tuple[str, ...] = (), seconds: float = 50.0) -> Answer:
    """Run a homework file and judge the layers in it.

    Parameters
    ----------
    path : str
        A Python file. It is run: whatever it does when it is imported is done, without what it prints.
    mapping : tuple of str
        "conv2d=MyConv", "conv2d.backward=my_grad": which of its names stand for which op, where names do not say it.
    seconds : float
        How long it may take, the file itself included. What is not judged by then is said.

    Returns
    -------
    Answer

    Raises
    ------
    ValueError
        There is no such file, a mapping is none, or `seconds` is not above 0 and at most a day.
    ImportError
        The file cannot be run.
    TimeoutError
        The file itself takes longer.
    """
    if not 0 < seconds <= DAY:
        raise ValueError(f"--seconds: expected more than 0 and at most {DAY}, a day, got {seconds:g}")
    end = time.monotonic() + seconds
    answer = Answer(path)
    with np.errstate(all="ignore"):
        try:
            with alarm(seconds):
                module = find.loaded(path)
        except TimeUpError:
            raise TimeoutError(
                f"{path}: expected it to be run in {seconds:g} s, which it was not: move training under "
                'if __name__ == "__main__":'
            ) from None
        found = find.units(module, mapping)
        for i, unit in enumerate(found):
            results: list[Result] = []
            answer.units.append((unit, results))
            share = (end - time.monotonic()) / (len(found) - i)
            try:
                with alarm(max(share, 0.1)), find.silent():
                    for result in _judged(unit, time.monotonic() + share):
                        results.append(result)  # noqa: PERF402  what is there when time is up stays
            except TimeUpError:
                results.append(Result("", "slow", seconds=share))
    _costs_and_layers(answer)
    _within_layers(answer)
    return answer


def _judged(unit: Unit, end: float) -> Iterator[Result]:
    """The results of a unit, one after another: the forward pass, each gradient, and what is asked of all."""
    if unit.op in COSTS:
        yield from Cost(unit, end).results()
    elif unit.op == "dropout":
        yield from Drop(unit).results()
    elif unit.op == "batch_norm2d":
        yield from Norm(unit, end).results()
    else:
        yield from Layer(unit, end).results()


def _costs_and_layers(answer: Answer) -> None:
    """What is right by itself and wrong together: 1/N in a layer's gradients and in its cost's, or in neither."""
    layers = [r for unit, results in answer.units if unit.op not in COSTS for r in results if r.mistake == "mean_n"]
    for unit, results in answer.units:
        if unit.op not in COSTS:
            continue
        value = next((r for r in results if r.output == "E"), None)
        gradient = next((r for r in results if r.output in ("dZ", "dA")), None)
        if gradient is None or value is None:
            continue
        sums = {r.output: r.mistake == "sum_not_mean" for r in (value, gradient)}
        settled = {RIGHT, "convention"}
        if {value.status, gradient.status} <= settled and len(set(sums.values())) > 1:
            gradient.status = "wrong"
            gradient.mistake = "mean_missing" if sums[gradient.output] else "mean_only_gradient"
        if layers and gradient.status == RIGHT:
            for result in layers:
                result.status, result.mistake = "wrong", "mean_n_and_cost"


def _within_layers(answer: Answer) -> None:
    """1/N in the gradient of one parameter of a layer, and not in that of the other: no convention has it so."""
    for _, results in answer.units:
        of = [r for r in results if r.output in ("dF", "dw", "dg", "db")]
        divided = [r for r in of if r.status == "convention" and r.mistake == "mean_n"]
        if divided and any(r.status == RIGHT for r in of):
            for result in divided:
                result.status, result.mistake = "wrong", "mean_n_alone"
