"""The cases that mutants are tried on: as small as their bugs allow."""

from typing import Any

from ...ops import Case, Draw


def _conv(name: str, x: tuple[int, ...], weight: tuple[int, ...], **options: Any) -> Case:
    return Case(name, {"x": x, "weight": weight, "bias": (weight[0],)}, options, exact=True)


def _conv_transpose(name: str, x: tuple[int, ...], weight: tuple[int, ...], **options: Any) -> Case:
    arrays = {"x": x, "weight": weight, "bias": (weight[1] * options.get("groups", 1),)}
    return Case(name, arrays, options, exact=True)


def _winograd(name: str, x: tuple[int, ...], R: int = 3, **options: Any) -> Case:
    arrays = {"x": x, "weight": (1, x[1], R, R)}
    return Case(f"Winograd, {name}", arrays, {"algorithm": "winograd", **options})


def _pool(name: str, x: tuple[int, ...], kernel_size: Any, *, exact: bool = True, **options: Any) -> Case:
    return Case(name, {"x": x}, {"kernel_size": kernel_size, **options}, exact)


def _resize(name: str, x: tuple[int, ...], size: Any, *, exact: bool = True, **options: Any) -> Case:
    return Case(name, {"x": x}, {"size": size, **options}, exact)


def _sizes(*, exact: bool = False, **options: Any) -> tuple[Case, ...]:
    shapes = {"vector": (37,), "long vector": (101,), "tail": (7,), "rows": (3, 5)}
    return tuple(_elements(name, shape, exact=exact, **options) for name, shape in shapes.items())


def _elements(name: str, shape: tuple[int, ...], *, exact: bool = False, **options: Any) -> Case:
    return Case(name, {"x": shape}, options, exact)


def _affine(name: str, N: int, J: int, K: int) -> Case:
    return Case(name, {"x": (N, J), "weight": (K, J), "bias": (K,)}, exact=True)


def _norm(name: str, x: tuple[int, ...], *, training: bool, **options: Any) -> Case:
    C = x[1]
    running: dict[str, tuple[int, ...] | Draw] = (
        {} if training else {"running_mean": (C,), "running_var": Draw((C,), "positive")}
    )
    arrays = {"x": Draw(x, "channels"), "weight": (C,), "bias": (C,), **running}
    return Case(name, arrays, {"training": training, **options})


def _sets(name: str, x: tuple[int, ...], parameters: tuple[int, ...], length: int, **options: Any) -> Case:
    return Case(name, {"x": Draw(x, "sets", length=length), "weight": parameters, "bias": parameters}, options)


def _squared(name: str, shape: tuple[int, ...], reduction: str) -> Case:
    return Case(name, {"y": shape, "target": shape}, {"reduction": reduction}, exact=reduction == "sum")


def _entropy(name: str, N: int, M: int, kind: Any, reduction: str) -> Case:
    target = Draw((N,), "index", high=M) if kind == "index" else Draw((N, M), kind)
    return Case(name, {"logits": (N, M), "target": target}, {"reduction": reduction})


