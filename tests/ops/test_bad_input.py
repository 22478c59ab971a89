"""Whatever a public function is passed: a TypeError or ValueError that names the argument, or a result as documented.

Valid calls are drawn from the cases in OPS, so that a new op is tested like the others; each test then spoils one
argument. Shapes that do not fit stand in a table. The last test lets hypothesis spoil any number of arguments.
"""

import decimal
import fractions
import inspect
import math
import re
import tracemalloc

import numpy as np
import pytest
from draws import described
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cnnx
import cnnx.nn
from cnnx.ops import OPS, Draw, _plan

FUNCTIONS = {function.__name__: (op, function) for op in OPS for function in (op.forward, op.backward)}


def array(drawn, dtype="float32"):
    """An array of a shape, or as a case describes it."""
    rng, shape = np.random.default_rng(5), drawn.shape if isinstance(drawn, Draw) else drawn
    found = described(rng, shape, dtype, drawn)
    return np.asarray(rng.standard_normal(shape), dtype) if found is None else found


def call_of(name, case, dtype="float32"):
    """The arguments of a valid call of function `name`."""
    op, function = FUNCTIONS[name]
    known = inspect.signature(function).parameters
    arguments = {key: array(drawn, dtype) for key, drawn in case.arrays.items()} | dict(case.options)
    if "grad_output" in known:
        accepted = inspect.signature(op.forward).parameters
        y = op.forward(**{key: value for key, value in arguments.items() if key in accepted})
        arguments["grad_output"] = np.ones_like(y[0] if isinstance(y, tuple) else y)
    return {key: value for key, value in arguments.items() if key in known}


def size(case):
    """How much there is to spoil in a case: arrays, then elements."""
    return len(case.arrays), sum(np.size(array(drawn)) for drawn in case.arrays.values())


CALLS = {name: call_of(name, max(op.cases, key=size)) for name, (op, _) in FUNCTIONS.items()}
ARRAYS = [(name, key) for name, call in CALLS.items() for key, value in call.items() if isinstance(value, np.ndarray)]
FLOATS = [(name, key) for name, key in ARRAYS if CALLS[name][key].dtype == np.float32]

KINDS = {
    "stride": "pair",
    "dilation": "pair",
    "kernel_size": "pair",
    "output_padding": "ends",
    "groups": "integer",
    "padding": "padding",
    "size": "integer",
    "num_groups": "integer",
    "normalized_shape": "extents",
    "axis": "axis",
    "backend": "backend",
    "norm_type": "real",
    "rate": "real",
    "min": "bound",
    "max": "bound",
}


def kind_of(name, parameter):
    """What an option takes: by its name, else by its default value; None for an array."""
    if name.startswith("upsample2d") and parameter.name == "size":
        return "pair"
    by_default = {bool: "flag", float: "real", str: "choice"}.get(type(parameter.default))
    return KINDS.get(parameter.name, by_default)


OPTIONS = [
    (name, parameter.name, kind_of(name, parameter))
    for name, (_, function) in FUNCTIONS.items()
    for parameter in inspect.signature(function).parameters.values()
    if kind_of(name, parameter)
]


def refused(name, spoiled, error, *names):
    """Calling with `spoiled` raises `error`, whose message starts with the argument's name and says what came."""
    with pytest.raises(error) as caught:
        FUNCTIONS[name][1](**CALLS[name] | spoiled)
    message = str(caught.value)
    assert type(caught.value) is error
    assert re.match(rf"({'|'.join(names or spoiled)})(\[\d\])*: ", message), f"{spoiled!r:.99}: {message}"
    assert re.search(r"expected .*\bgot\b|no back end is called .* there are", message), message
    assert len(message) < 500, "a message is to be read"


