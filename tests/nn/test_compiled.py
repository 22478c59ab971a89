"""`Graph.compile`: the bits of `forward` in evaluation, whatever layers a network has, and what is refused."""

import pickle
import threading

import numpy as np
import pytest

import cnnx
from cnnx import nn
from cnnx.nn._storage import Lent, Storage

pytestmark = pytest.mark.once

RNG = np.random.default_rng(7)


def images(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def stirred(model):
    """With other running statistics and slopes than those of a new network."""
    for layer in model._walk():
        for name, array in {**layer.parameters, **layer.buffers}.items():
            if not isinstance(layer, nn.Graph) and array.ndim == 1:
                array[:] = RNG.uniform(0.5, 2, array.shape) if "var" in name else RNG.standard_normal(array.shape)
    return model.eval()


class Halved(nn.Layer):
    """A layer of one's own: NumPy, and an array of its own at each call."""

    def _forward(self, x):
        return x / 2, None


class Shifted(nn.MaxPool2d):
    """Another forward call than its class has."""

    def _forward(self, x):
        y, saved = super()._forward(x)
        return y + 1, saved


class Doubled(nn.ReLU, forward=cnnx.relu, backward=cnnx.relu_backward):
    def _forward(self, x):
        return 2 * cnnx.relu(x), x


ONE = {
    "convolution": nn.Conv2d(3, 5, 3, padding=1, seed=0),
    "Winograd": nn.Conv2d(3, 5, 3, padding=1, seed=0, algorithm="winograd"),
    "transposed": nn.ConvTranspose2d(3, 4, 3, stride=2, seed=0),
    "batch norm": nn.BatchNorm2d(3),
    "dropout": nn.Dropout(0.5, seed=0),
    "pooling": nn.MaxPool2d(2),
    "pooling, all ties": nn.MaxPool2d(3, stride=2, ties="all"),
    "average": nn.AvgPool2d(3, padding=1),
    "norm pooling": nn.LpPool2d(3, 2),
    "global average": nn.GlobalAvgPool2d(),
    "global maximum": nn.GlobalMaxPool2d(),
    "LRN": nn.LocalResponseNorm(3),
    "group norm": nn.GroupNorm(1, 3),
    "instance norm": nn.InstanceNorm2d(3, affine=True),
    "scale": nn.Scale(3),
    "bias": nn.Bias(3),
    "constant": nn.Constant((4, 5)),
    "upsampling": nn.Upsample2d(2),
    "reshape": nn.Reshape((1, -1)),
    "flatten": nn.Flatten(),
    "transpose": nn.Transpose((0, 2, 3, 1)),
    "slice": nn.Slice(1, 1, 3),
    "zeros": nn.ZeroPad2d(1),
    "mirrored": nn.Pad2d(1),
    "backwards": nn.Slice(3, None, None, -1),
    "PReLU": nn.PReLU(3),
    "softmax": nn.Softmax(),
    "log softmax": nn.LogSoftmax(2),
    "one's own": Halved(),
    "a pooling layer of one's own": Shifted(2),
    "an activation of one's own": Doubled(),
    **{kind.__name__: kind() for kind in (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Tanh, nn.Step, nn.Identity, nn.Softplus)},
    **{kind.__name__: kind() for kind in (nn.GELU, nn.LeakyReLU, nn.ELU, nn.HardSigmoid, nn.HardSwish, nn.SiLU)},
    "clip": nn.Clip(-0.5, None),
}


def same_bits(model, x, dtype=None):
    """Twice, with other numbers in between: nothing may be left of a call."""
    expected = model.forward(x)
    compiled = model.compile(x.shape, dtype=dtype or x.dtype)
    compiled(images(*x.shape, dtype=x.dtype))
    for _ in range(2):
        found = compiled(x)
        assert found.dtype == expected.dtype
        assert found.tobytes() == expected.tobytes()
    assert compiled.output_shape == expected.shape
    return compiled


@pytest.mark.parametrize("name", ONE)
def test_each_layer_between_others(name):
    """Something comes before, which may be written over, and it is needed once more, or not."""
    layer = ONE[name]
    for branch in (False, True):
        lines = [("norm", nn.BatchNorm2d(3)), ("layer", layer)]
        if branch:
            lines += [("mean", nn.GlobalAvgPool2d(), "norm"), ("flat", nn.Flatten(), "layer")]
            lines += [("end", nn.Flatten(), "mean"), ("all", nn.Concat(), "flat", "end")]
        same_bits(stirred(nn.Graph(*lines)), images(2, 3, 9, 10))


@pytest.mark.parametrize("name", [name for name, layer in ONE.items() if not layer.parameters])
def test_double(name):
    same_bits(nn.Sequential(ONE[name], nn.Flatten()).eval(), images(2, 3, 8, 8, dtype="float64"))


def test_networks():
    for model, shape in (
        (nn.resnet18(3, 5, width=8, seed=0), (2, 3, 40, 33)),
        (nn.mobilenet_v2(3, 5, width_multiplier=0.25, seed=0), (1, 3, 64, 64)),
        (nn.cn_network(), (3, 1, 28, 28)),
        (nn.Sequential(nn.LayerNorm((6, 5)), nn.ReLU(), nn.LayerNorm(5, affine=False)), (3, 4, 6, 5)),
    ):
        same_bits(stirred(model), images(*shape))


def test_a_view_keeps_what_it_looks_at():
    """Flatten's value lies where the convolution's does, which the activation may not write over while it is needed."""
    model = nn.Graph(
        ("conv", nn.Conv2d(1, 2, 1, seed=0)),
        ("flat", nn.Flatten(), "conv"),
        ("relu", nn.ReLU(), "conv"),
        ("rows", nn.Flatten(), "relu"),
        ("both", nn.Concat(), "flat", "rows"),
    ).eval()
    same_bits(model, images(2, 1, 3, 3))


def test_several_inputs_and_no_image():
    model = nn.Graph(("sum", nn.Add(), "a", "b"), ("relu", nn.ReLU()), inputs=("a", "b")).eval()
    compiled = model.compile((2, 3), (2, 1))
    a, b = images(2, 3), images(2, 1)
    np.testing.assert_array_equal(compiled.forward(a, b), np.maximum(a + b, 0))
    empty = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).eval().compile((0, 1, 4, 4))
    assert empty(np.zeros((0, 1, 4, 4), "float32")).shape == (0, 2, 2, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attention(dtype):
    """The matrix product of values that are needed again, and of one value with itself."""
    model = nn.Graph(
        ("columns", nn.Transpose((0, 2, 1)), "x"),
        ("products", nn.MatMul(), "x", "columns"),
        ("weights", nn.Softmax(-1)),
        ("twice", nn.MatMul(), "weights", "weights"),
        ("relu", nn.ReLU(), "x"),
        ("mixed", nn.MatMul(), "twice", "relu"),
        ("sum", nn.Add(), "mixed", "x"),
    ).eval()
    same_bits(model, images(2, 9, 5, dtype=dtype))


def test_output_is_the_callers():
    compiled = nn.Sequential(nn.ReLU()).eval().compile((1, 2), dtype="float64")
    one, other = compiled(np.array([[1.0, -1.0]])), compiled(np.array([[-3.0, 5.0]]))
    assert one.tolist() == [[1, 0]]
    assert other.tolist() == [[0, 5]]
    x = np.array([[-1.0, 2.0]])
    nn.Sequential(nn.Dropout(), nn.ReLU()).eval().compile((1, 2), dtype="float64")(x)
    assert x.tolist() == [[-1, 2]]  # not written over


def test_memory_is_shared():
    """Ten convolutions with values of 4 KiB: two are needed at a time, and ReLU writes over what it reads."""
    layers = [layer for i in range(10) for layer in (nn.Conv2d(1, 1, 3, padding=1, seed=i), nn.ReLU())]
    compiled = nn.Sequential(*layers).eval().compile((1, 1, 32, 32))
    assert compiled.memory == 2 * 4096


def test_places_of_parts():
    """Parts that are needed at the same time do not overlap; those that are not lie in one place."""
    for _ in range(200):
        storage, spans = Storage(), []
        for part in range(RNG.integers(1, 12)):
            first, length, size = RNG.integers(0, 9), RNG.integers(0, 4), RNG.integers(0, 500)
            storage.add(int(size), int(first))
            storage.use(part, int(first + length))
            spans.append((first, first + length, size))
        arena = storage.place()
        arrays = [arena.array(i, (int(size),), "u1") for i, (_, _, size) in enumerate(spans)]
        for i, (first, last, _) in enumerate(spans):
            for j, (other_first, other_last, _) in enumerate(spans[:i]):
                if first <= other_last and other_first <= last:
                    assert not np.may_share_memory(arrays[i], arrays[j])
    alone = Storage()
    assert [alone.add(100, step) for step in (0, 1, 2)] == [0, 1, 2]
    assert alone.place().nbytes == 128


def test_merged_parts():
    storage = Storage()
    source, over, late = storage.add(64, 0), storage.add(64, 1), storage.add(64, 2)
    storage.use(source, 1)
    storage.use(over, 3)
    storage.use(late, 3)
    storage.merge(over, source, 1)
    storage.merge(late, over, 2)  # which is needed in step 3
    arena = storage.place()
    a, b, c = (arena.array(*Lent(i, (64,), np.dtype("u1"))) for i in (source, over, late))
    assert np.shares_memory(a, b)
    assert not np.may_share_memory(b, c)
    assert arena.nbytes == 128


def test_refused():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout())
    with pytest.raises(ValueError, match=r"compile: expected a network in evaluation, got Sequential in training"):
        model.compile((1, 1, 4, 4))
    model.eval().layers[1].train()
    with pytest.raises(ValueError, match="got Dropout in training; call eval"):
        model.compile((1, 1, 4, 4))
    model.eval()
    with pytest.raises(TypeError, match=r"compile: expected 1 input, a shape each, got 2"):
        model.compile((1, 1, 4, 4), (1, 1, 4, 4))
    with pytest.raises(TypeError, match=r"input_shapes\[0\]: expected the integers"):
        model.compile(4)
    with pytest.raises(ValueError, match=r"input_shapes\[0\]\[2\]: expected an integer from 1"):
        model.compile((1, 1, 0, 4))
    with pytest.raises(ValueError, match="weight"):  # as the op says it
        model.compile((1, 3, 4, 4))
    compiled = model.compile((1, 1, 4, 4))
    assert model.frozen
    with pytest.raises(ValueError, match=r"x: expected shape \(1, 1, 4, 4\), for which this was compiled, got \(2, 1"):
        compiled(np.zeros((2, 1, 4, 4), "float32"))
    with pytest.raises(TypeError, match="x: expected float32, for which this was compiled, got float64"):
        compiled(np.zeros((1, 1, 4, 4)))
    with pytest.raises(TypeError, match=r"expected 1 input\(s\), got 0"):
        compiled()
    with pytest.raises(TypeError, match="expected the network to be pickled"):
        pickle.dumps(compiled)


def test_one_thread_at_a_time():
    inside, go_on = threading.Event(), threading.Event()

    class Waits(nn.Layer):
        def _forward(self, x):
            if waiting:
                inside.set()
                assert go_on.wait(30)
            return x, None

    waiting = []
    compiled = nn.Sequential(Waits()).eval().compile((1, 1))
    waiting.append(True)
    thread = threading.Thread(target=compiled, args=(np.ones((1, 1), "float32"),))
    thread.start()
    assert inside.wait(30)
    with pytest.raises(RuntimeError, match="expected one call at a time"):
        compiled(np.ones((1, 1), "float32"))
    go_on.set()
    thread.join()
    assert compiled(np.ones((1, 1), "float32")).tolist() == [[1]]


def test_reference_is_compiled_too():
    model = nn.Sequential(nn.Conv2d(1, 2, 2, seed=0), nn.ReLU()).eval()
    with cnnx.use_backend("reference"):
        expected, compiled = model(x := images(1, 1, 3, 3)), model.compile((1, 1, 3, 3))
    assert compiled(x).tobytes() == expected.tobytes()  # the back end of then
