"""One piece of homework, called: a class with forward and backward, or functions, in whatever way they take things."""

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data import Array
from . import roles

ARRAYS = dict.fromkeys(("conv2d", "affine", "batch_norm2d"), ("x", "weight", "bias"))
OPTIONS = {
    "conv2d": ("stride", "padding"),
    "max_pool2d": ("kernel_size", "stride", "padding"),
    "avg_pool2d": ("kernel_size", "stride", "padding"),
}
WINDOW = {"kernel_size", "rows", "columns"}


class RaisedError(Exception):
    """What homework raised: its own words, and where in its file."""


class UnclearError(Exception):
    """How something of homework is to be called is not clear: a parameter of it."""


@dataclass
class Unit:
    """What of a file stands for an op: a class, or a forward and a backward function, or one of them."""

    op: str
    name: str
    line: int
    file: str
    kind: type | None = None
    fore: Callable[..., Any] | None = None
    back: Callable[..., Any] | None = None
    transposed: bool = False  # affine: its weight has inputs before outputs
    only_training: bool = False  # nothing tells it that it does not train
    planar: bool = False  # it takes one image of one channel, without axes for examples and channels
    saying: str = ""  # the gradients in the order in which a tuple has them
    options: tuple[str, ...] = field(init=False, default=())
    gives: tuple[str, ...] = field(init=False, default=())

    @property
    def arrays(self) -> tuple[str, ...]:
        """The op's arrays by their public names."""
        return ARRAYS.get(self.op, ("x",))

    @property
    def has_backward(self) -> bool:
        """Whether it has a backward pass."""
        return callable(getattr(self.kind, "backward", None)) if self.kind else self.back is not None

    @property
    def has_forward(self) -> bool:
        """Whether it has a forward pass."""
        return self.kind is not None or self.fore is not None

    # ------------------------------------------------------------------------------------- calling

    def forward(self, arrays: Mapping[str, Array], numbers: Mapping[str, Any]) -> Any:
        """What the forward pass gives, as it gives it."""
        given = self._given(arrays, numbers)
        return self._lifted(_first(self._fore(given)[0]))

    def backward(self, delta: Array, arrays: Mapping[str, Array], numbers: Mapping[str, Any]) -> dict[str, Any]:
        """The gradients that the backward pass gives, by what they are of."""
        given = self._given(arrays, numbers)
        given["grad_output"] = delta[0, 0] if self.planar else delta
        if self.kind is not None:
            layer = self._fore(given)[1]
            returned = self._call(layer.backward, ("grad_output",), given)
            found = self._named(returned, given)
            for of in self.arrays[1:]:
                value = roles.gradient(layer, of, self.arrays)
                if of not in found and value is not None:
                    found[of] = value
        else:
            assert self.back is not None
            parameters = inspect.signature(self.back).parameters
            wanted = {roles.role_of(name, self.op) for name in parameters}
            if "cache" in wanted and self.fore is not None:
                returned = self._fore(given)[0]
                given["cache"] = returned[1] if isinstance(returned, tuple) and len(returned) > 1 else returned
            if "output" in wanted:
                if self.fore is None:
                    raise UnclearError(
                        f"{self.name}({next(n for n in parameters if roles.role_of(n, self.op) == 'output')})"
                    )
                given["output"] = _first(self._fore(given)[0])
            if self.op in ("sigmoid", "tanh", "relu") and len(parameters) == 1:  # phi', without Delta
                found = {"x": given["grad_output"] * self._call(self.back, ("x",), given)}
            else:
                order = ("grad_output", *roles.ORDER.get(self.op, ("x",)))
                found = self._named(self._call(self.back, order, given), given)
        return {of: self._untransposed(of, self._lifted(value)) for of, value in found.items()}

    def loss(self, x: Array, target: Array) -> tuple[Any, Any]:
        """A cost's value and its gradient with respect to x; None for what it does not have."""
        given: dict[str, Any] = {"x": x.copy(), "target": target.copy()}
        if self.kind is not None:
            layer = self._make(given)
            value = self._call(layer.forward, ("x", "target"), given)
            grad = self._call(layer.backward, ("x", "target"), given) if self.has_backward else None
            return _first(value), grad
        value = self._call(self.fore, ("x", "target"), given) if self.fore else None
        grad = self._call(self.back, ("x", "target"), given) if self.back else None
        return _first(value), grad

    # ------------------------------------------------------------------------------------- within

    def _given(self, arrays: Mapping[str, Array], numbers: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name in self.arrays:
            if name in arrays:
                a: Any = arrays[name]
                if self.planar:
                    a = a[0, 0] if a.ndim == 4 else float(a[0])
                given[name] = a.T if name == "weight" and self.transposed else a
        if "weight" in given and "bias" not in given:
            given["bias"] = 0.0 if self.planar else np.zeros(len(arrays["weight"]))
        for name in OPTIONS.get(self.op, ()):
            if name in numbers:
                given[name] = numbers[name]
        if "kernel_size" in given:
            given["rows"] = given["columns"] = given["kernel_size"]
        settings = {"stride": given.get("stride", 1), "pad": given.get("padding", 0)}
        if "kernel_size" in given:
            settings |= {"pool_height": given["kernel_size"], "pool_width": given["kernel_size"]}
        given["settings"] = settings
        if self.op == "conv2d" and "weight" in arrays:
            K, C, R, _ = arrays["weight"].shape
            given |= {"in_channels": C, "out_channels": K, "kernel_size": R}
        if self.op == "affine" and "weight" in arrays:
            given |= {"in_channels": arrays["weight"].shape[1], "out_channels": arrays["weight"].shape[0]}
        return given

    def _fore(self, given: Mapping[str, Any]) -> tuple[Any, Any]:
        """What the forward pass returned, and the layer, if it is one."""
        if self.kind is None:
            assert self.fore is not None
            return self._call(self.fore, roles.ORDER.get(self.op, ("x",)), given), None
        layer = self._make(given)
        return self._call(layer.forward, ("x",), given), layer

    def _make(self, given: Mapping[str, Any]) -> Any:
        assert self.kind is not None
        own = {role: value for role, value in given.items() if role not in ("x", "target", "grad_output")}
        made = inspect.signature(self.kind).parameters
        handed: set[str] = set()
        if made:
            order = [role for role in roles.ORDER.get(self.op, ()) if role != "x"]
            layer, handed = self._called(self.kind, order, own)
        else:
            layer = self._guarded(self.kind)
        for role in ("weight", "bias"):
            if role in given and role not in handed:
                name = roles.attribute(layer, role)
                if name is not None:
                    setattr(layer, name, given[role])
        return layer

    def _call(self, function: Any, order: tuple[str, ...], given: Mapping[str, Any]) -> Any:
        return self._called(function, order, given)[0]

    def _called(self, function: Any, order: Any, given: Mapping[str, Any]) -> tuple[Any, set[str]]:
        try:
            names = roles.bound(function, self.op, order, given)
        except ValueError as error:
            where = self.name if function in (self.kind, self.fore, self.back) else f"{self.name}.{function.__name__}"
            raise UnclearError(f"{where}({error})") from None
        values = {name: given[role] for name, role in names.items()}
        kinds = {name: p.kind for name, p in inspect.signature(function).parameters.items()}
        by_name = {n: v for n, v in values.items() if kinds[n] is not inspect.Parameter.POSITIONAL_ONLY}
        in_order = [v for n, v in values.items() if n not in by_name]
        return self._guarded(function, *in_order, **by_name), set(names.values())

    def _guarded(self, function: Any, *values: Any, **by_name: Any) -> Any:
        """Call it; what it raises is told in one line, with the line of the file."""
        try:
            return function(*values, **by_name)
        except (Exception, SystemExit) as error:
            lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == self.file]
            where = f"{self.file.rpartition('/')[2]}:{lines[-1]}: " if lines else ""
            words = " ".join(str(error).split())
            raise RaisedError(f"{where}{type(error).__name__}{': ' if words else ''}{words}") from error

    def _named(self, returned: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """Gradients by what they are of: an array is x's, a tuple has them in order, or by their shapes."""
        if isinstance(returned, Mapping):
            return {of: v for n, v in returned.items() if (of := roles.gradient_name(str(n))) is not None}
        if not isinstance(returned, (tuple, list)):
            return {} if returned is None else {"x": returned}
        names = [name for name in self.arrays if name in given][: len(returned)]
        shapes = {name: np.shape(given[name]) for name in names}
        if self.saying:
            names = self.saying.split()
        elif len(set(shapes.values())) == len(shapes) == len(returned):
            by_shape = {shape: name for name, shape in shapes.items()}
            found = [by_shape.get(np.shape(value), "") for value in returned]
            if sorted(found) == sorted(names):
                names = found
                self.saying = " ".join(found)
        return dict(zip(names, returned, strict=False))

    def _lifted(self, value: Any) -> Any:
        if not self.planar:
            return value
        a = np.asarray(value, dtype=float)
        return a.reshape(1, 1, *a.shape) if a.ndim == 2 else a.reshape(1) if a.ndim == 0 else value

    def _untransposed(self, of: str, value: Any) -> Any:
        return np.asarray(value).T if of == "weight" and self.transposed else value


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value
