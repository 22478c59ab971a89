"""Optimisers: how a gradient changes the weights (G1 to G4)."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from ..ops.optimizer import Weight, adam_step, sgd_step
from ._arguments import back_end, below_one, not_negative, number
from ._layer import Layer, described, frozen_error
from .graph import Graph


class Optimizer:
    """What SGD and Adam share: one step over all parameters of a model, in place.

    An optimiser belongs to one model, whose momenta it keeps by the parameters' names.

    Attributes
    ----------
    updates : int
        How many steps were done; schedules go by it, so that a second `fit` goes on where the first ended.
    """

    def __init__(self, learning_rate: float, weight_decay: float, backend: str | None) -> None:
        self.learning_rate = not_negative("learning_rate", learning_rate)
        self.weight_decay = not_negative("weight_decay", weight_decay)
        back_end(backend)
        self.backend = backend
        self.updates = 0
        self._state: dict[str, tuple[Array, ...]] = {}
        self._known = _Known(None)

    def step(self, model: Layer, factor: float = 1.0) -> None:
        """Change every parameter by its gradient; weight decay adds weight_decay * w to the gradient.

        What does not fit is found before anything is changed.

        Parameters
        ----------
        model : Layer
            After its `backward`.
        factor : float
            On the learning rate, for this step alone, at least 0; schedules give it.

        Raises
        ------
        RuntimeError
            A parameter has no gradient, or the model is frozen.
        TypeError, ValueError
            Another factor; a gradient or this optimiser's momenta are of another shape than their
            parameter, or of another dtype; a parameter is read-only, or neither float32 nor float64.
        """
        if not (type(factor) is float and 0 <= factor < math.inf):
            factor = not_negative("factor", factor)
        rate = self.learning_rate * factor
        weights: list[Weight] = []
        slopes: list[Array] = []
        missing: list[str] = []
        count = self._kept_count()
        if self._known.model is not model:
            self._known = _Known(model)
        for layer, prefix, known in self._known.layers:
            if layer.frozen:
                raise RuntimeError(frozen_error(f"{type(self).__name__}.step"))
            parameters = layer.parameters
            if not parameters:
                continue
            given = layer.gradients
            for key, w in parameters.items():
                gradient = given.get(key)
                if gradient is None:
                    missing.append(prefix + key)
                    continue
                weight = known.get(key)
                if weight is None or weight.array is not w or len(weight.kept) != count:
                    weight = known[key] = self._weight(prefix + key, w, count)
                weights.append(weight)
                slopes.append(weight.gradient(gradient))
        if missing:
            raise RuntimeError(f"{type(self).__name__}.step: expected a backward call first; no gradient of {missing}")
        self._change(weights, slopes, rate)
        self.updates += 1
        for weight in weights if count else ():
            self._state[weight.name] = weight.kept

    @property
    def state(self) -> Mapping[str, tuple[Array, ...]]:
        """What is kept for each parameter (momenta): name -> arrays; empty before the first step."""
        return self._state

    def restore(self, updates: int, state: Mapping[str, tuple[Array, ...]]) -> None:
        """Go on after so many `updates`, with what `state` was then: its arrays are written to from now on."""
        self.updates = _check.integer("updates", updates, 0)
        self._state = dict(state)
        self._known = _Known(None)

    def _kept_count(self) -> int:
        """How many arrays this optimiser keeps for each parameter."""
        raise NotImplementedError(f"{type(self).__name__}._kept_count")

    def _change(self, weights: list[Weight], slopes: list[Array], rate: float) -> None:
        raise NotImplementedError(f"{type(self).__name__}._change")

    def _weight(self, name: str, w: Array, count: int) -> Weight:
        """The parameter, checked, with what is kept for it: zeros at first."""
        kept = self._state.get(name, ()) if count else ()
        for one in kept:
            if one.shape != w.shape or one.dtype != w.dtype.newbyteorder("="):
                raise ValueError(
                    f"{name}: expected shape {one.shape}, {one.dtype}, as at this optimiser's first step, "
                    f"got {w.shape}, {w.dtype}; make a new optimiser for another model"
                )
        zeros = (np.zeros(w.shape, w.dtype.newbyteorder("=")) for _ in range(count - len(kept)))
        return Weight(name, w, (*kept, *zeros))

    def __repr__(self) -> str:
        return described(self)


class _Known:
    """What an optimiser saw of a model: its layers, and their parameters' arrays, which need not be checked again.

    Copies and pickles of the optimiser leave it out.
    """

    def __init__(self, model: Layer | None) -> None:
        self.model = model
        self.layers: list[tuple[Layer, str, dict[str, Weight]]] = []
        if model is not None:
            self.layers += [(layer, prefix, {}) for layer, prefix in _leaves(model, "")]

    def __reduce__(self) -> tuple[Any, ...]:
        return _Known, (None,)


def _leaves(model: Layer, prefix: str) -> Iterator[tuple[Layer, str]]:
    """The layers that have parameters of their own, with what their names begin with in the model's."""
    if type(model).parameters is not Graph.parameters:
        yield model, prefix
        return
    assert isinstance(model, Graph)
    for name, layer in model._named():
        yield from _leaves(layer, f"{prefix}{name}.")


