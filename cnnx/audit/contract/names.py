"""What the arrays and numbers of a kernel's contract are called: cnnx's public names, beside the equations' own."""

from dataclasses import dataclass
from typing import Any

from ... import backend as _backend
from ...ops import OPS, Op
from .._signature import signature
from . import whole
from .layout import IMAGES, KERNELS, MATRIX, ROWS, TRANSPOSED

# Ops of one forward kernel, of given statistics where there are some.
CONTRACTED = (
    "conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "lp_pool2d", "global_avg_pool2d", "global_max_pool2d",
    "relu", "sigmoid", "tanh", "step", "identity", "leaky_relu", "elu", "softplus", "gelu", "clip", "hard_sigmoid",
    "hard_swish", "silu", "prelu", "softmax", "log_softmax", "affine", "add", "multiply", "matmul",
    "local_response_norm", "batch_norm2d", "upsample2d", "dropout", "squared_error", "cross_entropy",
    "layer_norm", "group_norm", "instance_norm",
)  # fmt: skip
IN_LAYOUTS = (*CONTRACTED[:7], "affine", "local_response_norm", "batch_norm2d", "upsample2d")
ROWWISE = ("softmax", "log_softmax")  # whose kernels see (before the axis, axis, behind it)

ARRAYS = {
    "Z": "x", "F": "weight", "w": "weight", "b": "bias", "Delta": "grad_output", "A": "a", "B": "b", "Y": "y",
    "dZ": "grad_x", "dF": "grad_weight", "dw": "grad_weight", "db": "grad_bias", "dA": "grad_a", "dB": "grad_b",
}  # fmt: skip

# Where an op's own names differ.
_OF_OP = {
    "batch_norm2d": {"g": "weight", "mean": "running_mean", "var": "running_var", "dg": "grad_weight"},
    "dropout": {"mask": "mask"},
    "squared_error": {"A": "y", "T": "target", "E": "loss", "dA": "grad_y"},
    "cross_entropy": {"Z": "logits", "t": "target", "E": "loss", "dZ": "grad_logits"},
}
GIVEN = ("running_mean", "running_var", "mask", "target")  # arrays of which there are no gradients
NUM_GROUPS, NORMALIZED = "num_groups", "normalized_shape"  # the second is as long as the weight
KINDS = {"mask": "bool"}  # of arrays that hold no real numbers
INDICES = ("int32", "int64")
MODE, INDEX = "mode", "index"
ROUNDED = {"upsample2d", "dropout", "squared_error"}  # whose options say whether integers stay integers
TRAINING = {"batch_norm2d_grad_input"}  # kernels of statistics that depend on x

# Numbers by their public names: of one each, and of two.
SINGLE = {
    "negative_slope": "slope", "min": "low", "max": "high", "norm_type": "rho", "count_include_pad": "include_pad",
}  # fmt: skip
PAIRS = {"stride": ("u", "v"), "padding": ("p_h", "p_w"), "dilation": ("d_h", "d_w"), "kernel_size": ("R", "S")}
PADS, OUTPUT_PADDING, CEIL_MODE, SIZE = "pads", "output_padding", "ceil_mode", "size"
# By the option that they come from, all the names under which a function may be handed it.
SAID = {
    **{public: {public, own} for public, own in SINGLE.items()},
    **{public: {public, *own} for public, own in PAIRS.items()},
    "padding": {"padding", PADS, "p_h", "p_w"},
    SIZE: {SIZE, "P", "Q"},
    "reduction": {"divisor"},
}

Places = dict[str, tuple[tuple[str, int], ...]]

# Extents that a function may be limited to, by their letters: which axes of which arguments they are.
_OF_IMAGES: Places = {letter: (("x", i),) for i, letter in enumerate("NCHW")}
_OF_CONV: Places = {**_OF_IMAGES, "K": (("weight", 0), ("bias", 0)), "R": (("weight", 2),), "S": (("weight", 3),)}
_OF_ROWS: Places = {"N": (("x", 0),), "J": (("x", 1), ("weight", 1)), "I": (("weight", 0), ("bias", 0))}
AXES: dict[str, Places] = {
    "affine": _OF_ROWS,
    "conv2d": {**_OF_CONV, "C": (("x", 1), ("weight", 1))},
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "lp_pool2d", "global_avg_pool2d", "global_max_pool2d"), _OF_IMAGES),
}
LIMITED = {op: (*axes, *(("kernel_size",) if op == "conv2d" else ())) for op, axes in AXES.items()}

# Extents by their letters, of arrays by their public names.
_IMAGES = {"x": "NCHW", "grad_x": "NCHW", "y": "NKPQ", "grad_output": "NKPQ"}
_KERNELS = {"weight": "K.RS", "grad_weight": "K.RS"}
_ROWS = {"x": "NJ", "grad_x": "NJ", "weight": "IJ", "grad_weight": "IJ", "y": "NI", "grad_output": "NI"}
_TRANSPOSED = {"weight": "..RS", "grad_weight": "..RS"}
_LOGITS = {"logits": "NM", "grad_logits": "NM"}
_LETTERS = {"conv2d": _KERNELS, "conv_transpose2d": _TRANSPOSED, "affine": _ROWS, "cross_entropy": _LOGITS}
SPOKEN = {
    "affine": "NJI",
    "cross_entropy": "NM",
    **dict.fromkeys(("dropout", "squared_error", *whole.OPS), ""),
}  # letters that a function may be handed; of other ops NCHWKRSPQ


