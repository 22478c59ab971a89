"""The questions of the table of conventions, each with the probe that answers it: valid input, a few lines.

Answers that a probe names lie far apart, so that `_among` needs no more than two or three digits of a number; what fits
none of them is said as the number that came.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .asked import Array, Asked, LacksError

Probe = Callable[[Asked], str]


@dataclass(frozen=True)
class Question:
    """A question: its key, the ops that it is about, what is asked, and whether it is about an option's default."""

    key: str
    ops: tuple[str, ...]
    text: str
    probe: Probe
    default: bool = False


QUESTIONS: dict[str, Question] = {}


def _question(ops: str, text: str, *, default: bool = False) -> Callable[[Probe], Probe]:
    def add(probe: Probe) -> Probe:
        key = probe.__name__
        QUESTIONS[key] = Question(key, tuple(ops.split()), text, probe, default)
        return probe

    return add


def _among(value: float, answers: dict[str, float], within: float = 1e-3) -> str:
    """The answer whose number it is, within this share of it."""
    value = float(value)
    for words, number in answers.items():
        if (np.isnan(value) and np.isnan(number)) or value == number or abs(value - number) <= within * abs(number):
            return words
    return f"{value:.4g}"


def _f(*values: float, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(np.array(values, "float32").reshape(-1) if len(values) > 1 else np.float32(values[0]),
                           (int(np.prod(shape)),)).reshape(shape).copy()  # fmt: skip


POOLING = "max_pool2d avg_pool2d lp_pool2d"
IN_IMAGE, WHOLE = "members in the image", "the whole window"

# ---------------------------------------------------------------------------------------------- pooling


@_question("avg_pool2d", "ceil mode, no padding: by what is the last window's sum divided?")
def ceil_divisor(e: Asked) -> str:
    y = e.call("avg_pool", _f(1, shape=(1, 1, 6, 6)), kernel=3, stride=2, ceil=True)
    if y.shape[2] == 2:
        return "ceil mode is ignored"
    return _among(y[0, 0, -1, -1], {IN_IMAGE: 1, WHOLE: 4 / 9})


@_question("avg_pool2d", "ceil mode, padding counted: by what is the last window's sum divided?")
def ceil_divisor_padded(e: Asked) -> str:
    y = e.call("avg_pool", _f(1, shape=(1, 1, 6, 6)), kernel=3, stride=2, padding=1, ceil=True, include=True)
    if y.shape[2] == 3:
        return "ceil mode is ignored"
    return _among(y[0, 0, -1, -1], {"members in the padded image": 1 / 4, WHOLE: 1 / 9, IN_IMAGE: 1})


@_question(POOLING, "ceil mode: is there a last window that would start in the padding?")
def ceil_start(e: Asked) -> str:
    y = e.call("max_pool", _f(-1, shape=(1, 1, 2, 2)), kernel=2, stride=3, padding=1, ceil=True)
    return "no" if y.shape[2] == 1 else f"yes, its maximum is {_among(y[0, 0, -1, -1], {'-inf': -np.inf, '0': 0})}"


@_question("avg_pool2d", "does padding count in the divisor, where nothing is said?", default=True)
def average_divisor(e: Asked) -> str:
    y = e.call("avg_pool", _f(1, shape=(1, 1, 4, 4)), kernel=3, stride=1, padding=1)
    return _among(y[0, 0, 0, 0], {"padding counts": 4 / 9, "padding does not count": 1})


@_question("avg_pool2d", 'padding "same": does padding count in the divisor?')
def same_divisor(e: Asked) -> str:
    y = e.call("avg_pool", _f(1, shape=(1, 1, 5, 5)), kernel=3, stride=1, padding="same")
    return _among(y[0, 0, 0, 0], {"padding counts": 4 / 9, "padding does not count": 1})


@_question(POOLING, 'padding "same", pooling by 2 columns at a stride of 2 over 5: on which side is the odd column?')
def same_odd_pool(e: Asked) -> str:
    y = e.call("max_pool", _f(1, 2, 3, 4, 5, shape=(1, 1, 1, 5)), kernel=(1, 2), stride=(1, 2), padding="same")
    return _among(y[0, 0, 0, 0], {"behind": 2, "before": 1})


@_question(POOLING, 'padding "same", pooling by 3 columns at a stride of 2 over 6: on which side is the odd column?')
def same_odd_pool_stride(e: Asked) -> str:
    x = _f(1, 2, 3, 4, 5, 6, shape=(1, 1, 1, 6))
    y = e.call("max_pool", x, kernel=(1, 3), stride=(1, 2), padding="same")
    return _among(y[0, 0, 0, 0], {"behind": 3, "before": 2})


@_question("max_pool2d", "can padding win a maximum?")
def maximum_padding(e: Asked) -> str:
    y = e.call("max_pool", _f(-1, shape=(1, 1, 4, 4)), kernel=3, stride=1, padding=1)
    return _among(y[0, 0, 0, 0], {"no": -1, "yes, it is 0": 0})


@_question("max_pool2d global_max_pool2d", "the maximum of nothing but -inf")
def maximum_of_minus_infinity(e: Asked) -> str:
    y = e.call("max_pool", _f(-np.inf, shape=(1, 1, 2, 2)), kernel=2, stride=2)
    return _among(y[0, 0, 0, 0], {"-inf": -np.inf, "the least finite number": -float(np.finfo("float32").max)})


@_question("max_pool2d", "to whom goes the gradient of a tie (or whom do indices name)?")
def ties(e: Asked) -> str:
    x = _f(1, shape=(1, 1, 2, 2))
    if not hasattr(e, "max_indices"):
        gave = e.gradient("max_pool", x, kernel=2, stride=2).reshape(-1).tolist()
        known = {(1, 0, 0, 0): "the first", (0, 0, 0, 1): "the last", (0.25,) * 4: "all alike, a share each"}
        return known.get(tuple(gave), "all, the whole to each" if gave == [1] * 4 else f"{gave}")
    which = int(e.call("max_indices", x, kernel=2, stride=2).reshape(-1)[0])
    return {0: "the first", 3: "the last"}.get(which, f"index {which}")


def _nan_at(e: Asked, place: int) -> str:
    x = _f(1, shape=(1, 1, 6, 6))  # of one window alone it might be another kernel, for a whole image
    x[0, 0, place // 3, place % 3] = np.nan
    y = e.call("max_pool", x, kernel=3, stride=3)
    return _among(y[0, 0, 0, 0], {"NaN": np.nan, "lost": 1})


@_question("max_pool2d", "NaN in a maximum, first in its window")
def nan_first(e: Asked) -> str:
    return _nan_at(e, 0)


@_question("max_pool2d", "NaN in a maximum, in the middle of its window")
def nan_middle(e: Asked) -> str:
    return _nan_at(e, 4)


@_question("max_pool2d", "NaN in a maximum, last in its window")
def nan_last(e: Asked) -> str:
    return _nan_at(e, 8)


@_question("lp_pool2d", "Lp pooling with an odd exponent: are absolute values taken?")
def lp_sign(e: Asked) -> str:
    y = e.call("lp_pool", _f(-1, shape=(1, 1, 2, 2)), p=3, kernel=2)
    size = abs(float(y[0, 0, 0, 0]))  # the cubic root of 4, or of 1 where it is divided by 4
    return _among(y[0, 0, 0, 0], {"no, NaN": np.nan, "yes": size, "no, signs stay": -size})


@_question("lp_pool2d", "Lp pooling: is the sum divided by the number of members?")
def lp_division(e: Asked) -> str:
    y = e.call("lp_pool", _f(1, shape=(1, 1, 2, 2)), p=2, kernel=2)
    return _among(y[0, 0, 0, 0], {"no": 2, "yes": 1})


@_question("lp_pool2d", "Lp pooling: the gradient of a window of zeros")
def lp_gradient_at_zero(e: Asked) -> str:
    gave = e.gradient("lp_pool", _f(0, shape=(1, 1, 2, 2)), p=2, kernel=2)
    return _among(gave[0, 0, 0, 0], {"0": 0, "NaN": np.nan, "inf": np.inf})


# ------------------------------------------------------------------------------------------ activations


@_question("relu", "the sign of relu(-0.0), of 37 in a row")
def relu_minus_zero(e: Asked) -> str:
    negative = np.signbit(e.call("relu", _f(-0.0, shape=(1, 37))))[0]
    if negative.all() or not negative.any():
        return "kept" if negative.all() else "dropped"
    count = int(negative.sum())
    return f"kept in the last {count} of 37" if negative[-count:].all() else f"kept in {count} of 37"


@_question("relu", "relu(NaN)")
def relu_nan(e: Asked) -> str:
    return _among(e.call("relu", _f(np.nan, shape=(1, 17)))[0, 0], {"NaN": np.nan, "0": 0})


@_question("relu", "the slope of relu at 0")
def relu_slope(e: Asked) -> str:
    return _among(e.gradient("relu", _f(0, shape=(1, 9)))[0, 0], {"0": 0, "1": 1, "1/2": 0.5})


@_question("leaky_relu", "the slope of leaky_relu at 0, with a negative slope of 1/4")
def leaky_relu_slope(e: Asked) -> str:
    gave = e.gradient("leaky_relu", _f(0, shape=(1, 9)), slope=0.25)[0, 0]
    return _among(gave, {"that of the left": 0.25, "1": 1, "the mean of both": 0.625})


@_question("leaky_relu", "leaky_relu's slope, where nothing is said", default=True)
def leaky_relu_default(e: Asked) -> str:
    return f"{-float(e.call('leaky_relu', _f(-1, shape=(1, 9)))[0, 0]):.3g}"


@_question("elu", "the slope of elu at 0, with an alpha of 2")
def elu_slope(e: Asked) -> str:
    return _among(e.gradient("elu", _f(0, shape=(1, 9)), alpha=2.0)[0, 0], {"alpha": 2, "1": 1, "0": 0})


@_question("clip", "the slope of clip at its lower bound")
def clip_slope_low(e: Asked) -> str:
    return _among(e.gradient("clip", _f(-1, shape=(1, 9)), low=-1.0, high=1.0)[0, 0], {"0": 0, "1": 1, "1/2": 0.5})


@_question("clip", "the slope of clip at its upper bound")
def clip_slope_high(e: Asked) -> str:
    return _among(e.gradient("clip", _f(1, shape=(1, 9)), low=-1.0, high=1.0)[0, 0], {"0": 0, "1": 1, "1/2": 0.5})


@_question("gelu", "which gelu, where nothing is said", default=True)
def gelu_form(e: Asked) -> str:
    gave = float(e.call("gelu", _f(-3, shape=(1, 9)))[0, 0])
    forms = {"exact, by erf": -0.00404969, "by tanh": -0.00363739, "z sigmoid(1.702 z)": -0.0180692}
    return _among(gave, forms, within=0.01)  # of a tanh that is itself an approximation


@_question("gelu", "gelu(-10), -7.6e-23")
def gelu_tail(e: Asked) -> str:
    return _among(e.call("gelu", _f(-10, shape=(1, 9)))[0, 0], {"as it is": -7.61985e-23, "0": 0})


@_question("sigmoid", "sigmoid(-30), 9.4e-14")
def sigmoid_tail(e: Asked) -> str:
    return _among(e.call("sigmoid", _f(-30, shape=(1, 9)))[0, 0], {"as it is": 9.35762e-14, "0": 0})


@_question("tanh", "tanh(100)")
def tanh_far(e: Asked) -> str:
    return _among(e.call("tanh", _f(100, shape=(1, 9)))[0, 0], {"1": 1, "NaN": np.nan})


@_question("hard_sigmoid", "hard_sigmoid's slope, where nothing is said", default=True)
def hard_sigmoid_slope(e: Asked) -> str:
    return _among(float(e.call("hard_sigmoid", _f(1, shape=(1, 9)))[0, 0]) - 0.5, {"1/6": 1 / 6, "1/5": 0.2})


@_question("softmax", "softmax of a row of -inf")
def softmax_of_minus_infinity(e: Asked) -> str:
    return _among(e.call("softmax", _f(-np.inf, shape=(1, 4)))[0, 0], {"NaN": np.nan, "0": 0, "1/n": 0.25})


# ------------------------------------------------------------------------------------- batch normalisation


@_question("batch_norm2d", "training: is the running variance the biased one (by n) or the unbiased one (by n - 1)?")
def running_variance(e: Asked) -> str:
    _, _, var = e.batch_norm(np.array([0, 2], "float32").reshape(2, 1, 1, 1), momentum=0.5)
    return _among(float(np.asarray(var).reshape(-1)[0]), {"biased": 1, "unbiased": 1.5})


@_question("batch_norm2d", "training: whose share is the momentum, the new statistics' or the old ones'?")
def momentum_share(e: Asked) -> str:
    _, mean, _ = e.batch_norm(np.array([0, 2], "float32").reshape(2, 1, 1, 1), momentum=0.75)
    return _among(float(np.asarray(mean).reshape(-1)[0]), {"the new ones'": 0.75, "the old ones'": 0.25})


@_question("batch_norm2d", "the new statistics' share, where nothing is said", default=True)
def momentum_default(e: Asked) -> str:
    _, mean, _ = e.batch_norm(np.array([0, 2], "float32").reshape(2, 1, 1, 1))
    return f"{float(np.asarray(mean).reshape(-1)[0]):.2g}"


@_question("batch_norm2d", "eps, where nothing is said", default=True)
def eps_default(e: Asked) -> str:
    y, _, _ = e.batch_norm(np.array([-0.01, 0.01], "float32").reshape(2, 1, 1, 1))
    return f"{(0.01 / float(np.asarray(y).reshape(-1)[1])) ** 2 - 1e-4:.1g}"


@_question("batch_norm2d", "training on 10000 + 1 and 10000 - 1, alternating: the size of the results, which is 1")
def variance_far_from_zero(e: Asked) -> str:
    x = np.where(np.arange(64) % 2, 10001, 9999).astype("float32").reshape(4, 1, 4, 4)
    y, _, _ = e.batch_norm(x)
    return f"{float(np.abs(np.asarray(y, 'float64')).mean()):.3g}"


# -------------------------------------------------------------------------------------------- costs


@_question("cross_entropy", "weights of classes: by what is the sum divided for the mean?")
def weighted_mean(e: Asked) -> str:
    logits, weight = np.zeros((2, 3), "float32"), np.array([1, 3, 1], "float32")
    gave = e.cross_entropy(logits, np.array([0, 1]), weight=weight)
    return _among(gave, {"the sum of the weights": np.log(3), "the number of rows": 2 * np.log(3)})


@_question("cross_entropy", "label smoothing: does the target have a part of what is spread?")
def smoothing(e: Asked) -> str:
    gave = e.cross_entropy(np.array([[2, 0, 0]], "float32"), np.array([0]), smoothing=0.3)
    whole = float(np.log(np.exp(2) + 2))
    return _among(gave, {"yes, of all classes": whole - 1.6, "no, of the others": whole - 1.4})


# ------------------------------------------------------------------------------- convolution, resizing, numbers


def _images(n: int, seed: int = 0, c: int = 16, side: int = 13) -> Array:
    return np.random.default_rng(seed).standard_normal((n, c, side, side), "float32")


@_question("conv2d", "is the kernel flipped?")
def kernel_flipped(e: Asked) -> str:
    y = e.call("conv2d", _f(0, 1, 0, shape=(1, 1, 1, 3)), _f(1, 2, shape=(1, 1, 1, 2)))
    return _among(y[0, 0, 0, 0], {"no: cross-correlation": 2, "yes": 1})


@_question("conv2d", 'padding "same", 2 columns over 4: on which side is the odd column?')
def same_odd_conv(e: Asked) -> str:
    x, w = _f(1, 2, 3, 4, shape=(1, 1, 1, 4)), _f(1, 1, shape=(1, 1, 1, 2))
    return _among(e.call("conv2d", x, w, padding="same")[0, 0, 0, 0], {"behind": 3, "before": 1})


@_question("conv2d", 'padding "same", 3 columns at a stride of 2 over 6: on which side is the odd column?')
def same_odd_conv_stride(e: Asked) -> str:
    x, w = _f(1, 2, 3, 4, 5, 6, shape=(1, 1, 1, 6)), _f(1, 1, 1, shape=(1, 1, 1, 3))
    return _among(e.call("conv2d", x, w, padding="same", stride=2)[0, 0, 0, 0], {"behind": 6, "before": 3})


@_question("conv2d", "3x3, stride 1, 16 channels of small integers: is the result exact?")
def integers_exact(e: Asked) -> str:
    rng = np.random.default_rng(1)
    x, w = (rng.integers(-8, 9, shape).astype("float32") for shape in ((1, 16, 18, 18), (16, 16, 3, 3)))
    y = e.call("conv2d", x, w)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("int64"), (3, 3), (2, 3))
    off = float(np.abs(y - np.einsum("nchwrs,kcrs->nkhw", windows, w.astype("int64"))).max())
    return "yes" if off == 0 else f"no, off by {off:.1g}"


def _precision(gave: Array, small: Array) -> str:
    if float(gave.reshape(-1)[0]) != 1 + 2**-10:
        return _among(float(gave.reshape(-1)[0]) - 1, {"bfloat16: 1 + 2^-10 becomes 1": 0, "16 bits": 2**-10})
    return "float32" if float(small.reshape(-1)[0]) == 1 + 2**-20 else "fewer bits than float32"


@_question("conv2d", "in which precision is a float32 convolution computed, where nothing is said?")
def precision_conv(e: Asked) -> str:
    w = np.eye(16, dtype="float32").reshape(16, 16, 1, 1)
    return _precision(*(e.call("conv2d", _f(1 + 2.0**n, shape=(1, 16, 8, 8)), w) for n in (-10, -20)))


@_question("affine matmul", "in which precision is a float32 matrix product computed, where nothing is said?")
def precision_matmul(e: Asked) -> str:
    w = np.eye(64, dtype="float32")
    return _precision(*(e.call("matmul", _f(1 + 2.0**n, shape=(32, 64)), w) for n in (-10, -20)))


@_question("conv2d", "is 1e-40 (below the normal numbers) times 1 kept?")
def subnormal(e: Asked) -> str:
    y = e.call("conv2d", _f(1e-40, shape=(1, 1, 4, 4)), _f(1, shape=(1, 1, 1, 1)))
    return _among(y[0, 0, 0, 0], {"yes": float(np.float32(1e-40)), "no, 0": 0})


@_question("conv2d", "are an image's bits the same alone and in a batch of five?")
def batch_conv(e: Asked) -> str:
    x, w = _images(5), _images(16, 2, side=3)
    alone = [e.call("conv2d", x[i : i + 1], w) for i in range(5)]
    return "yes" if (np.concatenate(alone) == e.call("conv2d", x, w)).all() else "no"


@_question("affine matmul", "are a row's bits the same alone and among thirty-seven, in a matrix product?")
def batch_matmul(e: Asked) -> str:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((37, 200), "float32"), rng.standard_normal((200, 50), "float32")
    alone = [e.call("matmul", a[i : i + 1], b) for i in range(len(a))]
    return "yes" if (np.concatenate(alone) == e.call("matmul", a, b)).all() else "no"


@_question("conv2d affine matmul", "a 3x3 convolution and a product: are the bits the same on one thread and on two?")
def threads_bits(e: Asked) -> str:
    """A digest, which whoever asks compares."""
    import hashlib

    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((64, 700), "float32"), rng.standard_normal((700, 90), "float32")
    parts = [e.call("conv2d", _images(4, side=30), _images(16, 2, side=3)), e.call("matmul", a, b)]
    return hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in parts)).hexdigest()