class SGD(Optimizer):
    """Gradient descent, w <- w - eta dE/dw; with momentum mu, v <- mu v + dE/dw and w <- w - eta v.

    G1, G2, G4. Sources: D19 (5), (6), (11), (12); momentum and weight decay are not in them.

    Parameters
    ----------
    learning_rate : float
        eta, at least 0.
    momentum : float
        mu, from 0 to below 1.
    weight_decay : float
        At least 0.
    nesterov : bool
        w <- w - eta (dE/dw + mu v) instead.
    backend : str or None
        Whose kernels change the weights; None takes the back end chosen at each step.

    Raises
    ------
    TypeError, ValueError
        A number of another kind or out of its range; nesterov without momentum.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Affine(1, 1, seed=0, dtype="float64")
    >>> layer.parameters["weight"][:] = 3
    >>> y = layer.forward(np.array([[2.0]]))
    >>> _ = layer.backward(np.array([[1.0]]))
    >>> nn.SGD(0.1).step(layer)
    >>> layer.parameters["weight"], layer.parameters["bias"]
    (array([[2.8]]), array([-0.1]))
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, backend)
        self.momentum = below_one("momentum", momentum)
        self.nesterov = _check.flag("nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: expected a momentum above 0 with it, got 0")

    def _kept_count(self) -> int:
        return 1 if self.momentum else 0

    def _change(self, weights: list[Weight], slopes: list[Array], rate: float) -> None:
        sgd_step(
            weights,
            slopes,
            rate=rate,
            momentum=self.momentum,
            decay=self.weight_decay,
            nesterov=self.nesterov,
            backend=self.backend,
        )


class Adam(Optimizer):
    """Adam (Kingma, Ba 2015): the gradient over the root of its square's running mean, without the start's bias.

        m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,
        w <- w - eta (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    G3, G4. Not in the sources.

    Parameters
    ----------
    learning_rate : float
        eta, at least 0.
    betas : (float, float)
        b1 and b2, from 0 to below 1.
    eps : float
        Above 0.
    weight_decay : float
        At least 0; added to the gradient, as in `SGD`.
    backend : str or None
        As `SGD` takes it.

    Raises
    ------
    TypeError, ValueError
        A number of another kind or out of its range.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        backend: str | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, backend)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas: expected two numbers, got {_check.shown(betas)}")
        self.betas = below_one("betas[0]", betas[0]), below_one("betas[1]", betas[1])
        self.eps = number("eps", eps, "a number above 0", lambda v: v > 0)

    def _kept_count(self) -> int:
        return 2

    def _change(self, weights: list[Weight], slopes: list[Array], rate: float) -> None:
        beta1, beta2 = self.betas
        adam_step(
            weights,
            slopes,
            rate=rate,
            beta1=beta1,
            beta2=beta2,
            eps=self.eps,
            t=self.updates + 1,
            decay=self.weight_decay,
            backend=self.backend,
        )