def test_every_argument_is_spoiled():
    """An argument that is neither an array of a case nor an option of a known kind would go untested."""
    for name, (_, function) in FUNCTIONS.items():
        spoiled = {key for n, key, *_ in (*ARRAYS, *OPTIONS) if n == name}
        assert set(inspect.signature(function).parameters) - spoiled <= {"winners", "statistics", "output"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_calls_to_spoil_are_sound(name):
    FUNCTIONS[name][1](**CALLS[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_unknown_keyword(name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        FUNCTIONS[name][1](**CALLS[name], colour="red")


# ------------------------------------------------------------------------------------- types and dtypes


class Stray:
    """No array."""


@pytest.mark.parametrize(("name", "key"), ARRAYS)
def test_no_array(name, key):
    a = CALLS[name][key]
    values = [a.tolist(), tuple(a.tolist()), 1.0, 1, True, "x", b"x", 1j, np.float32(1), np.float64(1), np.bool_(1)]
    values += [Stray(), Stray, {}, memoryview(a), range(3), np.ma.masked_array(a), np.ma.masked]
    if inspect.signature(FUNCTIONS[name][1]).parameters[key].default is not None:
        values.append(None)
    for value in values:
        refused(name, {key: value}, TypeError)


DTYPES = ["bool", "int8", "uint8", "int32", "int64", "uint64", "float16", "longdouble", "complex64", "complex128"]
DTYPES += ["object", "U4", "S4", "M8[s]", "m8[s]", "f4,f4", "V4"]


@pytest.mark.parametrize(("name", "key"), FLOATS)
def test_a_view_too_long_is_refused_before_it_is_copied(name, key):
    """8 GiB and more, of a few bytes."""
    a = CALLS[name][key]
    wide = np.broadcast_to(a[:1], (2**31, *a.shape[1:]))
    tracemalloc.start()
    try:
        refused(name, {key: wide}, ValueError)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "key"), FLOATS)
def test_dtypes(name, key):
    shape = CALLS[name][key].shape
    for dtype in DTYPES:
        if (name.startswith("cross_entropy"), key) != (True, "target") or np.dtype(dtype).kind not in "iu":
            refused(name, {key: np.zeros(shape, dtype)}, TypeError)
    for dtype in ("float16", "int64", "object", ">f2"):
        every = {k: CALLS[name][k].astype(dtype) for n, k in FLOATS if n == name}
        refused(name, every, TypeError)


@pytest.mark.parametrize(("name", "key"), FLOATS)
def test_mixed_dtypes(name, key):
    double = {key: CALLS[name][key].astype("float64")}
    others = [k for n, k in FLOATS if n == name and k != key]
    if others and not key.startswith("running_"):  # statistics may be float64 beside float32
        refused(name, double, TypeError, key, *others)
    else:
        FUNCTIONS[name][1](**CALLS[name] | double)


def test_masks_and_indices():
    x = np.ones((2, 3), np.float32)
    for dtype in ("uint8", "int64", "float32", "float64", "object", "U4"):
        for function, name in ((cnnx.dropout, "x"), (cnnx.dropout_backward, "grad_output")):
            with pytest.raises(TypeError, match=rf"mask: expected dtype bool, got {np.dtype(dtype)}"):
                function(**{name: x}, mask=np.ones((2, 3), dtype), rate=0.5)
    for function in (cnnx.cross_entropy, cnnx.cross_entropy_backward):
        for dtype in ("float64", "bool", "object", "m8[s]", "complex64"):
            with pytest.raises(TypeError, match=r"target: expected class indices .* or probabilities of float32, got"):
                function(x, np.zeros((2, 3), dtype))


class Array:
    """An object with `__array__`."""

    def __init__(self, content):
        self.content = content

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


@pytest.mark.parametrize(("name", "key"), ARRAYS)
def test_what_array_returns_is_checked_too(name, key):
    for content in (3, None, [1.0], RuntimeError("no"), MemoryError("no"), KeyError(2), np.zeros(3, "complex64")):
        refused(name, {key: Array(content)}, TypeError)


# ---------------------------------------------------------------------------------------------- options

HUGE = (2**31, 2**63, 2**64, 2**70, -(2**70), 10**400, 10**5000)
UNWRITTEN = ({1: 10**5000}, np.array([10**5000], object))  # whose repr fails
NO_INTEGERS = (
    *UNWRITTEN,
    1.0,
    np.float32(1),
    True,
    np.True_,
    b"1",
    1j,
    {},
    np.array(1.0),
    np.array([1]),
    np.array([1.5]),
)
NO_INTEGERS += (fractions.Fraction(1), decimal.Decimal(1), Stray())
NO_NUMBERS = (*UNWRITTEN, [10**5000], "1", None, True, np.True_, 1j, [1.0], (1.0,), {}, np.array(1.0), Stray())
NO_WORDS = (*UNWRITTEN, None, 1, True, b"mean", ["mean"], ("mean",), {}, Stray())
FAR = (-3, *HUGE)
ODD_PAIRS = (
    (),
    [10**5000],
    (10**5000, 1),
    (1,),
    (1, 1, 1),
    (0, 1),
    (1, 0),
    (1, -1),
    (1, 2**31),
    [1, 2**63],
    (-(2**63), 1),
)
ODD_PADDINGS = ("SAME", "", "full", "1", -1, (1, -1), (1,), (), (1, 1, 1), ((0, 0), 1), (1, (0, 0)), [[0, 0]])
ODD_PADDINGS += (((0, 0), (0, 0), (0, 0)), ((0, 0, 0), (0, 0)), ((0,), (0,)), ((0, -1), (0, 0)), ((0, 0), (0, 2**31)))

SPOILED = {  # kind: (what is a TypeError, what is a ValueError)
    "integer": ((*NO_INTEGERS, "1", (1, 1), [1], None), (0, -1, *FAR)),
    "pair": ((*NO_INTEGERS, "1", (1, 1.0), (True, 1), ("1", 1), [1, None], ((1, 1), 1)), (0, -1, *FAR, *ODD_PAIRS)),
    "padding": ((*NO_INTEGERS, None, (1, 1.0), (True, 1), ((0, 0), (0, 0.0)), [1, None]), (*FAR, *ODD_PADDINGS)),
    "extents": (
        (*NO_INTEGERS, "1", None, (1.0,), [True]),
        (0, -1, *FAR, (), [], (0,), (1, 2**31), (2**40, 2**40), (9,)),
    ),
    "ends": ((*NO_INTEGERS, "1", None, (1, 1.0), (True, 1), [1, None]), (-1, 2**31, 2**63, (), (1,), (0, -1), (9, 0))),
    "axis": ((*NO_INTEGERS, "1", None, (1,), [1]), (9, -10, *HUGE)),
    "flag": ((0, 1, 1.0, None, "True", [], np.array(True), np.int8(1)), ()),
    "real": (NO_NUMBERS, (np.nan, np.inf, -np.inf, 10**400)),
    "bound": ([value for value in NO_NUMBERS if value is not None], (np.nan, np.inf, -np.inf, 10**400)),
    "choice": (NO_WORDS, ("", "Mean", "Winograd", "MEAN", "first ", "x" * 99)),
    "backend": ((1, True, b"optimized", ["optimized"], {}, Stray(), cnnx), ("", "Optimized", "nowhere", "optimized ")),
}


@pytest.mark.parametrize(("name", "key", "kind"), OPTIONS)
def test_options(name, key, kind):
    types, values = SPOILED[kind]
    for value in types:
        refused(name, {key: value}, TypeError)
    for value in values:
        refused(name, {key: value}, ValueError)


class LyingInt(int):
    def __int__(self):
        return 10**6

    __index__ = __trunc__ = __abs__ = __float__ = __int__
    __le__ = __ge__ = __lt__ = __gt__ = lambda self, other: True


class LyingFloat(float):
    def __float__(self):
        return math.nan


class LyingString(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


def test_numbers_and_words_are_what_they_are_and_not_what_they_say():
    x, weight = np.ones((1, 1, 5, 5)), np.ones((1, 1, 2, 2))
    assert cnnx.conv2d(x, weight, stride=LyingInt(2)).shape == (1, 1, 2, 2)
    assert cnnx.conv2d(x, weight, padding=[LyingInt(1), 0]).shape == (1, 1, 6, 4)
    np.testing.assert_array_equal(cnnx.leaky_relu(-x, LyingFloat(0.5)), -x / 2)
    np.testing.assert_array_equal(cnnx.leaky_relu(-x, LyingInt(2)), -x * 2)
    assert cnnx.nn.Dropout(0.5, seed=LyingInt(3)).generators["_random"].random() == np.random.default_rng(3).random()
    for stride in (0, -1, 2**31):
        refused("conv2d", {"stride": LyingInt(stride)}, ValueError)
    refused("leaky_relu", {"negative_slope": LyingFloat(math.inf)}, ValueError)
    refused("conv2d", {"algorithm": LyingString("fast")}, ValueError)


@pytest.mark.parametrize("name", ["conv2d", "conv2d_backward"])
def test_groups(name):
    x, weight = np.ones((1, 4, 3, 3), np.float32), np.ones((6, 4, 1, 1), np.float32)
    arguments = {"x": x, "weight": weight}
    if name == "conv2d_backward":
        arguments["grad_output"] = np.ones((1, 6, 3, 3), np.float32)
    for groups in (3, 4, 5, 6, 12, 2**31 - 1):
        with pytest.raises(ValueError, match=rf"groups: expected a divisor of the 4 input and 6 .* got {groups}"):
            FUNCTIONS[name][1](**arguments, groups=groups)
    with pytest.raises(ValueError, match=r"weight: expected 2 input channels \(4 of x / 2 groups\), got 4"):
        FUNCTIONS[name][1](**arguments, groups=2)


@pytest.mark.parametrize("function", [cnnx.dropout, cnnx.dropout_backward])
def test_rate(function):
    for rate in (-1e-9, -1, 1, 1.0, 1.5, np.float32(1), 2**70):
        with pytest.raises(ValueError, match=r"rate: expected a number from 0 to below 1, got"):
            function(np.ones(2), np.ones(2, bool), rate)


def test_bounded_numbers():
    x, c = np.ones((2, 3, 2, 2)), np.ones(3)
    for alpha in (0, -0.0, -1, -1e-300):
        for call in cnnx.hard_sigmoid, lambda x, alpha: cnnx.hard_sigmoid_backward(x, x, alpha):
            with pytest.raises(ValueError, match="alpha: expected a number above 0, got"):
                call(x, alpha)
    for low, high in ((1, 0), (0.0, -1e-300), (2**70, 1)):
        for call in cnnx.clip, lambda x, *bounds: cnnx.clip_backward(x, x, *bounds):
            with pytest.raises(ValueError, match=r"max: expected a number of at least min, .*, got"):
                call(x, low, high)
    for eps in (0, 0.0, -1e-5, -1, 1e-400):
        with pytest.raises(ValueError, match="eps: expected a number above 0, got"):
            cnnx.batch_norm2d(x, c, c, c, c, eps=eps)
        with pytest.raises(ValueError, match="eps: expected a number above 0, got"):
            cnnx.batch_norm2d_backward(x, x, c, training=True, eps=eps)
        for call in (cnnx.instance_norm, lambda x, eps: cnnx.instance_norm_backward(x, x, eps=eps)):
            with pytest.raises(ValueError, match="eps: expected a number above 0, got"):
                call(x, eps=eps)
    for norm_type in (0, 0.999, -2, 1 - 1e-16):
        with pytest.raises(ValueError, match="norm_type: expected a finite number of at least 1, got"):
            cnnx.lp_pool2d(x, norm_type, 2)
        with pytest.raises(ValueError, match="norm_type: expected a finite number of at least 1, got"):
            cnnx.lp_pool2d_backward(x[..., :1, :1], x, norm_type, 2)
    for training in (False, True):
        with pytest.raises(ValueError, match=r"running_var: expected variances of at least 0, got -0\.5"):
            cnnx.batch_norm2d(x, c, c, c, np.array([1, -0.5, 0]), training=training)
        with pytest.raises(ValueError, match=r"running_var: expected variances of at least 0, got -0\.5"):
            cnnx.batch_norm2d_backward(x, x, c, c, np.array([1, -0.5, 0]), training=training)


# --------------------------------------------------------------------------------- shapes that do not fit

IMAGES = r"expected 4 axes \(N, C, H, W\), got shape"
EMPTY = "expected at least one element along"
TRAINING = {"training": True}
FORWARD = [  # function, shapes of its arrays, options, message
    ("conv2d", {"x": (4, 5, 5), "weight": (6, 4, 3, 3)}, {}, rf"x: {IMAGES} \(4, 5, 5\)"),
    ("conv2d", {"x": (), "weight": (6, 4, 3, 3)}, {}, rf"x: {IMAGES} \(\)"),
    ("conv2d", {"x": (1, 1, 4, 5, 5), "weight": (6, 4, 3, 3)}, {}, rf"x: {IMAGES}"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (4, 3, 3)}, {}, r"weight: expected 4 axes \(K, C/groups, R, S\), got"),
    ("conv2d", {"x": (1, 0, 5, 5), "weight": (6, 0, 3, 3)}, {}, f"x: {EMPTY} C"),
    ("conv2d", {"x": (1, 4, 0, 5), "weight": (6, 4, 3, 3)}, {"padding": 2}, f"x: {EMPTY} H"),
    ("conv2d", {"x": (1, 4, 5, 0), "weight": (6, 4, 3, 3)}, {"padding": 2}, f"x: {EMPTY} W"),
    ("conv2d", {"x": (0, 4, 5, 0), "weight": (6, 4, 3, 3)}, {"padding": 2}, f"x: {EMPTY} W"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (0, 4, 3, 3)}, {}, f"weight: {EMPTY} K"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 0, 3, 3)}, {}, f"weight: {EMPTY} C/groups"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 0, 3)}, {}, f"weight: {EMPTY} R"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 0)}, {}, f"weight: {EMPTY} S"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 3, 3, 3)}, {}, r"weight: expected 4 input channels .*, got 3"),
    ("conv2d", {"x": (0, 4, 5, 5), "weight": (6, 3, 3, 3)}, {}, r"weight: expected 4 input channels .*, got 3"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 6, 3)}, {}, r"weight: expected a window no larger .* 6 and 5"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 6)}, {}, r"weight: expected a window no larger .* 6 and 5"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 3)}, {"dilation": 3}, r"weight: expected a window .* 7 and 5"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 3)}, {"dilation": 2**31 - 1}, r"weight: expected a window"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 8, 3)}, {"padding": 1}, r"weight: expected a window .* 8 and 5"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 3), "bias": (5,)}, {}, r"bias: expected shape \(6,\) .* \(5,\)"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 3), "bias": (1,)}, {}, r"bias: expected shape \(6,\) .* \(1,\)"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 3), "bias": ()}, {}, r"bias: expected shape \(6,\) .* \(\)"),
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 3), "bias": (6, 1)}, {}, r"bias: expected shape \(6,\)"),
    ("affine", {"x": (4,), "weight": (3, 4)}, {}, r"x: expected 2 axes \(N, J\), got shape \(4,\)"),
    ("affine", {"x": (2, 4, 1), "weight": (3, 4)}, {}, r"weight: expected 1 columns, as x has, got shape \(3, 4\)"),
    ("affine", {"x": (2, 4, 0), "weight": (3, 0)}, {}, f"x: {EMPTY} J"),
    ("affine", {"x": (2, 4), "weight": (4,)}, {}, r"weight: expected 2 axes \(I, J\), got shape \(4,\)"),
    ("affine", {"x": (2, 4), "weight": (4, 3)}, {}, r"weight: expected 4 columns, as x has, got shape \(4, 3\)"),
    ("affine", {"x": (2, 0), "weight": (3, 0)}, {}, f"x: {EMPTY} J"),
    ("affine", {"x": (2, 4), "weight": (0, 4)}, {}, f"weight: {EMPTY} I"),
    ("affine", {"x": (2, 4), "weight": (3, 4), "bias": (4,)}, {}, r"bias: expected shape \(3,\) .* got \(4,\)"),
    ("affine", {"x": (0, 4), "weight": (3, 4), "bias": (1,)}, {}, r"bias: expected shape \(3,\) .* got \(1,\)"),
    ("softmax", {"x": ()}, {"axis": 0}, "x: expected at least one axis"),
    ("softmax", {"x": (3,)}, {}, r"axis: expected an axis from -1 to 0 of shape \(3,\), got 1"),
    ("softmax", {"x": (3, 2)}, {"axis": -3}, r"axis: expected an axis from -2 to 1 of shape \(3, 2\), got -3"),
    ("softmax", {"x": (3, 0)}, {}, r"x: expected at least one element along axis 1, got shape \(3, 0\)"),
    ("softmax", {"x": (0, 3)}, {"axis": -2}, r"x: expected at least one element along axis 0"),
    ("log_softmax", {"x": (3,)}, {}, "axis: expected an axis from -1 to 0"),
    ("flatten", {"x": ()}, {}, "x: expected at least one axis"),
    ("dropout", {"x": (2, 3), "mask": Draw((3, 2), "mask")}, {"rate": 0.5}, r"mask: expected shape \(2, 3\)"),
    ("dropout", {"x": (2, 3), "mask": Draw((3,), "mask")}, {"rate": 0.5}, r"mask: expected shape \(2, 3\)"),
    ("dropout", {"x": (2, 3), "mask": Draw((), "mask")}, {"rate": 0.5}, r"mask: expected shape \(2, 3\) .* \(\)"),
    ("batch_norm2d", {"x": (3, 2), "weight": (3,), "bias": (3,)}, TRAINING, f"x: {IMAGES}"),
    ("batch_norm2d", {"x": (2, 0, 2, 2), "weight": (0,), "bias": (0,)}, TRAINING, f"x: {EMPTY} C"),
    ("batch_norm2d", {"x": (2, 3, 2, 2), "weight": (2,), "bias": (3,)}, TRAINING, r"weight: expected shape \(3,\)"),
    ("batch_norm2d", {"x": (2, 3, 2, 2), "weight": (3,), "bias": (1,)}, TRAINING, r"bias: expected shape \(3,\)"),
    ("batch_norm2d", {"x": (1, 3, 1, 1), "weight": (3,), "bias": (3,)}, TRAINING, "x: expected at least two .* got"),
    ("batch_norm2d", {"x": (0, 3, 2, 2), "weight": (3,), "bias": (3,)}, TRAINING, "x: expected at least two .* got"),
    ("batch_norm2d", {"x": (2, 3, 2, 2), "weight": (3,), "bias": (3,)}, {}, r"running_mean: expected .* got None"),
    (
        "batch_norm2d",
        {"x": (2, 3, 2, 2), "weight": (3,), "bias": (3,), "running_mean": (3,)},
        {},
        r"running_var: expected an array .* got None",
    ),
    (
        "batch_norm2d",
        {"x": (2, 3, 2, 2), "weight": (3,), "bias": (3,), "running_mean": (2,)},
        TRAINING,
        r"running_mean: expected shape \(3,\) .* got \(2,\)",
    ),
    ("conv_transpose2d", {"x": (4, 5, 5), "weight": (4, 6, 3, 3)}, {}, rf"x: {IMAGES} \(4, 5, 5\)"),
    (
        "conv_transpose2d",
        {"x": (1, 4, 5, 5), "weight": (4, 3, 3)},
        {},
        r"weight: expected 4 axes \(C, K/groups, R, S\)",
    ),
    ("conv_transpose2d", {"x": (1, 4, 0, 5), "weight": (4, 6, 3, 3)}, {}, f"x: {EMPTY} H"),
    ("conv_transpose2d", {"x": (1, 4, 5, 5), "weight": (4, 0, 3, 3)}, {}, f"weight: {EMPTY} K/groups"),
    (
        "conv_transpose2d",
        {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 3)},
        {},
        "weight: expected 4 input channels, .* got 6",
    ),
    (
        "conv_transpose2d",
        {"x": (1, 4, 5, 5), "weight": (4, 6, 3, 3)},
        {"groups": 3},
        "groups: expected a divisor of the 4 input channels, got 3",
    ),
    (
        "conv_transpose2d",
        {"x": (1, 4, 5, 5), "weight": (4, 6, 3, 3)},
        {"padding": (3, 4)},
        r"padding: expected to leave at least one column of the output, got \(4, 4\) of 7 columns",
    ),
    (
        "conv_transpose2d",
        {"x": (1, 4, 5, 5), "weight": (4, 6, 3, 3)},
        {"padding": "same"},
        r"padding: expected an integer, .*, got 'same'",
    ),
    (
        "conv_transpose2d",
        {"x": (1, 4, 5, 5), "weight": (4, 6, 3, 3)},
        {"output_padding": (1, 2), "stride": 2},
        "output_padding: expected fewer columns than the stride or the dilation, 2 and 1, got 2",
    ),
    ("conv_transpose2d", {"x": (1, 4, 5, 5), "weight": (4, 3, 3, 3), "bias": (3,)}, {"groups": 2}, r"bias: .*\(6,\)"),
    *(
        ("global_" + name, {"x": shape}, {}, message)
        for name in ("avg_pool2d", "max_pool2d")
        for shape, message in (((3, 4, 5), rf"x: {IMAGES} \(3, 4, 5\)"), ((1, 2, 0, 3), f"x: {EMPTY} H"))
    ),
    ("prelu", {"x": (2, 3), "weight": (2,)}, {}, r"weight: expected shape \(3,\), .*, or \(1,\), got \(2,\)"),
    ("prelu", {"x": (2, 3, 4), "weight": (3, 1)}, {}, r"weight: expected shape \(3,\), .* got \(3, 1\)"),
    ("prelu", {"x": (2, 3), "weight": ()}, {}, r"weight: expected shape \(3,\), .* got \(\)"),
    ("prelu", {"x": (3,), "weight": (3,)}, {}, r"weight: expected shape \(1,\), .* has no channels, got \(3,\)"),
    ("prelu", {"x": (), "weight": (0,)}, {}, r"weight: expected shape \(1,\), .* has no channels, got \(0,\)"),
    ("group_norm", {"x": (3,)}, {"num_groups": 1}, r"x: expected shape \(N, C, ...\), got \(3,\)"),
    ("group_norm", {"x": (2, 6, 2)}, {"num_groups": 4}, "num_groups: expected a divisor of the 6 channels of x, got 4"),
    ("group_norm", {"x": (2, 0, 2)}, {"num_groups": 1}, r"x: expected at least one element .* got shape \(2, 0, 2\)"),
    ("group_norm", {"x": (0, 6, 0)}, {"num_groups": 3}, r"x: expected at least one element .* got shape \(0, 6, 0\)"),
    ("group_norm", {"x": (2, 6), "weight": (2,)}, {"num_groups": 2}, r"weight: expected shape \(6,\) \(one per chan"),
    ("group_norm", {"x": (2, 6), "bias": (6, 1)}, {"num_groups": 2}, r"bias: expected shape \(6,\) .* got \(6, 1\)"),
    (
        "instance_norm",
        {"x": (2, 3)},
        {},
        r"x: expected shape \(N, C, ...\) with an axis or more behind .* got \(2, 3\)",
    ),
    ("instance_norm", {"x": (2, 3, 0)}, {}, r"x: expected at least one element .* got shape \(2, 3, 0\)"),
    ("instance_norm", {"x": (2, 3, 4), "weight": (4,)}, {}, r"weight: expected shape \(3,\) .* got \(4,\)"),
    (
        "layer_norm",
        {"x": (2, 3, 4)},
        {"normalized_shape": (3,)},
        r"normalized_shape: expected the last extents of x, of shape \(2, 3, 4\), got \(3,\)",
    ),
    ("layer_norm", {"x": (4,)}, {"normalized_shape": (3, 4)}, "normalized_shape: expected the last extents of x"),
    ("layer_norm", {"x": (2, 0)}, {"normalized_shape": 0}, "normalized_shape: expected an integer from 1"),
    ("layer_norm", {"x": (2, 4), "weight": (2, 4)}, {"normalized_shape": 4}, r"weight: expected shape \(4,\) \(normal"),
    ("local_response_norm", {"x": (3,)}, {"size": 1}, r"x: expected shape \(N, C, ...\), got \(3,\)"),
    ("local_response_norm", {"x": (2, 3)}, {"size": 0}, "size: expected an integer from 1"),
    (
        "local_response_norm",
        {"x": (2, 3)},
        {"size": 3, "alpha": -1.0},
        "alpha: expected a number of at least 0, got -1.0",
    ),
    ("local_response_norm", {"x": (2, 3)}, {"size": 3, "beta": 0.0}, "beta: expected a number above 0, got 0.0"),
    ("local_response_norm", {"x": (2, 3)}, {"size": 3, "k": 0.0}, "k: expected a number above 0, got 0.0"),
    ("local_response_norm", {"x": (2, 3)}, {"size": 3, "k": np.inf}, "k: expected a finite number"),
    ("upsample2d", {"x": (2, 3, 4)}, {"size": 2}, r"x: expected 4 axes \(N, C, H, W\)"),
    ("upsample2d", {"x": (2, 3, 0, 4)}, {"size": 2}, f"x: {EMPTY} H"),
    ("upsample2d", {"x": (2, 3, 4, 4)}, {"size": (0, 4)}, r"size\[0\]: expected an integer from 1"),
    ("upsample2d", {"x": (0, 1, 2**30, 1)}, {"size": (2**30, 1)}, "size: expected fewer rows and columns"),
    ("add", {"a": (2, 3), "b": (2,)}, {}, r"b: expected a shape that NumPy broadcasts with a's \(2, 3\), got \(2,\)"),
    ("multiply", {"a": (2, 3), "b": (0, 1)}, {}, "b: expected a shape that NumPy broadcasts with a's"),
    ("matmul", {"a": (3,), "b": (3, 2)}, {}, r"a: expected at least 2 axes \(..., I, K\), got shape \(3,\); make it a"),
    ("matmul", {"a": (2, 3), "b": (3,)}, {}, r"b: expected at least 2 axes .* \(3,\); .* as b\[:, None\] does"),
    ("matmul", {"a": (2, 3), "b": ()}, {}, r"b: expected at least 2 axes \(..., K, J\), got shape \(\)$"),
    ("matmul", {"a": (2, 3), "b": (2, 3)}, {}, r"b: expected 3 rows, as a has columns, got shape \(2, 3\)"),
    ("matmul", {"a": (2, 1, 3), "b": (3, 3, 1)}, {}, r"b: expected a stack that NumPy broadcasts with a's \(2,\), got"),
    (
        "matmul",
        {"a": (1, 2, 1, 2, 1, 1, 3), "b": (2, 1, 2, 1, 2, 3, 1)},
        {},
        "b: expected at most 4 runs of axes before the last two .* got 5",
    ),
    (
        "add",
        {"a": (2, 1, 2, 1, 2, 1, 2), "b": (2, 1, 2, 1, 2, 1)},
        {},
        "b: expected at most 6 runs of axes along which .*, got 7: a has shape",
    ),
    ("squared_error", {"y": (), "target": ()}, {}, "y: expected at least one axis"),
    ("squared_error", {"y": (2, 3), "target": (3, 2)}, {}, r"target: expected shape \(2, 3\) .* got \(3, 2\)"),
    ("squared_error", {"y": (2, 3), "target": (3,)}, {}, r"target: expected shape \(2, 3\) .* got \(3,\)"),
    ("cross_entropy", {"logits": (3,), "target": Draw((), "index", 3)}, {}, r"logits: expected 2 axes \(N, M\)"),
    ("cross_entropy", {"logits": (2, 0), "target": Draw((2,), "mask")}, {}, f"logits: {EMPTY} M"),
    (
        "cross_entropy",
        {"logits": (2, 3), "target": Draw((3,), "index", 3)},
        {},
        r"target: expected shape \(2,\) .* got",
    ),
    ("cross_entropy", {"logits": (2, 3), "target": Draw((2, 3), "index", 3)}, {}, r"target: expected shape \(2,\)"),
    ("cross_entropy", {"logits": (2, 3), "target": Draw((), "index", 3)}, {}, r"target: expected shape \(2,\)"),
    ("cross_entropy", {"logits": (2, 3), "target": (2,)}, {}, r"target: expected shape \(2, 3\) .* got \(2,\)"),
    ("cross_entropy", {"logits": (2, 3), "target": (3, 2)}, {}, r"target: expected shape \(2, 3\) .* got \(3, 2\)"),
]
POOLS = ("max_pool2d", "avg_pool2d", "lp_pool2d")
LONE = "padding: expected every window to hold a pixel, got one wholly in padding"
POOLING = [  # x, options, message: the same for every pooling op
    ((3, 4, 4), {"kernel_size": 2}, rf"x: {IMAGES}"),
    ((1, 1, 3, 4, 4), {"kernel_size": 2}, rf"x: {IMAGES}"),
    ((1, 0, 4, 4), {"kernel_size": 2}, f"x: {EMPTY} C"),
    ((1, 3, 0, 4), {"kernel_size": 2, "padding": 1}, f"x: {EMPTY} H"),
    ((0, 3, 4, 0), {"kernel_size": 2, "padding": 1}, f"x: {EMPTY} W"),
    ((1, 3, 4, 5), {"kernel_size": 5}, r"kernel_size: expected a window no larger than .* 5 and 4 .*"),
    ((1, 3, 5, 4), {"kernel_size": (2, 7), "padding": 1}, r"kernel_size: expected a window .* 7 and 4"),
    ((1, 3, 5, 4), {"kernel_size": 2**31 - 1}, "kernel_size: expected a window"),
    ((1, 3, 5, 4), {"kernel_size": 7, "ceil_mode": True}, "kernel_size: expected a window"),
    ((0, 3, 5, 4), {"kernel_size": 7}, "kernel_size: expected a window"),
    ((1, 3, 4, 4), {"kernel_size": 2, "padding": 2}, LONE),  # the first
    ((1, 3, 4, 4), {"kernel_size": (2, 3), "padding": (1, 3)}, LONE),
    ((1, 3, 4, 4), {"kernel_size": 2, "padding": 2**31 - 1}, LONE),
    ((0, 3, 4, 4), {"kernel_size": 2, "padding": 2}, LONE),
    ((1, 3, 4, 4), {"kernel_size": 2, "padding": ((0, 2), (0, 0))}, LONE),  # the last
    ((1, 3, 4, 4), {"kernel_size": 2, "stride": 1, "padding": ((0, 0), (1, 2))}, LONE),
    ((1, 3, 4, 4), {"kernel_size": 3, "stride": (5, 1), "padding": ((1, 5), (1, 1))}, LONE),
    # Rows -1 ... 7: windows start at -1, 2, 5 and, rounded up, 8. That one is left out, the one at 5 is an error.
    ((1, 1, 5, 5), {"kernel_size": 2, "stride": 3, "padding": ((1, 3), (0, 0)), "ceil_mode": True}, LONE),
]
BACKWARD = [  # function, arrays, options, message: a grad_output of another shape than the output's
    ("conv2d", {"x": (1, 4, 5, 5), "weight": (6, 4, 3, 3)}, {}, (1, 6, 3, 3)),
    ("affine", {"x": (2, 4), "weight": (3, 4)}, {}, (2, 3)),
    ("affine", {"x": (2, 5, 4), "weight": (3, 4)}, {}, (2, 5, 3)),
    ("max_pool2d", {"x": (1, 2, 4, 4)}, {"kernel_size": 2}, (1, 2, 2, 2)),
    ("avg_pool2d", {"x": (1, 2, 4, 4)}, {"kernel_size": 2}, (1, 2, 2, 2)),
    ("lp_pool2d", {"x": (1, 2, 4, 4)}, {"kernel_size": 2, "norm_type": 2}, (1, 2, 2, 2)),
    ("conv_transpose2d", {"x": (1, 4, 5, 5), "weight": (4, 6, 3, 3)}, {"stride": 2}, (1, 6, 11, 11)),
    ("global_avg_pool2d", {"x": (2, 3, 4, 5)}, {}, (2, 3, 1, 1)),
    ("global_max_pool2d", {"x": (2, 3, 4, 5)}, {}, (2, 3, 1, 1)),
    ("upsample2d", {"x": (2, 3, 4, 5)}, {"size": (7, 3)}, (2, 3, 7, 3)),
    ("flatten", {"x": (2, 3, 4)}, {}, (2, 12)),
    ("batch_norm2d", {"x": (2, 3, 2, 2), "weight": (3,)}, TRAINING, (2, 3, 2, 2)),
    ("prelu", {"x": (2, 3), "weight": (3,)}, {}, (2, 3)),
    ("group_norm", {"x": (2, 4, 3), "weight": (4,)}, {"num_groups": 2}, (2, 4, 3)),
    ("instance_norm", {"x": (2, 4, 3), "weight": (4,)}, {}, (2, 4, 3)),
    ("layer_norm", {"x": (2, 4, 3), "weight": (4, 3)}, {"normalized_shape": (4, 3)}, (2, 4, 3)),
    ("local_response_norm", {"x": (2, 3, 4)}, {"size": 3}, (2, 3, 4)),
    ("add", {"a": (2, 1), "b": (3,)}, {}, (2, 3)),
    ("multiply", {"a": (3,), "b": (2, 3)}, {}, (2, 3)),
    ("matmul", {"a": (3, 4), "b": (2, 4, 5)}, {}, (2, 3, 5)),
    *(
        (op.name, {"x": (2, 3)}, op.cases[0].options, (2, 3))
        for op in OPS
        if op.equations.startswith("A1") or "softmax" in op.name
    ),
]