@dataclass(frozen=True)
class Signature:
    """One kernel of an op: what it takes and gives, by public names."""

    kernel: str
    inputs: tuple[str, ...]
    output: str
    numbers: tuple[str, ...]


def op_of(name: str) -> Op:
    """An op of cnnx by its name."""
    return next(op for op in OPS if op.name == name)


def of_kernel(kernel: str) -> Signature:
    """A kernel of the reference, by public names; KeyError where it has arrays that contracts do not."""
    parameters = list(signature(_backend.reference_kernel(kernel)).parameters.values())
    inputs = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    outputs = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    numbers = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
    own = next((names for op, names in _OF_OP.items() if kernel.startswith(op)), {})
    known = {k: v for k, v in {**ARRAYS, **own}.items() if k != "B" or outputs != ["dZ"]}  # B: winners
    (output,) = (known[name] for name in outputs)
    return Signature(kernel, tuple(known[name] for name in inputs), output, numbers)


def forward_of(op: Op, variant: str = "") -> str:
    """An op's forward kernel; of a variant (`Kernel.variant`) where there are several."""
    return f"{op.name}_{variant}" if variant else op.kernels[0]


def forward_signature(op: Op, variant: str = "") -> Signature:
    """The op's forward kernel, by public names."""
    if op.name in whole.OPS:
        return Signature(whole.kernel_of(op.name), ("x", "weight", "bias"), "y", ("eps",))
    return of_kernel(forward_of(op, variant))


def gradients_of(op: Op, variant: str = "") -> dict[str, str]:
    """The kernels of an op's gradients by the name of what they are of: "x" -> "conv2d_grad_input"."""
    found: dict[str, str] = {}
    if op.name in whole.OPS:  # they are of statistics that a function does not hand out
        return found
    for kernel in op.kernels:
        if "_grad_" not in kernel or "winograd" in kernel or kernel in TRAINING:
            continue
        if variant and not kernel.startswith(forward_of(op, variant)):
            continue
        try:
            found.setdefault(of_kernel(kernel).output.removeprefix("grad_"), kernel)
        except KeyError:  # of winners, of a saved output
            continue
    return found


def axes_of(op: str, array: str) -> str | None:
    """The axes of an array in cnnx's order, if it can have a layout."""
    name = "y" if array in ("grad_output", "residual") else array.removeprefix("grad_")
    if op not in IN_LAYOUTS:
        return None
    if name in ("x", "y"):
        return ROWS if op == "affine" else IMAGES
    if name == "weight":
        return {"affine": MATRIX, "conv2d": KERNELS, "conv_transpose2d": TRANSPOSED}.get(op)
    return None


def extents(op: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Extents by their letters: N, C, H, W, K, R, S, P, Q; of affine N, J, I."""
    letters = _LETTERS[op] if op in ("affine", "cross_entropy") else {**_IMAGES, **_LETTERS.get(op, {})}
    found: dict[str, int] = {}
    for name, shape in shapes.items():
        word = letters.get(name, "")
        if len(word) == len(shape):
            found |= {letter: n for letter, n in zip(word, shape, strict=True) if letter != "."}
    return found


def windows(op: str, numbers: dict[str, Any], extent: dict[str, int], *, ceil: bool) -> dict[str, Any]:
    """Numbers of several at once: stride, dilation, kernel_size, padding and what follows from it.

    ceil : whether a last window may reach beyond the padding.

    `padding` is left out where the two sides need different ones; `pads` is (top, left, bottom, right).
    """
    known = {**{k: v for k, v in extent.items() if k in "RS"}, **numbers}
    found: dict[str, Any] = {name: (known[a], known[b]) for name, (a, b) in PAIRS.items() if a in known and b in known}
    if op == "upsample2d" and "P" in extent and "Q" in extent:
        found[SIZE] = (extent["P"], extent["Q"])
    if "padding" not in found or not all(k in known for k in "RS") or not all(k in extent for k in "HWPQ"):
        return found
    image, counts, steps = (extent["H"], extent["W"]), (extent["P"], extent["Q"]), found["stride"]
    kernel, dilation, before = (known["R"], known["S"]), found.get("dilation", (1, 1)), found["padding"]
    if op == "conv_transpose2d":
        image, counts = counts, image
    spans = [u * (n - 1) + d * (r - 1) + 1 for u, n, d, r in zip(steps, counts, dilation, kernel, strict=True)]
    after = [span - p - n for span, p, n in zip(spans, before, image, strict=True)]
    if op == "conv_transpose2d":
        more = [p - end for p, end in zip(before, after, strict=True)]  # rows that no window reaches
        limit = [max(u, d) for u, d in zip(steps, dilation, strict=True)]
        found[OUTPUT_PADDING] = tuple(more)
        if not all(0 <= n < most for n, most in zip(more, limit, strict=True)):
            del found["padding"]
        return found
    found[PADS] = (*before, *(max(0, end) for end in after))
    found[CEIL_MODE] = any(end > p for end, p in zip(after, before, strict=True))
    fits = all(0 <= p - end < u for p, end, u in zip(before, after, steps, strict=True))
    # With ceil_mode a window begins within the image: as a library counts them, one more than fits.
    over = ceil and all(-u < p - end for p, end, u in zip(before, after, steps, strict=True))
    if not fits and not over:
        del found["padding"]
    return found