CASES: dict[str, tuple[Case, ...]] = {
    "conv2d": (
        _conv("three images, 18 columns", (3, 1, 2, 18), (2, 1, 2, 2)),
        _conv("odd rows, three channels, stride", (1, 3, 7, 5), (2, 3, 3, 2), stride=(2, 3)),
        _conv("padding by side, dilation", (1, 1, 4, 5), (1, 1, 2, 2), dilation=(2, 1), padding=((0, 1), (1, 2))),
        _conv("groups of five channels, padding", (1, 2, 2, 2), (10, 1, 2, 2), groups=2, padding=1),
        _winograd("one tile of 2", (1, 1, 4, 4)),
        _winograd("tile of 2", (1, 2, 3, 3), padding=(1, 0)),
        _winograd("tile of 4", (1, 1, 4, 4), padding=1),
        _winograd("5x5", (1, 1, 5, 6), 5, padding=1),
    ),
    "conv_transpose2d": (
        _conv_transpose("two images, stride", (2, 2, 3, 2), (2, 3, 3, 2), stride=(2, 3)),
        _conv_transpose(
            "padding by side, output padding",
            (1, 1, 3, 3),
            (1, 2, 2, 3),
            stride=2,
            padding=((0, 1), (1, 0)),
            output_padding=(0, 1),
        ),
        _conv_transpose("groups, dilation", (1, 4, 2, 3), (4, 2, 2, 2), groups=2, dilation=(2, 1), padding=1),
    ),
    "max_pool2d": (
        _pool("rectangular", (1, 2, 4, 6), (3, 2), stride=(1, 2)),
        _pool("padding", (1, 1, 4, 5), 2, padding=1),
        _pool("winners", (2, 1, 4, 4), (2, 3), stride=1, return_winners=True),
        _pool("winners, padding", (1, 1, 3, 4), 2, stride=2, padding=1, return_winners=True),
    ),
    "avg_pool2d": (
        _pool("4x2", (1, 2, 5, 4), (4, 2), stride=1),
        _pool("padding", (1, 1, 4, 5), (2, 3), stride=2, padding=1, exact=False),
        _pool("padding counted", (1, 1, 4, 5), 2, stride=2, padding=1, count_include_pad=True),
        _pool("ceil", (1, 1, 4, 4), 3, stride=2, padding=1, count_include_pad=True, ceil_mode=True, exact=False),
    ),
    "lp_pool2d": (
        _pool("rho 2", (1, 2, 4, 4), 2, norm_type=2, exact=False),
        _pool("rho 3", (1, 1, 3, 4), 2, norm_type=3, stride=1, exact=False),
        _pool("rho 3, sum", (1, 1, 2, 4), (1, 2), norm_type=3, normalize=False, exact=False),
    ),
    **{
        name: (
            Case("2x4", {"x": (2, 3, 2, 4)}, exact=True),
            Case("3x3", {"x": (1, 2, 3, 3)}, exact=name == "global_max_pool2d"),
        )
        for name in ("global_avg_pool2d", "global_max_pool2d")
    },
    "upsample2d": (
        _resize("ties", (1, 2, 4, 6), (2, 9)),
        _resize("bilinear", (2, 1, 3, 4), (5, 7), exact=False, mode="bilinear"),
        _resize("bilinear doubled", (1, 1, 2, 3), (4, 6), mode="bilinear"),
    ),
    **{name: _sizes(exact=True) for name in ("relu", "step", "identity")},
    **{name: (*_sizes(), _elements("saved output", (7,), output=True)) for name in ("sigmoid", "tanh")},
    **{name: _sizes() for name in ("softplus", "gelu", "hard_sigmoid", "hard_swish", "silu")},
    "leaky_relu": _sizes(negative_slope=0.5),
    "elu": _sizes(alpha=1.75),
    "clip": _sizes(exact=True, min=-1.0, max=2.0),
    "prelu": (
        Case("two channels", {"x": (3, 2, 5), "weight": (2,)}, exact=True),
        Case("one slope", {"x": (7,), "weight": (1,)}, exact=True),
    ),
    "softmax": (_elements("rows", (3, 5)), _elements("columns", (4, 2), axis=0)),
    "log_softmax": (_elements("rows", (3, 5)), _elements("columns", (4, 2), axis=0)),
    "affine": (
        _affine("square", 3, 4, 4),
        _affine("tall", 2, 3, 5),
        _affine("many samples", 18, 2, 3),
    ),
    **{
        name: (
            Case("rows and a row", {"a": (3, 4), "b": (4,)}, exact=True),
            Case("a column and a row", {"a": (3, 1), "b": (1, 3)}, exact=True),
            Case("one shape", {"a": (2, 3), "b": (2, 3)}, exact=True),
        )
        for name in ("add", "multiply")
    },
    "matmul": (
        Case("squares", {"a": (4, 4), "b": (4, 4)}, exact=True),
        Case("two axes", {"a": (2, 2, 2, 3), "b": (2, 2, 3, 2)}, exact=True),
        Case("repeated", {"a": (2, 3), "b": (2, 3, 4)}, exact=True),
        Case("repeated within", {"a": (2, 2, 1, 2, 3), "b": (2, 1, 3, 3, 2)}, exact=True),
    ),
    "dropout": (
        Case("half", {"x": (21,), "mask": Draw((21,), "mask")}, {"rate": 0.5}, exact=True),
        Case("three in four", {"x": (3, 7), "mask": Draw((3, 7), "mask")}, {"rate": 0.75}, exact=True),
        Case("tenth", {"x": (3, 4), "mask": Draw((3, 4), "mask")}, {"rate": 0.1}),
    ),
    "batch_norm2d": (
        _norm("training", (2, 2, 2, 3), training=True),
        _norm("six channels", (1, 6, 1, 4), training=True),
        _norm("inference, eps", (1, 2, 2, 2), training=False, eps=0.25),
    ),
    "group_norm": (
        _sets("two groups", (2, 6, 2), (6,), 6, num_groups=2),
        _sets("rows, eps", (1, 4), (4,), 2, num_groups=2, eps=0.25),
    ),
    "instance_norm": (
        _sets("images", (2, 2, 2, 3), (2,), 6),
        _sets("eps", (1, 2, 5), (2,), 5, eps=0.25),
    ),
    "layer_norm": (
        _sets("rows", (3, 4), (4,), 4, normalized_shape=4),
        _sets("two axes, eps", (2, 2, 3), (2, 3), 6, normalized_shape=(2, 3), eps=0.25),
    ),
    "local_response_norm": (
        _elements("three of five channels", (2, 5, 3), size=3, alpha=3.0),
        _elements("even", (1, 4, 2), size=2, alpha=1.0, beta=1.0),
        _elements("k", (1, 3, 2), size=5, alpha=2.0, beta=0.5, k=2.0),
    ),
    "squared_error": (
        *(
            _squared(f"sum, {name}", shape, "sum")
            for name, shape in {"rows": (3, 4), "row": (1, 9), "pairs": (7, 2)}.items()
        ),
        _squared("mean", (3, 4), "mean"),
    ),
    "cross_entropy": (
        _entropy("index", 3, 4, "index", "mean"),
        _entropy("probability", 3, 4, "probability", "mean"),
        _entropy("number", 2, 3, "number", "sum"),
    ),
}