@pytest.mark.parametrize(("name", "arrays", "options", "message"), FORWARD)
def test_shapes(name, arrays, options, message):
    op, function = FUNCTIONS[name]
    given_arrays = {key: array(shape) for key, shape in arrays.items()}
    with pytest.raises(ValueError, match=rf"^{message}"):
        function(**given_arrays, **options)
    if not (op.cost or "bias:" in message or name == "dropout"):  # the backward call checks them all the same
        given_arrays.pop("bias", None)
        g = np.ones(given_arrays.get("x", given_arrays.get("a")).shape, np.float32)
        with pytest.raises(ValueError, match=rf"^({message}|grad_output: expected shape)"):
            op.backward(g, **given_arrays, **options)
    elif name != "dropout" and op.cost:
        with pytest.raises(ValueError, match=rf"^{message}"):
            op.backward(**given_arrays, **options)


@pytest.mark.parametrize(("x", "options", "message"), POOLING)
@pytest.mark.parametrize("name", POOLS)
def test_pooling(name, x, options, message):
    op, function = FUNCTIONS[name]
    options = options | ({"norm_type": 2} if name == "lp_pool2d" else {})
    with pytest.raises(ValueError, match=rf"^{message}.*"):
        function(array(x), **options)
    with pytest.raises(ValueError, match=rf"^{message}"):
        op.backward(np.ones((1, 3, 2, 2), np.float32), array(x), **options)


