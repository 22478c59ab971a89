"""Teaching code as back ends: numpy-ml, DeZero, MyGrad and chainer, whose layers many learn a CNN from.

    python tests/field/teaching.py [--library NAME] [audit's options, such as --op conv2d]

audits each library that is installed and prints what is found first of each op and check; docs/teaching.md has what
came out. Nothing of theirs is mended on the way: padding is handed to them, and what they cannot be asked (groups, a
stride that differs by axis) is left out by name.
"""

import argparse
import collections
import collections.abc
import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np

import cnnx
from cnnx.audit import audit
from cnnx.backend import Kernels, MissingKernelError

Array = np.ndarray[Any, Any]
Kernel = Callable[..., None]


def declined(what: str) -> MissingKernelError:
    return MissingKernelError(f"the library has no {what}", what, "it has none")


def behind(extent: int, outputs: int, step: int, span: int, before: int) -> int:
    """Padding at the end that makes so many outputs: what is needed, or as much as before where that does too."""
    needed = max(0, (outputs - 1) * step + span - extent - before)
    return before if before >= needed and (extent + 2 * before - span) // step + 1 == outputs else needed


def sides(Z: Array, Y: Array, R: int, S: int, n: dict[str, int]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right."""
    spans = n.get("d_h", 1) * (R - 1) + 1, n.get("d_w", 1) * (S - 1) + 1
    below = behind(Z.shape[2], Y.shape[2], n["u"], spans[0], n["p_h"])
    beside = behind(Z.shape[3], Y.shape[3], n["v"], spans[1], n["p_w"])
    return n["p_h"], below, n["p_w"], beside


def symmetric(Z: Array, Y: Array, R: int, S: int, n: dict[str, int]) -> tuple[int, int]:
    top, below, left, beside = sides(Z, Y, R, S, n)
    if (top, left) != (below, beside):
        raise declined("padding that differs by side")
    return top, left


def plain(n: dict[str, int], *, dilation: bool = False) -> None:
    if n.get("groups", 1) != 1:
        raise declined("groups")
    if not dilation and (n.get("d_h", 1), n.get("d_w", 1)) != (1, 1):
        raise declined("dilation")


class Graph:
    """Kernels of a library that has a graph: a function makes an output of variables, a gradient runs back from it."""

    def __init__(self, variable: Callable[[Array], Any], backward: Callable[[Any, Array], None]) -> None:
        self.variable, self.backward = variable, backward

    def pair(self, function: Callable[..., Any], count: int = 1) -> tuple[Kernel, Callable[..., list[Array]]]:
        def forward(*arrays: Array, **numbers: Any) -> None:
            *inputs, Y = arrays
            Y[...] = function(*map(self.variable, inputs), Y=Y, **numbers).data

        def gradient(Delta: Array, *inputs: Array, **numbers: Any) -> list[Array]:
            variables = [self.variable(a) for a in inputs]
            self.backward(function(*variables, Y=Delta, **numbers), Delta.copy())
            return [_array(v.grad) for v in variables]

        return forward, gradient


def _array(a: Any) -> Array:
    return np.asarray(getattr(a, "data", a) if not isinstance(a, np.ndarray) else a)


def with_gradients(kernels: dict[str, Kernel], op: str, pair: tuple[Kernel, Callable[..., list[Array]]]) -> None:
    """An op of one input: its forward kernel and the gradient."""
    forward, gradient = pair
    kernels[op] = forward

    def grad_input(Delta: Array, Z: Array, dZ: Array, **numbers: Any) -> None:
        dZ[...] = gradient(Delta, Z, **numbers)[0]

    kernels[f"{op}_grad_input"] = grad_input


def convolution(kernels: dict[str, Kernel], pair: tuple[Kernel, Callable[..., list[Array]]]) -> None:
    """conv2d and its gradients, of a function of images, weights and bias."""
    forward, gradient = pair
    kernels["conv2d"] = forward

    def grad_input(Delta: Array, F: Array, dZ: Array, **n: Any) -> None:
        dZ[...] = gradient(Delta, np.zeros_like(dZ), F, np.zeros(len(F), F.dtype), **n)[0]

    def grad_weight(Delta: Array, Z: Array, dF: Array, **n: Any) -> None:
        dF[...] = gradient(Delta, Z, np.zeros_like(dF), np.zeros(len(dF), Z.dtype), **n)[1]

    kernels |= {"conv2d_grad_input": grad_input, "conv2d_grad_weight": grad_weight}


def of_graph(F: Any, graph: Graph, *, dilation: bool = False) -> dict[str, Kernel]:
    """What DeZero and chainer have under the same names."""
    kernels: dict[str, Kernel] = {}

    def conv(x: Any, w: Any, b: Any, *, Y: Array, **n: int) -> Any:
        plain(n, dilation=dilation)
        pad = symmetric(x.data, Y, *w.data.shape[2:], n)
        more = {"dilate": (n["d_h"], n["d_w"])} if dilation else {}
        return F["conv2d"](x, w, b, (n["u"], n["v"]), pad, **more)

    convolution(kernels, graph.pair(conv))
    for op, name in (("max_pool2d", "max"), ("avg_pool2d", "average")):

        def pool(x: Any, *, Y: Array, R: int, S: int, name: str = name, **n: int) -> Any:
            return F[name](x, (R, S), (n["u"], n["v"]), symmetric(x.data, Y, R, S, n))

        with_gradients(kernels, op, graph.pair(pool))
    for op in ("relu", "sigmoid", "tanh"):
        with_gradients(kernels, op, graph.pair(lambda x, *, Y, op=op: F[op](x)))
    with_gradients(kernels, "leaky_relu", graph.pair(lambda x, *, Y, slope: F["leaky_relu"](x, slope)))
    for op in ("softmax", "log_softmax"):
        with_gradients(kernels, op, graph.pair(lambda x, *, Y, op=op: F[op](x, axis=1)))
    kernels["affine"] = graph.pair(lambda x, w, b, *, Y: F["linear"](x, w, b))[0]
    return kernels


def dezero() -> Kernels:
    np.int = int  # type: ignore[attr-defined]  # it asks for what NumPy 1.24 dropped
    import dezero.functions as functions
    import dezero.functions_conv as conv
    from dezero import Variable

    names = {
        name: getattr(functions, name) for name in ("relu", "sigmoid", "tanh", "leaky_relu", "softmax", "log_softmax")
    }
    names |= {"conv2d": conv.conv2d, "max": conv.pooling, "average": conv.average_pooling}
    names["linear"] = lambda x, w, b: functions.linear(x, functions.transpose(w), b)

    def backward(y: Any, Delta: Array) -> None:
        y.grad = Variable(Delta)
        y.backward()

    return Kernels(of_graph(names, Graph(Variable, backward)), compat="torch")


def chainer() -> Kernels:
    import chainer.functions as functions
    from chainer import Variable

    names = {
        name: getattr(functions, name) for name in ("relu", "sigmoid", "tanh", "leaky_relu", "softmax", "log_softmax")
    }
    names["conv2d"] = lambda x, w, b, stride, pad, dilate: functions.convolution_2d(x, w, b, stride, pad, dilate=dilate)
    names["max"] = lambda x, k, s, p: functions.max_pooling_2d(x, k, s, p, cover_all=False)
    names["average"] = functions.average_pooling_2d
    names["linear"] = functions.linear

    def backward(y: Any, Delta: Array) -> None:
        y.grad = Delta
        y.backward()

    kernels = of_graph(names, Graph(Variable, backward), dilation=True)
    return Kernels(kernels, compat="torch")


def mygrad() -> Kernels:
    import mygrad
    from mygrad import nnet

    def conv(x: Any, w: Any, b: Any, *, Y: Array, **n: int) -> Any:
        plain(n, dilation=True)
        pad = symmetric(x.data, Y, *w.data.shape[2:], n)
        stride, dilation = (n["u"], n["v"]), (n["d_h"], n["d_w"])
        return nnet.conv_nd(x, w, stride=stride, padding=pad, dilation=dilation) + b.reshape(1, -1, 1, 1)

    def pool(x: Any, *, Y: Array, R: int, S: int, u: int, v: int, p_h: int, p_w: int) -> Any:
        if p_h or p_w or symmetric(x.data, Y, R, S, {"u": u, "v": v, "p_h": p_h, "p_w": p_w}) != (0, 0):
            raise declined("padding")
        return nnet.max_pool(x, (R, S), (u, v))

    kernels: dict[str, Kernel] = {}
    graph = Graph(mygrad.tensor, lambda y, Delta: y.backward(Delta))
    convolution(kernels, graph.pair(conv))
    with_gradients(kernels, "max_pool2d", graph.pair(pool))
    for op, function in {"relu": nnet.relu, "sigmoid": nnet.sigmoid, "tanh": mygrad.tanh}.items():
        with_gradients(kernels, op, graph.pair(lambda x, *, Y, f=function: f(x)))
    with_gradients(kernels, "leaky_relu", graph.pair(lambda x, *, Y, slope: nnet.leaky_relu(x, slope)))
    with_gradients(kernels, "elu", graph.pair(lambda x, *, Y, alpha: nnet.elu(x, alpha)))
    with_gradients(kernels, "softmax", graph.pair(lambda x, *, Y: nnet.softmax(x, axis=1)))
    with_gradients(kernels, "log_softmax", graph.pair(lambda x, *, Y: nnet.logsoftmax(x, axis=1)))
    return Kernels(kernels, compat="torch")


def numpy_ml() -> Kernels:
    collections.Hashable = collections.abc.Hashable  # type: ignore[attr-defined]  # it imports what Python 3.10 dropped
    from numpy_ml.neural_nets import activations, layers

    def last(a: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(a, 1, -1))

    def first(a: Array) -> Array:
        return np.moveaxis(a, -1, 1)

    def one(n: dict[str, int]) -> int:
        if n["u"] != n["v"]:
            raise declined("stride that differs by axis")
        return n["u"]

    def conv(Z: Array, F: Array, b: Array, Y: Array, n: dict[str, int]) -> Any:
        plain(n, dilation=True)
        if n["d_h"] != n["d_w"]:
            raise declined("dilation that differs by axis")
        K, C, R, S = F.shape
        layer = layers.Conv2D(K, (R, S), sides(Z, Y, R, S, n), one(n), n["d_h"] - 1)
        layer.in_ch = C
        layer._init_params()
        layer.parameters = {"W": np.ascontiguousarray(F.transpose(2, 3, 1, 0)), "b": b.reshape(1, 1, 1, -1)}
        return layer, layer.forward(last(Z))

    def conv2d(Z: Array, F: Array, b: Array, Y: Array, **n: int) -> None:
        Y[...] = first(conv(Z, F, b, Y, n)[1])

    def conv2d_grad_input(Delta: Array, F: Array, dZ: Array, **n: int) -> None:
        layer, _ = conv(np.zeros_like(dZ), F, np.zeros(len(F), F.dtype), Delta, n)
        dZ[...] = first(layer.backward(last(Delta)))

    def conv2d_grad_weight(Delta: Array, Z: Array, dF: Array, **n: int) -> None:
        layer, _ = conv(Z, np.zeros_like(dF), np.zeros(len(dF), Z.dtype), Delta, n)
        layer.backward(last(Delta))
        dF[...] = layer.gradients["W"].transpose(3, 2, 0, 1)

    def pooled(mode: str, Z: Array, Y: Array, R: int, S: int, n: dict[str, int]) -> Any:
        layer = layers.Pool2D((R, S), one(n), sides(Z, Y, R, S, n), mode)
        return layer, layer.forward(last(Z))

    def pool(mode: str) -> tuple[Kernel, Kernel]:
        def forward(Z: Array, Y: Array, *, R: int, S: int, **n: int) -> None:
            Y[...] = first(pooled(mode, Z, Y, R, S, n)[1])

        def grad_input(Delta: Array, Z: Array, dZ: Array, *, R: int, S: int, **n: int) -> None:
            dZ[...] = first(pooled(mode, Z, Delta, R, S, n)[0].backward(last(Delta)))

        return forward, grad_input

    def batch_norm(Z: Array, g: Array, b: Array, eps: float) -> Any:
        layer = layers.BatchNorm2D(epsilon=eps)
        layer.in_ch = layer.out_ch = Z.shape[1]
        layer._init_params()
        layer.parameters |= {"scaler": g, "intercept": b}
        return layer, layer.forward(last(Z))

    def batch_norm2d(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
        Y[...] = first(batch_norm(Z, g, b, eps)[1])

    def softmax(Z: Array, Y: Array) -> None:
        Y[...] = first(layers.Softmax(dim=-1).forward(last(Z)))

    def softmax_grad_input(Delta: Array, Z: Array, dZ: Array) -> None:
        layer = layers.Softmax(dim=-1)
        layer.forward(last(Z).reshape(-1, Z.shape[1]))
        dZ[...] = first(np.reshape(layer.backward(last(Delta).reshape(-1, Z.shape[1])), last(Z).shape))

    kernels: dict[str, Kernel] = {
        "conv2d": conv2d,
        "conv2d_grad_input": conv2d_grad_input,
        "conv2d_grad_weight": conv2d_grad_weight,
        "softmax": softmax,
        "softmax_grad_input": softmax_grad_input,
    }
    for op, mode in (("max_pool2d", "max"), ("avg_pool2d", "average")):
        kernels[op], kernels[f"{op}_grad_input"] = pool(mode)
    makers: dict[str, Callable[..., Any]] = {
        "relu": activations.ReLU,
        "sigmoid": activations.Sigmoid,
        "tanh": activations.Tanh,
        "softplus": activations.SoftPlus,
        "leaky_relu": lambda slope: activations.LeakyReLU(alpha=slope),
        "elu": lambda alpha: activations.ELU(alpha=alpha),
    }
    for op, make in makers.items():

        def forward(Z: Array, Y: Array, *, make: Callable[..., Any] = make, **n: float) -> None:
            Y[...] = make(**n).fn(Z)

        def grad_input(Delta: Array, Z: Array, dZ: Array, *, make: Callable[..., Any] = make, **n: float) -> None:
            dZ[...] = Delta * make(**n).grad(Z)

        kernels[op], kernels[f"{op}_grad_input"] = forward, grad_input
    return Kernels(kernels, compat="torch")


LIBRARIES: dict[str, Callable[[], Kernels]] = {
    "numpy-ml": numpy_ml,
    "dezero": dezero,
    "mygrad": mygrad,
    "chainer": chainer,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="audits the layers of teaching code")
    parser.add_argument("--library", action="append", choices=LIBRARIES)
    parser.add_argument("--op", action="append")
    parser.add_argument("--check", action="append", default=None)
    parser.add_argument("--shrink", type=float, default=5.0, help="seconds for each finding")
    arguments = parser.parse_args()
    for library in arguments.library or LIBRARIES:
        try:
            kernels = LIBRARIES[library]()
            version = importlib.metadata.version(library)
        except ImportError as error:
            print(f"{library}: not installed ({error})")
            continue
        cnnx.register_backend(library, kernels)
        checks = arguments.check or ["exact", "bound", "special", "worked", "search"]
        ops = arguments.op or sorted({op for op in kernels if not op.endswith(("_input", "_weight"))})
        print(f"== {library} {version}, NumPy {np.__version__}", flush=True)
        for op in ops:
            report = audit([op], checks=checks, backend=library, shrink=arguments.shrink, measure=False)
            for result in report.results:
                if result.failing:
                    found = result.failing[0]
                    words = f"{len(result.failing)} of {result.ran} ({found.case}, {found.dtype})"
                    print(
                        f"{op}, {result.check}: {words}\n    {found.shrunk or found.case}: {found.what[:300]}",
                        flush=True,
                    )
                elif result.ran:
                    print(f"{op}, {result.check}: {result.ran} agree", flush=True)


if __name__ == "__main__":
    main()
