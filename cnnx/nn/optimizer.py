"""Optimisers: how a gradient changes the weights (G1)."""

import numpy as np

from ..ops import _check
from ..ops._check import Array
from ._arguments import below_one, not_negative, number
from ._layer import Layer, described


class Optimizer:
    """What SGD and Adam share: one step over all parameters of a model, in place.

    An optimiser belongs to one model, whose momenta it keeps by the parameters' names.

    Attributes
    ----------
    updates : int
        How many steps were done; schedules go by it, so that a second `fit` goes on where the first ended.
    """

    def __init__(self, learning_rate: float, weight_decay: float) -> None:
        self.learning_rate = not_negative("learning_rate", learning_rate)
        self.weight_decay = not_negative("weight_decay", weight_decay)
        self.updates = 0
        self._state: dict[str, tuple[Array, ...]] = {}

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
            parameter, or of another dtype; a parameter is read-only.
        """
        model.expect_unfrozen(f"{type(self).__name__}.step")
        rate = self.learning_rate * not_negative("factor", factor)
        parameters, gradients = model.parameters, model.gradients
        if missing := [name for name in parameters if name not in gradients]:
            raise RuntimeError(f"{type(self).__name__}.step: expected a backward call first; no gradient of {missing}")
        for name, w in parameters.items():
            self._check(name, w, gradients[name])
        self.updates += 1
        for name, w in parameters.items():
            gradient = gradients[name]
            if self.weight_decay:
                gradient = gradient + self.weight_decay * w
            self._change(name, w, gradient, rate)

    def _change(self, name: str, w: Array, gradient: Array, rate: float) -> None:
        raise NotImplementedError(f"{type(self).__name__}._change")

    def _check(self, name: str, w: Array, gradient: Array) -> None:
        if not w.flags.writeable:
            raise ValueError(f"{name}: expected an array that can be changed, got a read-only one")
        if gradient.shape != w.shape or not np.can_cast(gradient.dtype, w.dtype, "same_kind"):
            raise ValueError(
                f"gradient of {name}: expected shape {w.shape}, {w.dtype}, got {gradient.shape}, {gradient.dtype}"
            )
        for kept in self._state.get(name, ()):
            if kept.shape != w.shape or kept.dtype != w.dtype:
                raise ValueError(
                    f"{name}: expected shape {kept.shape}, {kept.dtype}, as at this optimiser's first step, "
                    f"got {w.shape}, {w.dtype}; make a new optimiser for another model"
                )

    def _kept(self, name: str, w: Array, count: int) -> tuple[Array, ...]:
        """The `count` arrays kept for parameter `w`: zeros at first."""
        if name not in self._state:
            self._state[name] = tuple(np.zeros_like(w) for _ in range(count))
        return self._state[name]

    def __repr__(self) -> str:
        return described(self)


class SGD(Optimizer):
    """Gradient descent, w <- w - eta dE/dw; with momentum mu, v <- mu v + dE/dw and w <- w - eta v.

    G1. Sources: D19 (5), (6), (11), (12); momentum and weight decay are not in them.

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
        self, learning_rate: float = 0.1, *, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__(learning_rate, weight_decay)
        self.momentum = below_one("momentum", momentum)
        self.nesterov = _check.flag("nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: expected a momentum above 0 with it, got 0")

    def _change(self, name: str, w: Array, gradient: Array, rate: float) -> None:
        if self.momentum:
            (v,) = self._kept(name, w, 1)
            v *= self.momentum
            v += gradient
            gradient = gradient + self.momentum * v if self.nesterov else v
        w -= rate * gradient


class Adam(Optimizer):
    """Adam (Kingma, Ba 2015): the gradient over the root of its square's running mean, without the start's bias.

        m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,
        w <- w - eta (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    Not in the sources.

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
    ) -> None:
        super().__init__(learning_rate, weight_decay)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas: expected two numbers, got {betas!r}")
        self.betas = below_one("betas[0]", betas[0]), below_one("betas[1]", betas[1])
        self.eps = number("eps", eps, "a number above 0", lambda v: v > 0)

    def _change(self, name: str, w: Array, gradient: Array, rate: float) -> None:
        b1, b2 = self.betas
        m, v = self._kept(name, w, 2)
        m += (1 - b1) * (gradient - m)
        v += (1 - b2) * (gradient * gradient - v)
        root = np.sqrt(v / (1 - b2**self.updates))
        w -= (rate / (1 - b1**self.updates)) * m / (root + self.eps)
