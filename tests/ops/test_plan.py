"""Plans are remembered: what comes again is quick, and nothing invalid or different is taken for what came before."""

import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cnnx
from cnnx import _check
from cnnx.ops import _plan

X = np.random.default_rng(2).standard_normal((1, 2, 6, 5))
W = np.random.default_rng(3).standard_normal((2, 2, 2, 2))


@pytest.fixture
def made():
    """A remembered function, and what it was asked to make."""
    asked = []

    def make(shapes, *options):
        asked.append((shapes, options))
        if "bad" in options:
            raise ValueError("bad")
        return shapes, options

    return _plan.remembered(make), asked


def test_a_plan_is_made_once(made):
    plan, asked = made
    for _ in range(3):
        assert plan(((1, 2),), 1, (2, 3), "same", None, True) == (((1, 2),), (1, (2, 3), "same", None, True))
    assert len(asked) == 1


def test_what_is_equal_is_not_the_same(made):
    """1, 1.0, True and NumPy's 1 are one key of a dictionary, also within tuples."""
    plan, _ = made
    ones = [1, 1.0, True, np.int64(1), np.float64(1), np.True_]
    for wrap in (lambda v: v, lambda v: (v, 1), lambda v: ((1, v), (1, 1)), lambda v: [v, 1]):
        for _ in range(2):
            for one in ones:
                found = plan(((1,),), wrap(one))[1][0]
                assert _plan._types(found) == _plan._types(wrap(one))
                assert type(found) is type(wrap(one))


def test_errors_are_not_remembered(made):
    plan, asked = made
    for _ in range(2):
        with pytest.raises(ValueError, match="bad") as caught:
            plan(((1,),), "bad")
        assert caught.value.__context__ is None
    assert plan(((1,),), "good")
    assert len(asked) == 5  # an error is made, and made again for who asked


def test_options_that_are_no_keys(made):
    plan, asked = made
    for _ in range(2):
        assert plan(((1,),), [1, 2], {})[1] == ([1, 2], {})
    assert len(asked) == 2


def test_the_memory_is_bounded(made):
    plan, asked = made
    count = 3 * _plan.REMEMBERED
    for i in range(count):
        plan(((i,),), 1)
    plan(((count - 1,),), 1)
    assert len(asked) == count
    plan(((0,),), 1)
    assert len(asked) == count + 1


@pytest.mark.parametrize("wrong", [True, 1.0, np.float32(1), (True, 1), (1, 1.0), [1, True]])
def test_a_valid_call_lets_no_invalid_one_through(wrong):
    for _ in range(2):
        for right in (1, (1, 1), [1, 1]):
            assert cnnx.conv2d(X, W, stride=right, dilation=right).shape == (1, 2, 5, 4)
            assert cnnx.max_pool2d(X, 2, stride=right).shape == (1, 2, 5, 4)
        for option in ("stride", "padding", "dilation"):
            with pytest.raises(TypeError, match=rf"{option}(\[\d\])?: expected an integer, got"):
                cnnx.conv2d(X, W, **{option: wrong})
        with pytest.raises(TypeError, match=r"kernel_size(\[\d\])?: expected an integer, got"):
            cnnx.max_pool2d(X, wrong)
    with pytest.raises(TypeError, match="ceil_mode: expected True or False, got int 1"):
        cnnx.max_pool2d(X, 2, ceil_mode=1)


def test_what_no_plan_knows_is_checked_at_each_call():
    """Dtypes, layouts and kinds of arrays whose shapes came before."""
    y = cnnx.conv2d(X, W)
    for _ in range(2):
        assert np.array_equal(cnnx.conv2d(np.asfortranarray(X), W[..., ::-1][..., ::-1]), y)
        assert np.array_equal(cnnx.conv2d(X.astype(">f8"), W), y)
        with pytest.raises(TypeError, match="weight: expected dtype float64, as x has, got float32"):
            cnnx.conv2d(X, W.astype("float32"))
        with pytest.raises(TypeError, match="x: expected an array, got a masked array"):
            cnnx.conv2d(np.ma.masked_array(X), W)
        with pytest.raises(TypeError, match="weight: expected a NumPy array, got NoneType"):
            cnnx.conv2d(X, None)
        with pytest.raises(ValueError, match="bias: expected shape"):
            cnnx.conv2d(X, W, np.zeros(3))
    assert cnnx.conv2d(X.astype("float32"), W.astype("float32")).dtype == np.float32


class Subclass(np.ndarray):
    pass


def test_plain_arrays():
    """The quick answer is the slow one's, but where it asks for a closer look."""
    bytes_ = np.zeros(4 * 8 + 1, np.uint8)
    unaligned = bytes_[1:].view(np.float64).reshape(2, 2)
    read_only = np.zeros((2, 2))
    read_only.flags.writeable = False
    pickled = pickle.loads(pickle.dumps(np.zeros((2, 2))))  # its dtype is another object
    for a in (np.zeros((2, 2)), np.zeros(()), np.zeros((0, 3), np.float32), read_only, pickled):
        assert _check.plain(a)
        assert _check.floats(a=a)[0] is a
    for a in (
        np.zeros((3, 2)).T,
        unaligned,
        np.zeros(2, ">f8"),
        np.zeros(2, int),
        np.zeros(2).view(Subclass),
        [1.0],
        None,
    ):
        assert not _check.plain(a)
        assert not _check.plain(np.zeros((2, 2)), a)
        assert not _check.plain(np.zeros((2, 2)), np.zeros(2), a)
    assert not _check.plain(np.zeros(2), np.zeros(2, np.float32))
    assert not _check.plain(np.zeros(2, np.float32), np.zeros(2, np.float32), np.zeros(2))


def test_missing_biases_share_zeros_that_nobody_can_write_to():
    zeros = _plan.zeros(3, "float32")
    assert zeros is _plan.zeros(3, "float32")
    assert zeros.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="read-only"):
        zeros[0] = 1

    def spoil(Z, F, b, Y, **numbers):
        b[0] = 1

    cnnx.register_backend("spoiler", {"conv2d": spoil})
    with pytest.raises(ValueError, match="read-only"):
        cnnx.conv2d(X, W, backend="spoiler")


def test_threads_make_plans_at_once():
    together = threading.Barrier(4)

    def work(seed):
        rng = np.random.default_rng(seed)
        together.wait(30)
        for _ in range(300):
            H, W, stride = (int(i) for i in rng.integers(2, 9, 3))
            y = cnnx.max_pool2d(np.ones((1, 1, H, W)), 2, stride=stride)
            assert y.shape == (1, 1, (H - 2) // stride + 1, (W - 2) // stride + 1)
        return True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(4)))
    finally:
        sys.setswitchinterval(interval)


# ------------------------------------------------------------------------------------------------ buffers


def test_buffers_lend_by_order():
    buffers = _plan.Buffers()
    first = [buffers.start().lend((2, 3), np.float32), buffers.lend((4,), np.float64)]
    again = [buffers.start().lend((2, 3), np.float32), buffers.lend((4,), np.float64)]
    assert all(a is b for a, b in zip(first, again, strict=True))
    other = [buffers.start().lend((2, 3), np.float64), buffers.lend((4,), np.float64), buffers.lend((4,), np.float64)]
    assert other[0] is not first[0]
    assert other[0].dtype == np.float64
    assert other[1] is first[1]
    assert other[2] is not other[1]


def test_ops_lend_nothing_unasked():
    assert _plan.lender.get() is None
    assert cnnx.relu(X) is not cnnx.relu(X)