@_question("upsample2d", "bilinear: where do outputs lie, where nothing is said?", default=True)
def bilinear_default(e: Asked) -> str:
    y = e.call("resize", _f(0, 1, 2, 3, shape=(1, 1, 1, 4)), size=(1, 8), mode="bilinear")
    return _among(y[0, 0, 0, 1], {"half_pixel": 0.25, "align_corners": 3 / 7, "asymmetric": 0.5})


@_question("upsample2d", "nearest: where do outputs lie and how is rounded, where nothing is said?", default=True)
def nearest_default(e: Asked) -> str:
    places: dict[str, Callable[[Array, float], Array]] = {
        "asymmetric, floor": lambda i, step: np.floor(i * step),
        "half_pixel, halves down": lambda i, step: np.ceil((i + 0.5) * step - 1),
        "half_pixel, halves up": lambda i, step: np.floor((i + 0.5) * step),
    }
    sizes = ((4, 6), (10, 4))
    gave = [
        e.call("resize", np.arange(n, dtype="float32").reshape(1, 1, 1, n), size=(1, m), mode="nearest")[0, 0, 0]
        for n, m in sizes
    ]
    for words, place in places.items():
        if all(
            (np.clip(place(np.arange(m), n / m), 0, n - 1) == y).all() for (n, m), y in zip(sizes, gave, strict=True)
        ):
            return words
    return "; ".join(" ".join(f"{v:g}" for v in y) for y in gave)


def answer(question: Question, engine: Asked) -> str:
    """The engine's answer; "does not have it" is one."""
    try:
        return question.probe(engine)
    except LacksError as error:
        return f"does not have it ({error})"