@pytest.mark.parametrize(("name", "arrays", "options", "output"), BACKWARD)
def test_grad_output_shape(name, arrays, options, output):
    backward = FUNCTIONS[name][0].backward
    given_arrays = {key: array(shape) for key, shape in arrays.items()}
    backward(np.ones(output, np.float32), **given_arrays, **options)
    wrong = [(*output[:i], n, *output[i + 1 :]) for i in range(len(output)) for n in (output[i] + 1, output[i] - 1)]
    for shape in (*wrong, (), output[1:], (*output, 1), (*output[::-1], 1), (0, *output[1:])):
        expected = rf"^grad_output: expected shape {re.escape(str(output))} .*, got {re.escape(str(shape))}"
        with pytest.raises(ValueError, match=expected):
            backward(np.ones(shape, np.float32), **given_arrays, **options)


def test_same_padding_never_leaves_a_pooling_window_empty():
    """ceil(H/u) windows always start inside the image: "same" is never the error that explicit padding may be."""
    for extent in range(1, 9):
        for window in range(1, 12):
            for stride in range(1, 12):
                for ceil_mode in (False, True):
                    x = np.ones((1, 1, extent, 1), np.float32)
                    y = cnnx.max_pool2d(x, (window, 1), stride=(stride, 1), padding="same", ceil_mode=ceil_mode)
                    assert y.shape == (1, 1, -(-extent // stride), 1)
                    assert (y == 1).all()


# -------------------------------------------------------------------------------------- winners and indices


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softmax", "log_softmax"])
def test_output(name):
    x = np.linspace(-2, 2, 6, dtype="float32").reshape(2, 3)
    forward, backward = getattr(cnnx, name), getattr(cnnx, f"{name}_backward")
    y = forward(x)
    for value in (y.tolist(), True, 1.0, np.float32(1), np.ma.masked_array(y)):
        with pytest.raises(TypeError, match=r"output: expected .* got"):
            backward(x, x, output=value)
    with pytest.raises(TypeError, match="output: expected dtype float32, as grad_output has, got float64"):
        backward(x, x, output=y.astype("float64"))
    with pytest.raises(TypeError, match="output: expected dtype float32 or float64, got int64"):
        backward(x, x, output=y.astype("int64"))
    for wrong in (y[0], y[:, :1], y.T, y[:0], y.ravel(), y[np.newaxis]):
        with pytest.raises(ValueError, match=r"output: expected shape \(2, 3\) \(x's\), got"):
            backward(x, x, output=wrong)
    with pytest.raises(ValueError, match="grad_output: expected shape"):
        backward(x[:1], x, output=y)


def test_winners():
    x = np.arange(50, dtype=np.float32).reshape(1, 2, 5, 5)
    options = {"kernel_size": (3, 2), "stride": 2, "padding": ((1, 1), (1, 0))}
    y, winners = cnnx.max_pool2d(x, **options, return_winners=True)
    g = np.ones_like(y)
    for value in (winners.tolist(), 1, "first", np.int32(1), np.ma.masked_array(winners)):
        with pytest.raises(TypeError, match=r"winners: expected .* got"):
            cnnx.max_pool2d_backward(g, x, **options, winners=value)
    for dtype in ("int64", "intp", "uint32", "int16", "float32", "bool", "object"):
        with pytest.raises(TypeError, match=rf"winners: expected dtype int32, got {np.dtype(dtype)}"):
            cnnx.max_pool2d_backward(g, x, **options, winners=winners.astype(dtype))
    for wrong in (winners[0], winners[:, :1], winners[..., :-1], winners[:0], winners.ravel(), winners[np.newaxis]):
        with pytest.raises(ValueError, match=r"winners: expected shape \(1, 2, 3, 3\) .* got"):
            cnnx.max_pool2d_backward(g, x, **options, winners=wrong)
    with pytest.raises(ValueError, match=r'winners: expected None with ties="all"'):
        cnnx.max_pool2d_backward(g, x, **options, winners=winners, ties="all")
    # Window (0, 0) begins in the padding above and on the left; its pixels are r = 1, 2 and s = 1.
    for window, bad in (((0, 0), (-1, 0, 1, 2, 4, 6, 2**31 - 1, -(2**31))), ((1, 1), (-1, 6)), ((2, 2), (4, 5, 6))):
        for offset in bad:
            spoiled = winners.copy()
            spoiled[(0, 1, *window)] = offset
            at = re.escape(str((0, 1, *window)))
            with pytest.raises(ValueError, match=rf"winners: expected offsets .*3 x 2.*, got {offset} at {at}"):
                cnnx.max_pool2d_backward(g, x, **options, winners=spoiled)
    with pytest.raises(ValueError, match=r"kernel_size: expected .* winners, .*got"):
        cnnx.max_pool2d(x, 2**31 - 1, stride=2**31 - 1, padding=2**30, return_winners=True)


@pytest.mark.parametrize("function", [cnnx.cross_entropy, cnnx.cross_entropy_backward])
def test_class_indices(function):
    logits = np.ones((3, 4), np.float32)
    for dtype, index in (
        *((dtype, 4) for dtype in "bhilqBHILQ"),
        *((dtype, -1) for dtype in "bhilq"),
        *(("int8", 127), ("int8", -128), ("uint8", 255), ("int64", 2**63 - 1), ("int64", -(2**63))),
        *(("uint64", 2**63), ("uint64", 2**64 - 1), ("uint64", 2**64 - 4), (">i4", 4), (">u8", 2**64 - 1)),
    ):
        target = np.array([0, 3, index], dtype)
        with pytest.raises(ValueError, match=rf"target: expected class indices from 0 to 3, got {index} at 2"):
            function(logits, target)
    with pytest.raises(ValueError, match="target: expected class indices from 0 to 299, got -1 at 0"):
        function(np.ones((1, 300)), np.array([-1], np.int8))
    function(np.ones((1, 300)), np.array([127], np.int8))


# ------------------------------------------------------------------------------------- large, but permitted


@pytest.mark.parametrize("backend", ["reference", "optimized"])
def test_options_up_to_the_limit(backend):
    """Sizes that only 64 bits hold, in calls whose result is small: by hand."""
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)
    most = 2**31 - 1
    many = np.tile(x, (1, 8, 1, 1))  # N C P Q R S is more than 64 bits hold
    around = {"stride": most, "padding": 2**30 - 1, "backend": backend}
    assert (cnnx.max_pool2d(many, most, **around) == 4).all()
    np.testing.assert_allclose(cnnx.lp_pool2d(many, 1, most, **around, normalize=False), np.full((1, 8, 1, 1), 10))
    assert (cnnx.avg_pool2d(many, most, **around) == 2.5).all()
    counted = cnnx.avg_pool2d(many, most, **around, count_include_pad=True)
    np.testing.assert_allclose(counted, np.full((1, 8, 1, 1), 10 / most**2), rtol=1e-6)
    g = np.ones((1, 8, 1, 1), np.float32)
    assert cnnx.max_pool2d_backward(g, many, most, **around).sum(axis=(2, 3)).ravel().tolist() == [1] * 8
    assert (cnnx.avg_pool2d_backward(g, many, most, **around) == 0.25).all()
    assert (cnnx.lp_pool2d_backward(g, many, 1, most, **around, normalize=False) == 1).all()

    weight = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    far = {"padding": "same", "dilation": most, "backend": backend}  # the middle tap alone meets the image
    assert (cnnx.conv2d(x, weight, **far) == 5 * x).all()
    grad_x, grad_weight, _ = cnnx.conv2d_backward(x, x, weight, **far)
    assert (grad_x == 5 * x).all()
    assert grad_weight.ravel().tolist() == [0, 0, 0, 0, 30, 0, 0, 0, 0]
    corner = {"padding": ((most, 0), (most, 0)), "stride": most, "backend": backend}
    assert cnnx.conv2d(x, weight[:, :, :1, :1], **corner).ravel().tolist() == [0, 0, 0, 1]


def test_outputs_too_large_to_exist():
    """No array has so many elements, or no memory: a MemoryError that names it, before anything is allocated."""
    x, weight = np.ones((1, 1, 2, 2), np.float32), np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(MemoryError, match=r"^output of shape \(1, 1, 4294967296, 4294967296\): "):
        cnnx.conv2d(x, weight, padding=2**31 - 1)
    with pytest.raises(MemoryError, match=r"^output of shape \(1, 1, 1431655766, 1431655766\): Unable to allocate"):
        cnnx.conv2d(x, weight, padding=2**31 - 1, stride=3)
    with pytest.raises(MemoryError, match=r"^output of shape \(1, 1, 1431655766, 1431655766\): Unable to allocate"):
        _plan.lending(_plan.Buffers(), lambda: cnnx.conv2d(x, weight, padding=2**31 - 1, stride=3))


# ------------------------------------------------------------------------------------------------- fuzz

INTEGERS = st.sampled_from([1, 1, 1, 2, 2, 3, 4, 7, 0, -1, 2**31 - 1, 2**31, 2**63, np.int8(2), 1.0, True, "1", None])
SMALL = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, -1, 2**31, 0.0, False, None])
PAIRS = st.one_of(INTEGERS, st.tuples(INTEGERS, INTEGERS), st.lists(INTEGERS, max_size=3))
SIDES = st.tuples(SMALL, SMALL)
VALUES = {
    "integer": INTEGERS,
    "pair": PAIRS,
    "padding": st.one_of(st.sampled_from(["same", "valid", "full"]), SMALL, SIDES, st.tuples(SIDES, SIDES), SMALL),
    "ends": st.one_of(SMALL, SIDES),
    "extents": st.one_of(INTEGERS, st.lists(INTEGERS, max_size=3), st.lists(INTEGERS, max_size=3).map(tuple)),
    "axis": st.sampled_from([0, 1, -1, 2, -2, 5, -9, 2**63, 1.0, None, True, np.int64(-1)]),
    "flag": st.sampled_from([True, False, True, False, np.True_, 1, None]),
    "real": st.sampled_from([0.5, 0, 1, 1.0, 2, 2.5, 7, -1, 0.999, np.float32(0.25), np.nan, np.inf, 1e308, 10**400]),
    "bound": st.sampled_from([None, -1, 0, 0.5, 2, 7.5, np.float32(0.25), True, "1", np.nan, np.inf, 1e308, 10**400]),
    "choice": st.sampled_from(["mean", "sum", "first", "all", "direct", "first", "mean", "winograd", "", None, 1]),
}
ITEMS = st.sampled_from([0, -0.0, 1, -1, 0.5, 3, -2.5, 1e-40, 1e30, -1e30, np.inf, -np.inf, np.nan])


