"""How optimisers change weights (G1 to G3): what `cnnx.nn.SGD` and `cnnx.nn.Adam` call.

An optimiser's step has nothing to differentiate, so its kernels belong to no Op: KERNELS is the list that tests walk.
"""

from collections.abc import Sequence

import numpy as np

from .. import _check
from .. import backend as _backend
from .._check import Array

KERNELS = ("sgd", "sgd_momentum", "adam")


class Weight:
    """An array that is changed in place, with what an optimiser keeps for it: checked once, for many steps.

    Parameters
    ----------
    name : str
        For messages.
    array : array, float32 or float64
        Of any layout, but not read-only.
    kept : arrays of its shape and dtype, C-contiguous
        Momenta; steps change them too.

    Raises
    ------
    TypeError
        No array, or another dtype.
    ValueError
        A read-only array.
    """

    __slots__ = ("array", "copied", "dtype", "flat", "flat_kept", "kept", "name", "precision", "shape")

    def __init__(self, name: str, array: Array, kept: tuple[Array, ...]) -> None:
        (plain,) = _check.floats(**{name: array})
        self.name, self.array, self.kept = name, array, kept
        self.shape, self.dtype, self.precision = plain.shape, plain.dtype, plain.dtype.name
        self._check_writeable()
        self.copied = plain is not array  # a layout that kernels do not take
        self.flat, self.flat_kept = plain.ravel(), tuple(one.ravel() for one in kept)  # views

    def gradient(self, gradient: Array) -> Array:
        """dE/dw as a kernel takes it. This is called at every step: the first lines are all that most steps need.

        Raises
        ------
        ValueError
            Another shape, a dtype that is not cast to the weight's, a weight that has become read-only.
        """
        array = self.array
        if (
            not self.copied
            and type(gradient) is np.ndarray
            and gradient.dtype == self.dtype
            and gradient.shape == self.shape
            and gradient.flags.carray  # C-contiguous, aligned and writeable
            and array.flags.carray
        ):
            return gradient.ravel()
        self._check_writeable()
        given = _check.array(f"gradient of {self.name}", gradient)
        if given.shape != array.shape or not np.can_cast(given.dtype, self.dtype, "same_kind"):
            got = f"got {given.shape}, {given.dtype}"
            raise ValueError(f"gradient of {self.name}: expected shape {array.shape}, {array.dtype}, {got}")
        if self.copied:
            self.flat[...] = array.ravel()
        return given.astype(self.dtype, copy=False).ravel()

    def write_back(self) -> None:
        """Hand a copy's numbers back to its array."""
        self.array[...] = self.flat.reshape(self.shape)

    def _check_writeable(self) -> None:
        if not self.array.flags.writeable:
            raise ValueError(f"{self.name}: expected an array that can be changed, got a read-only one")


def sgd_step(
    weights: Sequence[Weight],
    slopes: Sequence[Array],
    *,
    rate: float,
    momentum: float = 0.0,
    decay: float = 0.0,
    nesterov: bool = False,
    backend: str | None = None,
) -> None:
    """Gradient descent in place: w <- w - rate g (G1), or with momentum, for which each weight keeps v, G2.

    slopes : dE/dw of each, as its `Weight.gradient` returned it; g is dE/dw + decay w.

    Raises
    ------
    NotImplementedError
        The back end lacks the kernel.
    """
    if momentum:
        kernels = _kernels("sgd_momentum", weights, backend)
        for weight, dE in zip(weights, slopes, strict=True):
            w, (v,) = weight.flat, weight.flat_kept
            kernels[weight.precision](w, dE, v, w, v, rate=rate, momentum=momentum, decay=decay, nesterov=int(nesterov))
            if weight.copied:
                weight.write_back()
        return
    kernels = _kernels("sgd", weights, backend)
    for weight, dE in zip(weights, slopes, strict=True):
        w = weight.flat
        kernels[weight.precision](w, dE, w, rate=rate, decay=decay)
        if weight.copied:
            weight.write_back()


def adam_step(
    weights: Sequence[Weight],
    slopes: Sequence[Array],
    *,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    t: int,
    decay: float = 0.0,
    backend: str | None = None,
) -> None:
    """Adam in place (G3), in update t = 1, 2, ...; each weight keeps m1 and m2.

    slopes, Raises
        As in `sgd_step`.
    """
    kernels = _kernels("adam", weights, backend)
    for weight, dE in zip(weights, slopes, strict=True):
        w, (m1, m2) = weight.flat, weight.flat_kept
        kernels[weight.precision](
            w, dE, m1, m2, w, m1, m2, rate=rate, beta1=beta1, beta2=beta2, eps=eps, decay=decay, t=t
        )
        if weight.copied:
            weight.write_back()


def _kernels(name: str, weights: Sequence[Weight], backend: str | None) -> dict[str, _backend.Kernel]:
    """The kernel for each dtype among the weights; a back end that lacks one is found out before anything changes."""
    return {precision: _backend.kernel(name, precision, backend) for precision in {w.precision for w in weights}}
