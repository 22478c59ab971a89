"""What every layer and every cost has."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from .._check import Array
from ..ops._plan import lender, lending
from ..ops._replay import Replay
from ._arguments import back_end
from ._flat import Flat
from ._reuse import Reuse
from .summary import Summary, summarize

Result = TypeVar("Result")


def arguments(obj: object) -> dict[str, Any]:
    """The arguments of the call that makes `obj`, as far as it keeps them under their names."""
    return {name: getattr(obj, name) for name in inspect.signature(type(obj)).parameters if hasattr(obj, name)}


def described(obj: object) -> str:
    """`obj` as the call that makes it, without what is at its default."""
    parameters, shown = inspect.signature(type(obj)).parameters, []
    for name, value in arguments(obj).items():
        default = parameters[name].default
        if default is inspect.Parameter.empty:
            shown.append(repr(value))
        elif value is not default and value != default:
            shown.append(f"{name}={value!r}")
    return f"{type(obj).__name__}({', '.join(shown)})"


def frozen_error(what: str) -> str:
    """What is said of a layer that should change its weights, but is frozen."""
    return f"{what}: expected a layer that may change, got a frozen one; call unfreeze() first"


_ONE = (1, 1)


def _counts(forward: Callable[..., Any]) -> tuple[int, int | None]:
    """How many inputs a `_forward` takes, as its signature says: at least, and at most (None: any number)."""
    parameters = list(inspect.signature(forward).parameters.values())[1:]  # without self
    any_number = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    plain = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    least = sum(one.default is one.empty for one in plain)
    found = least, None if any_number else len(plain)
    return _ONE if found == _ONE else found


def counted(least: int, most: int | None) -> str:
    """So many inputs, in words."""
    number = f"at least {least}" if most is None else f"{least}" if least == most else f"{least} to {most}"
    return f"{number} input{'' if (least, most) == _ONE else 's'}"


class Layer(Reuse):
    """A layer: its parameters, and what its forward call has to keep for the backward one.

    A new layer is a subclass with two methods: `_forward(x)` returns the output and whatever the way
    back needs; `_backward(grad_output, saved, input_grad)` fills `self._gradients` and returns dE/dZ
    (or None, where `input_grad` is False and it costs something). A layer of two inputs has `_forward(a, b)`,
    of any number `_forward(*xs)`; its `_backward` returns a tuple of their gradients.

    A layer serves one thread at a time: it remembers its last forward call. Copies and pickles leave
    out what that call kept, the gradients and the arrays for reuse.

    Parameters
    ----------
    backend : str or None
        The back end of this layer's calls; None takes the one chosen at each call.

    Attributes
    ----------
    backend : str or None
        As above; to set a network's sets it for every layer in it.
    training : bool
        Whether Dropout drops and BatchNorm2d takes the batch's statistics; True at first.
    frozen : bool
        Between `freeze` and `unfreeze`; False at first, and in copies and pickles.
    """

    # Where `_forward` and `_backward` do nothing but call ops, on the parameters and what they are given, a class names
    # the attributes that these calls depend on: then they may be replayed (`Replay`). None: they may do more, as in a
    # class that overrides one of the two and does not name its settings anew.
    _settings: ClassVar["attrgetter[Any] | None"] = None
    _takes: ClassVar[tuple[int, int | None]] = (0, None)  # inputs: at least, and at most, or any number
    # Of `_infer`: whether it does nothing but call ops, on the parameters, the buffers and what it is given, so that
    # with these arrays its kernels alone may be run again; and whether each element of its output is made of the same
    # element of its inputs, so that the kernel may write over one of its output's shape. A class that overrides it has
    # to say so anew.
    _replays: ClassVar[bool] = False
    _in_place: ClassVar[bool] = False

    def __init_subclass__(cls, *, settings: tuple[str, ...] | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if settings is not None:
            cls._settings = attrgetter("training", *settings, "_back_end")  # two names or more make it a tuple
        elif not vars(cls).keys().isdisjoint(("_forward", "_backward")):
            cls._settings = None
        if "_forward" in vars(cls) and "_infer" not in vars(cls):
            cls._infer = Layer._infer  # type: ignore[method-assign]  # that of the class before may be another output
        if not vars(cls).keys().isdisjoint(("_forward", "_infer")):
            cls._replays = vars(cls).get("_replays", settings is not None)
            cls._in_place = vars(cls).get("_in_place", False)
        cls._takes = _counts(cls._forward)

    def __init__(self, *, backend: str | None = None) -> None:
        super().__init__()
        self._children: tuple[Layer, ...] = ()
        self._back_end: str | None = None
        self.backend = backend
        self.training = True
        self.frozen = False
        self._parameters: dict[str, Array] = {}
        self._gradients: dict[str, Array] = {}
        self._buffers: dict[str, Array] = {}
        self._saved: tuple[Any] | None = None  # what the last forward call kept, which may be None itself

    @property
    def backend(self) -> str | None:
        return self._back_end

    @backend.setter
    def backend(self, name: str | None) -> None:
        back_end(name)
        for layer in self._walk():
            layer._back_end = name

    def _walk(self) -> Iterator["Layer"]:
        """This layer and all within it."""
        yield self
        for child in self._children:
            yield from child._walk()

    def _inputs(self) -> tuple[int, int | None]:
        """How many inputs it takes: at least, and at most (None: any number)."""
        return self._takes

    def _chosen(self, x: tuple[int, ...]) -> str | None:
        """What a layer that chooses its algorithm by the shape of what comes in takes; None: there is no choice."""
        return None

    def _multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
        """Of the forward call for one image, by the shapes of what comes in and goes out: each weight at each place."""
        return sum(w.size * math.prod(y[2:]) for w in self.parameters.values() if w.ndim > 1)

    def _flatten(self, into: Flat, place: str, sources: tuple[int, ...]) -> int:
        """Add the layers that it calls, with their places; it is itself at `place`. Returns which value is its own."""
        return into.add(place, self, sources)

    def _learns(self) -> bool:
        return bool(self.parameters)

    @property
    def parameters(self) -> Mapping[str, Array]:
        """What is learnt: name -> array. Optimisers write into these arrays, `parameters[name][...] = w`."""
        return self._parameters

    @property
    def gradients(self) -> Mapping[str, Array]:
        """dE/d(parameter) of the last backward call: name -> array; empty before it."""
        return self._gradients

    @property
    def buffers(self) -> Mapping[str, Array]:
        """What is kept but not learnt by gradient (running statistics): name -> array."""
        return self._buffers

    @property
    def generators(self) -> Mapping[str, np.random.Generator]:
        """What random numbers are drawn from (Dropout's masks): name of the attribute -> generator."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.random.Generator)}

    def forward(self, x: Array, *others: Array) -> Array:
        """The layer's output; keeps what `backward` needs (the array x itself, not a copy).

        Parameters
        ----------
        x : array
        *others : array
            For layers of several inputs alone (`Add`).

        Raises
        ------
        TypeError, ValueError
            Another number of inputs; as the layer's op raises them.
        """
        self._saved = None  # a call that fails leaves nothing to go back from
        if others or self._takes is not _ONE:
            self._check_inputs(1 + len(others))
            y, saved = self._run(self._forward_buffers, self._forward, x, *others)
        else:
            y, saved = self._run(self._forward_buffers, self._forward, x)
        self._saved = (saved,)
        return y

    def __call__(self, x: Array, *others: Array) -> Array:
        """The same as `forward`."""
        return self.forward(x, *others)

    def _check_inputs(self, count: int) -> None:
        least, most = self._inputs()
        if count < least or (most is not None and count > most):
            raise TypeError(f"{type(self).__name__}.forward: expected {counted(least, most)}, got {count}")

    def backward(self, grad_output: Array, *, input_grad: bool = True) -> Any:
        """dE/dZ for the last forward call, given dE/dY; overwrites `gradients`.

        Parameters
        ----------
        grad_output : array, shape and dtype of the output
        input_grad : bool
            False skips dE/dZ (the result may then be None), as a first layer wants.

        Returns
        -------
        array, shape and dtype of x
            A tuple of arrays, one for each input, of layers of several inputs.

        Raises
        ------
        RuntimeError
            No forward call came before, or the layer is frozen.
        TypeError, ValueError
            As the layer's op raises them.
        """
        if self.frozen:
            raise RuntimeError(frozen_error(f"{type(self).__name__}.backward"))
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}.backward: expected a forward call first, got none")
        buffers, saved = self._backward_buffers, self._saved[0]
        grad_x, self._gradients = self._run(buffers, self._backward_with_gradients, grad_output, saved, input_grad)
        return grad_x

    def _backward_with_gradients(self, *arguments: Any) -> tuple[Any, dict[str, Array]]:
        return self._backward(*arguments), self._gradients

    def _run(self, buffers: Replay | None, function: Callable[..., Result], *arguments: Any) -> Result:
        if buffers is None and self._borrows:
            outer = lender.get()
            if not isinstance(outer, Replay):
                return function(*arguments)
            buffers = outer.part()
        settings = self._settings
        if buffers is None or settings is None or self.frozen:
            return lending(buffers, function, *arguments)
        return buffers.run(function, arguments, self, *self._parameters.values(), *settings(self))

    def summary(self, input_shape: tuple[int, ...]) -> Summary:
        """Shapes, parameters, multiply-adds and memory of each layer, for one image of this shape.

        Parameters
        ----------
        input_shape : tuple of int
            (C, H, W), or (J,): without the axis of the images.

        Returns
        -------
        Summary
            `print` shows it as a table; `layers`, `parameters`, `multiply_adds`, `memory`, `as_dict()`.

        Raises
        ------
        TypeError, ValueError
            Another shape than the layers take.

        Examples
        --------
        >>> from cnnx import nn
        >>> print(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Affine(144, 10)).summary((1, 8, 8)))
        layer                output     parameters  multiply-adds   memory
        ------------------------------------------------------------------
        input                1 x 8 x 8
        (0) Conv2d(1, 4, 3)  4 x 6 x 6          40          1,296  0.7 KiB
        (1) ReLU()           4 x 6 x 6           0              0  0.6 KiB
        (2) Flatten()        144                 0              0  0.6 KiB
        (3) Affine(144, 10)  10              1,450          1,440  5.7 KiB
        ------------------------------------------------------------------
        for one image                        1,490          2,736  7.5 KiB
        """
        dtypes = [w.dtype for w in self.parameters.values()]
        before = [(one, one.training, one._saved) for one in self._walk()]
        self.eval()
        try:
            return summarize(Flat.of(self), input_shape, dtypes[0] if dtypes else np.float32)
        finally:  # the call costs nothing and leaves no trace
            for one, training, saved in before:
                one.training, one._saved = training, saved

    def train(self, mode: bool = True) -> Self:
        """Switch to training, or with False to evaluation; returns the layer."""
        self.training = bool(mode)
        for child in self._children:
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch to evaluation: nothing is dropped, running statistics are used; returns the layer."""
        return self.train(False)

    def freeze(self) -> Self:
        """Promise that the parameters stay as they are, so that what is made of them can be kept; returns the layer.

        That concerns Conv2d with algorithm="winograd" or "auto", which keeps its transformed kernels. Until `unfreeze`
        a backward call or an optimiser's step is a RuntimeError; numbers written into `parameters` by hand are not
        noticed.
        """
        return self._set_frozen(True)

    def unfreeze(self) -> Self:
        """Take the promise back and drop what was kept; returns the layer."""
        return self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> Self:
        self.frozen = frozen
        for child in self._children:
            child._set_frozen(frozen)
        return self

    def _forward(self, *xs: Any, **_: Any) -> tuple[Array, Any]:
        raise NotImplementedError(f"{type(self).__name__}._forward")

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Any:
        raise NotImplementedError(f"{type(self).__name__}._backward")

    def _infer(self, *xs: Any) -> Array:
        """The output in evaluation, without what the way back would need; it may be x itself."""
        y: Array = self._forward(*xs)[0]
        return y

    def _own(self) -> None:
        """Put copies in the place of arrays that are read-only, such as maps of a file."""
        for layer in self._walk():
            for arrays in (layer._parameters, layer._buffers):
                arrays.update({name: np.array(a) for name, a in arrays.items() if not a.flags.writeable})

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_gradients": {}, "frozen": False}

    def __repr__(self) -> str:
        return described(self)