@st.composite
def near(draw, like):
    """An array much like the valid one: of a near shape and often the same dtype, in any layout, any numbers."""
    shape = list(like.shape)
    for _ in range(draw(st.integers(0, 2))):
        if shape and draw(st.integers(0, 5)):
            shape[draw(st.integers(0, len(shape) - 1))] = draw(st.integers(0, 5))
        else:
            shape = draw(st.sampled_from([[*shape, 2], shape[1:], [1, *shape]]))
    other = draw(st.sampled_from([np.float64, np.int64, np.int32, np.float16]))
    dtype = like.dtype if draw(st.integers(0, 9)) else other
    if like.dtype.kind in "iu":
        items = np.array(draw(st.lists(st.integers(-1, 9), min_size=1, max_size=9)))
    else:
        items = np.array(draw(st.lists(ITEMS, min_size=1, max_size=9)))
    with np.errstate(invalid="ignore", over="ignore"):
        a = np.resize(items, shape).astype(dtype)
    layout = draw(st.sampled_from(["C", "C", "F", "strided", "reversed", "swapped", "read-only", "broadcast"]))
    if layout == "F":
        a = np.asfortranarray(a)
    elif layout == "strided" and a.ndim:
        a = np.repeat(a, 2, axis=-1)[..., ::2]
    elif layout == "reversed":
        a = np.flip(a)
    elif layout == "swapped":
        a = a.astype(a.dtype.newbyteorder())
    elif layout == "broadcast" and a.size:
        a = np.broadcast_to(a[:1] if a.ndim else a, a.shape)
    elif layout == "read-only":
        a.flags.writeable = False
    return a


