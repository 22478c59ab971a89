"""What is measured: shapes, figures and the least ratio (peer's time / cnnx's time) that each has to reach."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Call = Callable[[], Any]
Target = tuple[float | None, float | None]  # on 1 thread, on 2 threads


class Shape(NamedTuple):
    """A convolution of N images of C channels, H x W, to K channels by R x S kernels."""

    N: int
    C: int
    H: int
    W: int
    K: int
    R: int
    S: int
    stride: int
    padding: int
    groups: int = 1

    @property
    def output(self) -> tuple[int, int, int, int]:
        P, Q = (
            (extent + 2 * self.padding - r) // self.stride + 1 for extent, r in ((self.H, self.R), (self.W, self.S))
        )
        return self.N, self.K, P, Q

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.output) * self.C // self.groups * self.R * self.S


CONVOLUTIONS = {
    "A": Shape(64, 1, 28, 28, 8, 3, 3, 1, 1),
    "A2": Shape(10, 1, 28, 28, 4, 3, 3, 1, 1),
    "B": Shape(64, 8, 14, 14, 16, 3, 3, 1, 1),
    "C": Shape(64, 6, 14, 14, 16, 5, 5, 1, 0),
    "D": Shape(8, 64, 56, 56, 64, 3, 3, 1, 1),
    "E": Shape(8, 256, 14, 14, 256, 3, 3, 1, 1),
    "F": Shape(8, 3, 224, 224, 64, 7, 7, 2, 3),
    "G": Shape(8, 256, 56, 56, 64, 1, 1, 1, 0),
    "H": Shape(8, 96, 27, 27, 256, 5, 5, 1, 2),
    "I": Shape(8, 128, 56, 56, 128, 3, 3, 2, 1),
    "J": Shape(8, 128, 56, 56, 128, 3, 3, 1, 1, groups=128),
}
TINY = Shape(1, 1, 3, 3, 1, 3, 3, 1, 1)
POOLS = {"2x2": (2, 2, 0), "3x3": (3, 2, 1)}  # kernel size, stride, padding
POOL_IMAGES = 8, 64, 112, 112
ACTIVATION_IMAGES = 8, 64, 56, 56
AFFINES = {"4096->1024": (64, 4096, 1024), "400->120": (64, 400, 120)}
COSTS = {"(64, 10)": (64, 10), "(256, 1000)": (256, 1000)}
# CN's network, its parameters as cnnx.nn names them and in the order in which torch has them.
CN_PARAMETERS = {
    "0.weight": (4, 1, 3, 3),
    "0.bias": (4,),
    "3.weight": (4, 4, 3, 3),
    "3.bias": (4,),
    "7.weight": (20, 196),
    "7.bias": (20,),
    "9.weight": (10, 20),
    "9.bias": (10,),
}
LEARNING_RATE = 0.01


# Calls that are public ones of cnnx: op ("" is that of the figure's name), direction, further options.
PUBLIC: dict[str, tuple[str, str, dict[str, Any]]] = {
    "conv2d": ("conv2d", "forward", {}),
    "grad-weight": ("conv2d", "backward", {"input_grad": False}),
    "max pool forward": ("max_pool2d", "forward", {}),
    "max pool backward": ("max_pool2d", "backward", {}),
    "average pool forward": ("avg_pool2d", "forward", {}),
    "average pool backward": ("avg_pool2d", "backward", {}),
    "activation forward": ("", "forward", {}),
    "activation backward": ("", "backward", {}),
    "affine forward": ("affine", "forward", {}),
}


@dataclass(frozen=True)
class Figure:
    """One thing to measure.

    call is what is computed, which every framework's module knows by this name; options are its numbers; shapes are
    the arrays that it takes; tolerance is how far results may be apart, as a share of the largest number in them.
    """

    group: str
    name: str
    call: str
    shapes: dict[str, tuple[int, ...]]
    options: dict[str, Any] = field(default_factory=dict)
    target: Target = (None, None)
    target_v3: Target = (None, None)  # with the kernels and torch both limited to AVX2
    dtype: str = "float32"
    tolerance: float = 2e-5
    classes: int = 0  # of the array "target", which holds class indices

    @property
    def key(self) -> str:
        return f"{self.group} {self.name}"

    def public(self) -> tuple[str, str, dict[str, Any]] | None:
        """The call as a public one of cnnx: op, direction and options; None if it is a part of one, or several."""
        if self.call not in PUBLIC:
            return None
        op, direction, more = PUBLIC[self.call]
        options = {name: value for name, value in self.options.items() if name not in ("name", "multiply_adds")}
        return op or self.options["name"], direction, options | more

    def arrays(self) -> dict[str, np.ndarray]:
        """The same numbers in every process."""
        rng = np.random.default_rng(0)
        made = {}
        for name, shape in self.shapes.items():
            if name == "target":
                made[name] = rng.integers(self.classes, size=shape)
            else:
                made[name] = rng.standard_normal(shape, dtype=self.dtype)
        return made


@dataclass(frozen=True)
class WithResult:
    """A call whose result, on which the frameworks have to agree, is not what it returns."""

    call: Call
    result: Call

    def __call__(self) -> Any:
        return self.call()


def changes(update: Call, read: Call) -> list[Any]:
    """What three updates add to the parameters, of which `read` returns copies."""
    before = read()
    for _ in range(3):
        update()
    return [now - then for now, then in zip(read(), before, strict=True)]


# Peer's mean time / cnnx's: the geometric mean over a group.
MEANS: dict[str, Target] = {"conv": (1.85, 1.85), "grad-input": (1.6, 1.6), "grad-weight": (1.4, 1.4)}
MEANS_V3: dict[str, Target] = {"conv": (1.5, None)}


def _convolution(group: str, name: str, shape: Shape, call: str = "conv2d", **more: Any) -> Figure:
    arrays = {
        "x": (shape.N, shape.C, shape.H, shape.W),
        "weight": (shape.K, shape.C // shape.groups, shape.R, shape.S),
        "bias": (shape.K,),
    }
    if call != "conv2d":
        arrays["grad_output"] = shape.output
    options = dict(stride=shape.stride, padding=shape.padding, groups=shape.groups)
    return Figure(group, name, call, arrays, options | more.pop("options", {}), **more)


def _figures() -> Iterator[Figure]:
    alone = {"A": 4.5, "A2": 8.0, "F": 1.3, "G": 2.0, "H": 0.95, "I": 1.2, "J": 3.0}
    for name, shape in CONVOLUTIONS.items():
        target = alone.get(name, 1.0), 0.95 if name == "H" else 1.0
        yield _convolution("conv", name, shape, target=target, target_v3=(0.9, None))
    for name in ("D", "E", "H"):  # here the peer is the processor
        work = {"multiply_adds": CONVOLUTIONS[name].multiply_adds}
        yield _convolution("peak", name, CONVOLUTIONS[name], options=work, target=(0.9, 0.85))
    for call in ("grad-input", "grad-weight"):
        for name, shape in CONVOLUTIONS.items():
            yield _convolution(call, name, shape, call, target=(0.95, 0.95), tolerance=1e-4)
    for name, least in (("D", 2.2), ("E", 2.0)):
        options = {"algorithm": "winograd"}
        yield _convolution("winograd", name, CONVOLUTIONS[name], options=options, target=(least, least), tolerance=1e-4)
    yield from _pools()
    for name, least in (("relu", 1.1), ("sigmoid", 1.3), ("tanh", 8.0)):
        shapes = {"x": ACTIVATION_IMAGES, "grad_output": ACTIVATION_IMAGES}
        for direction, goal in (("forward", least), ("backward", 1.0)):
            options = {"name": name}
            yield Figure(
                "activation", f"{name} {direction}", f"activation {direction}", shapes, options, target=(goal, goal)
            )
    for name, (N, J, K) in AFFINES.items():
        shapes = {"x": (N, J), "weight": (K, J), "bias": (K,), "grad_output": (N, K)}
        for call in ("forward", "grad-input", "grad-weight"):
            yield Figure("affine", f"{name} {call}", f"affine {call}", shapes, target=(1.8, 1.8))
    for name, (N, M) in COSTS.items():
        shapes = {"logits": (N, M), "target": (N,)}
        yield Figure("softmax", name, "cross entropy", shapes, target=(1.5, 1.2), classes=M)
    for batch, target in ((10, (6.0, 5.0)), (64, (4.0, 3.0))):
        shapes = {"x": (batch, 1, 28, 28), "target": (batch,), **CN_PARAMETERS}
        yield Figure("training", f"batch {batch}", "training", shapes, target=target, tolerance=1e-4, classes=10)
    yield _convolution("overhead", "conv2d (1,1,3,3)", TINY, target=(1.0, None))
    for name in ("D", "E"):
        yield _convolution("float64", name, CONVOLUTIONS[name], target=(1.0, 1.0), dtype="float64", tolerance=1e-12)


def _pools() -> Iterator[Figure]:
    targets = {"max": {"2x2": (22.0, 1.5), "3x3": (28.0, 1.5)}, "average": {"2x2": (7.0, 7.0), "3x3": (7.0, 7.0)}}
    N, C, H, W = POOL_IMAGES
    for kind, leasts in targets.items():
        for name, (size, stride, padding) in POOLS.items():
            options = dict(kernel_size=size, stride=stride, padding=padding)
            output = N, C, (H + 2 * padding - size) // stride + 1, (W + 2 * padding - size) // stride + 1
            for direction, least in zip(("forward", "backward"), leasts[name], strict=True):
                shapes = {"x": POOL_IMAGES} | ({"grad_output": output} if direction == "backward" else {})
                call = f"{kind} pool {direction}"
                yield Figure("pool", f"{kind} {name} {direction}", call, shapes, options, target=(least, least))


FIGURES = {figure.key: figure for figure in _figures()}
GROUP_SIZES = Counter(figure.group for figure in FIGURES.values())
GROUPS = tuple(GROUP_SIZES)


def target_of(figure: Figure, threads: int, isa: str | None) -> float | None:
    """The least ratio to torch that is asked of a figure, if any: they are those of AVX-512, some of AVX2."""
    return _on(threads, figure.target_v3 if isa == "v3" else figure.target if isa in (None, "v4") else (None, None))


def mean_target(group: str, threads: int, isa: str | None) -> float | None:
    """The least geometric mean that is asked of a group, if any."""
    means = MEANS_V3 if isa == "v3" else MEANS if isa in (None, "v4") else {}
    return _on(threads, means.get(group, (None, None)))


def _on(threads: int, target: Target) -> float | None:
    return target[threads - 1] if threads <= len(target) else None