def bound(name, arguments):
    """The shape of the forward result of pooling and convolution, counted window by window."""
    x, pooling = arguments["x"], "kernel_size" in arguments

    def two(value):
        return tuple(value) if isinstance(value, (tuple, list)) else (value, value)

    extents = two(arguments["kernel_size"]) if pooling else arguments["weight"].shape[2:]
    spans = [d * (n - 1) + 1 for d, n in zip(two(arguments.get("dilation", 1)), extents, strict=True)]
    stride = arguments.get("stride", None if pooling else 1)
    strides = extents if stride is None else two(stride)
    padding = arguments.get("padding", 0)
    counts = []
    for axis, (extent, span, step) in enumerate(zip(x.shape[2:], spans, strides, strict=True)):
        if padding == "same":
            counts.append(-(-extent // step))
            continue
        sides = (0, 0) if padding == "valid" else two(two(padding)[axis])
        end, starts = extent + sum(sides), [0]
        if arguments.get("ceil_mode", False):  # until one reaches the end; it has to start before the last padding
            while starts[-1] + span < end:
                starts.append(starts[-1] + step)
            counts.append(len(starts) - (starts[-1] >= extent + sides[0]))
        else:
            counts.append(len(range(0, end - span + 1, step)))
    return x.shape[0], x.shape[1] if pooling else arguments["weight"].shape[0], *counts


def transposed(arguments):
    """The shape of a transposed convolution's result: how far the last kernel's last number lies from the first's."""
    x, weight = arguments["x"], arguments["weight"]
    options = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1} | arguments

    def two(value):
        return tuple(value) if isinstance(value, (tuple, list)) else (value, value)

    counts = []
    for axis in range(2):
        places = [two(options["stride"])[axis] * h for h in range(x.shape[2 + axis])]
        apart = [two(options["dilation"])[axis] * r for r in range(weight.shape[2 + axis])]
        cut = sum(two(two(options["padding"])[axis]))
        counts.append(places[-1] + apart[-1] + 1 - cut + two(options["output_padding"])[axis])
    return x.shape[0], weight.shape[1] * options["groups"], *counts


def normalised(op, arguments):
    """The shapes of parameters and of statistics, where there are some per example."""
    x = arguments["x"].shape
    if op.name == "layer_norm":
        last = tuple(np.atleast_1d(arguments["normalized_shape"]).tolist())
        return last, x[: -len(last)]
    if op.name in ("group_norm", "instance_norm"):
        return x[1:2], (x[0], arguments.get("num_groups", x[1]))
    return (arguments["weight"].shape[:1] if "weight" in arguments else None), x[1:2]


def check_result(name, arguments, result):
    """As documented: a float for a cost, else new C-contiguous arrays of the input's dtype and the right shapes."""
    op, function = FUNCTIONS[name]
    if op.cost and function is op.forward:
        assert type(result) is float
        return
    results = result if isinstance(result, tuple) else (result,)
    statistics = bool(arguments.get("return_statistics", False))
    if statistics:
        results = (result[0], *result[1])
    inputs = [value for value in arguments.values() if isinstance(value, np.ndarray)]
    dtype = next(a.dtype.newbyteorder("=") for a in inputs if a.dtype.kind == "f")
    if function is op.backward:
        names = ("grad_output",) if name == "dropout_backward" else op.differentiable
        expected = [arguments[key].shape if key in arguments else normalised(op, arguments)[0] for key in names]
        if name == "conv_transpose2d_backward":
            expected[2] = arguments["grad_output"].shape[1:2]
    elif op.name.startswith("global_"):
        expected = [(*arguments["x"].shape[:2], 1, 1)] * len(results)
    elif name == "conv_transpose2d":
        expected = [transposed(arguments)]
    elif name == "upsample2d":
        size = arguments["size"]
        expected = [(*arguments["x"].shape[:2], *(size if isinstance(size, (tuple, list)) else (size, size)))]
    elif "kernel_size" in arguments or name == "conv2d":
        expected = [bound(name, arguments)] * len(results)
    elif name == "matmul":
        a, b = arguments["a"].shape, arguments["b"].shape
        expected = [(*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])]
    elif op.broadcasts:
        expected = [np.broadcast_shapes(arguments["a"].shape, arguments["b"].shape)]
    elif name == "affine":
        expected = [(*arguments["x"].shape[:-1], arguments["weight"].shape[0])]
    elif name == "flatten":
        expected = [(len(arguments["x"]), math.prod(arguments["x"].shape[1:]))]
    else:
        expected = [arguments["x"].shape, *[normalised(op, arguments)[1]] * 2][: 3 if statistics else 1]
    for i, (y, shape) in enumerate(zip(results, expected, strict=True)):
        if y is None:
            assert not arguments["input_grad"]
            continue
        assert type(y) is np.ndarray
        assert y.shape == shape
        kept = np.int32 if name in ("max_pool2d", "global_max_pool2d") else np.float64
        assert y.dtype == (kept if i and function is op.forward else dtype)
        assert y.dtype.isnative
        assert y.flags.c_contiguous
        assert op.name == "flatten" or not any(np.shares_memory(y, a) for a in inputs)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_anything(name, data):
    op, function = FUNCTIONS[name]
    case = data.draw(st.sampled_from([case for case in op.cases if size(case)[1] < 150]))
    arguments = call_of(name, case, data.draw(st.sampled_from(["float32", "float64"])))
    for key, value in list(arguments.items()):
        if isinstance(value, np.ndarray) and not data.draw(st.integers(0, 2)):
            arguments[key] = data.draw(near(value))
    kinds = {key: kind for n, key, kind in OPTIONS if n == name and kind != "backend"}
    for key in data.draw(st.lists(st.sampled_from(sorted(kinds)), max_size=2, unique=True)) if kinds else ():
        arguments[key] = data.draw(VALUES[kinds[key]])
    before = {key: value.copy() for key, value in arguments.items() if isinstance(value, np.ndarray)}
    outcomes = set()
    for backend in ({"backend": "reference"}, {"backend": "optimized"}) if op.kernels else ({},):
        try:
            result = function(**arguments, **backend)
        except (TypeError, ValueError) as error:
            outcomes.add(str(error))
        else:
            outcomes.add("a result")
            check_result(name, arguments, result)
    assert len(outcomes) == 1, "both back ends check alike"
    assert re.match(r"a result|\w+(\[\d\])*: expected .*got", outcomes.pop())
    for key, value in before.items():
        np.testing.assert_array_equal(arguments[key], value, err_msg="an input was written to")
