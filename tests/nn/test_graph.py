"""`nn.Graph`: figures worked by hand, what is refused, and all that a Sequential does; Sequential is what it was."""

import base64
import copy
import pickle
import weakref
from fractions import Fraction

import numpy as np
import pytest

from cnnx import nn
from cnnx.audit import gradient_check
from cnnx.audit.truth.dual import Dual
from cnnx.nn._wiring import chain, planned

pytestmark = pytest.mark.once

RNG = np.random.default_rng(5)


class Times(nn.Layer):
    """A layer of one's own: k x, k learnt."""

    def __init__(self, k, learns=True):
        super().__init__()
        self.k = k
        self.calls = []
        if learns:
            self._parameters["k"] = np.array(float(k))

    def _forward(self, x):
        return self.k * x, x

    def _backward(self, grad_output, saved, input_grad):
        self.calls.append(input_grad)
        if self._parameters:
            self._gradients = {"k": np.sum(grad_output * saved)}
        return grad_output * self.k if input_grad else None


class Plus(nn.Layer):
    """Of two inputs."""

    def _forward(self, a, b):
        return a + b, None

    def _backward(self, grad_output, saved, input_grad):
        return (grad_output, grad_output) if input_grad else None


class Product(nn.Layer):
    """Of any number."""

    def _forward(self, *xs):
        y = xs[0]
        for x in xs[1:]:
            y = y * x
        return y, xs

    def _backward(self, grad_output, saved, input_grad):
        found = []
        for i in range(len(saved)):
            g = grad_output
            for k, x in enumerate(saved):
                g = g if k == i else g * x
            found.append(g)
        return tuple(found)


def residual(dtype="float64", **more):
    """What comes in goes past two convolutions, and is used three times."""
    kind = dict(dtype=dtype, seed=np.random.default_rng(1))
    return nn.Graph(
        ("conv1", nn.Conv2d(2, 3, 3, padding=1, **kind)),
        ("relu1", nn.LeakyReLU(0.1)),
        ("conv2", nn.Conv2d(3, 3, 3, padding=1, **kind)),
        ("drop", nn.Dropout(0.25, seed=9), "relu1"),
        ("bn", nn.BatchNorm2d(3, dtype=dtype), "conv2"),
        ("sum", nn.Add(), "bn", "drop", "relu1"),
        ("flat", nn.Flatten()),
        ("fc", nn.Affine(108, 4, **kind)),
    )


X, Y = RNG.normal(size=(22, 2, 6, 6)).astype("float32"), RNG.integers(0, 4, 22)


# ------------------------------------------------------------------------------------------ by hand


def test_a_value_used_twice_by_hand():
    """y = (2 x) (2 x + 3 (2 x)): at x = 5, a = 10, b = 30, s = 40, y = 400."""
    net = nn.Graph(
        ("a", Times(2)),
        ("b", Times(3)),
        ("s", Plus(), "a", "b"),
        ("y", Product(), "a", "s"),
    )
    assert net.forward(np.array([5.0])) == 400
    # dy/ds = a = 10; dy/da = s + 10 + 3 * 10 = 80; dy/dx = 160.
    assert net.backward(np.array([1.0])) == 160
    assert {name: float(g) for name, g in net.gradients.items()} == {"a.k": 80 * 5, "b.k": 10 * 10}
    assert [(name, inputs) for name, _, *inputs in net.lines] == [
        ("a", ["x"]),
        ("b", ["a"]),
        ("s", ["a", "b"]),
        ("y", ["a", "s"]),
    ]
    assert (net.inputs, net.output, len(net), net["s"]) == (("x",), "y", 4, net.layers[2])


def test_gradients_are_added_from_the_last_line_to_the_first():
    """1 + 1e16 is 1e16 in float64, so that the order shows."""

    def found(*factors):
        lines = [(str(k), Times(k), "x") for k in factors]
        net = nn.Graph(*lines, ("y", Product(), *(name for name, *_ in lines)))
        net.forward(np.array([0.0]))
        net["y"]._backward = lambda *_: (np.array([1.0]),) * 3
        return float(net.backward(np.array([1.0]))[0])

    assert found(1.0, 1e16, -1e16) == (-1e16 + 1e16) + 1 == 1
    assert found(-1e16, 1e16, 1.0) == (1 + 1e16) - 1e16 == 0


def test_one_line_may_take_a_value_twice():
    net = nn.Graph(("cube", Product(), "x", "x", "x"))
    assert net.forward(np.array([2.0])) == 8
    assert net.backward(np.array([1.0])) == 12
    assert net._wiring.alone == (-1,)


def test_lines_in_any_order_and_names_of_any_text():
    names = ["/layer1/conv.1", "sum of all", "ünïcode", "0"]
    lines = [
        (names[1], Plus(), names[0], names[2]),
        (names[2], Times(3), names[3]),
        (names[3], Times(5), "x"),
        (names[0], Times(2), "x"),
    ]
    net = nn.Graph(*lines)
    assert [name for name, *_ in net.lines] == [names[3], names[2], names[0], names[1]]
    assert net.forward(np.array([1.0])) == 2 + 15
    assert net.backward(np.array([1.0])) == 17
    assert list(net.parameters) == ["0.k", "ünïcode.k", "/layer1/conv.1.k"]
    assert repr(net.layers[0]) in repr(net)
    assert repr(nn.Graph(("a b", nn.ReLU()), ("c", nn.Add(), "a b", "x"))) == (
        "Graph(\n  'a b' = ReLU()(x)\n  c = Add()('a b', x)\n)"
    )
    again = nn.Graph(*net.lines, inputs=net.inputs)
    assert repr(again) == repr(net)


def test_graphs_of_several_inputs_and_within_graphs():
    """y = (2 a + b) (2 a + b) b, at a = 1, b = 3: 75; dy/da = 2 (2 5) 3 = 60, dy/db = 2 5 3 + 25 = 55."""
    inner = nn.Graph(("double", Times(2), "a"), ("sum", Plus(), "double", "b"), inputs=("a", "b"))
    net = nn.Graph(
        ("first", inner, "left", "right"),
        ("second", nn.Graph(("square", Product(), "v", "v"), inputs="v")),
        ("y", Product(), "second", "right"),
        inputs=("left", "right"),
    )
    assert net.forward(np.array([1.0]), np.array([3.0])) == 75
    found = net.backward(np.array([1.0]))
    assert isinstance(found, tuple)
    assert [float(g[0]) for g in found] == [60, 55]
    assert list(net.parameters) == ["first.double.k"]
    assert net.backward(np.array([1.0]), input_grad=False) is None
    assert "inputs=('left', 'right')" in repr(net)
    with pytest.raises(TypeError, match=r"Graph.forward: expected 2 inputs, got 1"):
        net.forward(np.array([1.0]))
    with pytest.raises(ValueError, match="summary: expected a network of one input, got one of 2"):
        net.summary((1,))


def test_without_input_grad_the_way_back_leaves_out_what_nothing_learns_from():
    still = [Times(1, learns=False) for _ in range(4)]
    learns = Times(2)
    net = nn.Graph(
        ("still0", still[0]),
        ("still1", still[1], "still0"),
        ("learns", learns, "still0"),
        ("still2", still[2]),
        ("y", Plus(), "still1", "still2"),
        ("still3", still[3]),
    )
    net.forward(np.array([3.0]))
    assert net.backward(np.array([1.0]), input_grad=False) is None
    assert [layer.calls for layer in (*still, learns)] == [[], [], [True], [True], [False]]
    assert float(net.gradients["learns.k"]) == 3
    assert net.backward(np.array([1.0])) == 3
    assert [layer.calls for layer in (*still, learns)] == [[True], [True], [True, True], [True, True], [False, True]]


def test_add_multiply_and_concat_by_hand():
    a, b, c = np.array([[1.0, 2.0]]), np.array([[3.0, 5.0]]), np.array([[10.0]])
    add, multiply, concat = nn.Add(), nn.Multiply(), nn.Concat()
    one = np.array([[1.0, 1.0]])
    assert add.forward(a, b, c).tolist() == [[14, 17]]
    assert [g.tolist() for g in add.backward(one)] == [[[1, 1]], [[1, 1]], [[2]]]
    assert multiply.forward(a, b, c).tolist() == [[30, 100]]
    assert [g.tolist() for g in multiply.backward(one)] == [[[30, 50]], [[10, 20]], [[13]]]
    assert concat.forward(a, c, b).tolist() == [[1, 2, 10, 3, 5]]
    assert [g.tolist() for g in concat.backward(np.array([[1.0, 2, 3, 4, 5]]))] == [[[1, 2]], [[3]], [[4, 5]]]
    for layer in (add, multiply, concat):
        assert layer.backward(np.ones((1, 5 if layer is concat else 2)), input_grad=False) is None
    with pytest.raises(TypeError, match=r"Add.forward: expected at least 2 inputs, got 1"):
        add.forward(a)
    with pytest.raises(TypeError, match=r"ReLU.forward: expected 1 input, got 2"):
        nn.ReLU().forward(a, b)


def test_matmul_by_hand():
    a, b, layer = np.array([[[1.0, 2.0]], [[3.0, 4.0]]]), np.array([[[1.0], [10.0]]]), nn.MatMul()
    assert layer.forward(a, b).tolist() == [[[21]], [[43]]]
    delta = np.array([[[1.0]], [[2.0]]])
    assert [g.tolist() for g in layer.backward(delta)] == [[[[1, 10]], [[2, 20]]], [[[7], [10]]]]
    assert layer.backward(delta, input_grad=False) is None
    for inputs in ((a,), (a, b, b)):
        with pytest.raises(TypeError, match=rf"MatMul.forward: expected 2 inputs, got {len(inputs)}"):
            layer.forward(*inputs)


def test_global_average_pooling_by_hand():
    layer, x = nn.GlobalAvgPool2d(), np.arange(12.0).reshape(1, 2, 2, 3)
    assert layer.forward(x).tolist() == [[[[2.5]], [[8.5]]]]
    assert layer.backward(np.array([[[[6.0]], [[12.0]]]])).tolist() == [[[[1.0] * 3] * 2, [[2.0] * 3] * 2]]
    for bad in (np.ones((2, 3)), np.ones((1, 2, 0, 3))):
        with pytest.raises(ValueError, match="x: expected"):
            layer.forward(bad)


# ------------------------------------------------------------------------------------------ what is refused


def relu(name, *inputs):
    return (name, nn.ReLU(), *inputs)


ONE = nn.ReLU()


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        ([], ValueError, r"lines: expected at least one line, \(name, layer, \*inputs\), got none"),
        ([nn.ReLU()], TypeError, r"lines\[0\]: expected \(name, layer, \*inputs\), got ReLU"),
        ([("a",)], TypeError, r"lines\[0\]: expected \(name, layer, \*inputs\), got tuple"),
        ([(3, nn.ReLU())], TypeError, r"lines\[0\]: expected a name, a str, got int 3"),
        ([relu("")], ValueError, r"lines\[0\]: expected a name of characters that can be printed, got ''"),
        ([relu("a\nb")], ValueError, r"expected a name of characters that can be printed, got 'a\\nb'"),
        ([("a", nn.ReLU)], TypeError, r"lines\[0\], a: expected a layer, got type"),
        ([relu("a"), ("b", nn.ReLU(), 0)], TypeError, r"lines\[1\], b: inputs: expected a name, a str, got int 0"),
        ([relu("a"), relu("a")], ValueError, r"a name of its own for each value, got 'a' again, which is line 0"),
        ([relu("x")], ValueError, r"a name of its own for each value, got 'x' again, which is an input"),
        ([relu("a", "w")], ValueError, r"a: expected the name of an input or of a line, of \['x', 'a'\], got 'w'"),
        ([relu("a", "a")], ValueError, r"lines: expected none that needs its own value, got a <- a"),
        (
            [("a", Plus(), "x", "c"), relu("b"), relu("c"), relu("d")],
            ValueError,
            r"lines: expected none that needs its own value, got a <- c <- b <- a",
        ),
        ([relu("a"), relu("b", "x")], ValueError, r"expected every value to be used.* got 'a' beside 'b'"),
        (
            [relu("a"), relu("b", "x"), relu("c", "x")],
            ValueError,
            r"every value to be used, but for one, the output; got 'a' and 'b' beside 'c'",
        ),
        ([("a", Plus())], ValueError, r"a: expected 2 inputs for Plus, got 1: x"),
        ([("a", nn.Add(), "x")], ValueError, r"a: expected at least 2 inputs for Add, got 1: x"),
        ([relu("a"), relu("b", "a", "x")], ValueError, r"b: expected 1 input for ReLU, got 2: a, x"),
        ([("a", ONE), ("b", ONE)], ValueError, r"b: expected a layer of its own for each line.* got ReLU of a again"),
        ([("a", ONE), ("b", nn.Sequential(ONE))], ValueError, r"b: expected a layer of its own .* of a again"),
        (
            [("a", nn.Graph(("b.c", nn.ReLU()))), ("a.b", nn.Graph(("c", nn.ReLU())))],
            ValueError,
            r"expected names that tell layers within layers apart, got two that are 'a.b.c'",
        ),
    ],
)
def test_what_is_no_graph(lines, error, message):
    with pytest.raises(error, match=message):
        nn.Graph(*lines)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ((), ValueError, "inputs: expected at least one name, got none"),
        (3, TypeError, "inputs: expected a name or a tuple of names, got int"),
        (("x", 3), TypeError, r"inputs\[1\]: expected a name, a str, got int 3"),
        (("x", "x"), ValueError, "got 'x' again, which is an input"),
        (("x", "mask"), ValueError, "expected every value to be used.* got the input 'mask' beside 'a'"),
    ],
)
def test_inputs_that_are_none(inputs, error, message):
    with pytest.raises(error, match=message):
        nn.Graph(("a", nn.ReLU(), "x"), inputs=inputs)


def test_errors_of_calls():
    net = residual()
    with pytest.raises(RuntimeError, match=r"Graph.backward: expected a forward call first"):
        net.backward(np.ones((1, 4)))
    with pytest.raises(KeyError, match=r"expected the name of a line, of \['conv1', .*got 'conv3'"):
        net["conv3"]
    with pytest.raises(ValueError, match=r"layers: expected layers of one input, got Add\(\) as number 1"):
        nn.Sequential(nn.ReLU(), nn.Add())

    class Forgets(Plus):
        def _backward(self, grad_output, saved, input_grad):
            return (grad_output,)

    net = nn.Graph(("sum", Forgets(), "x", "x"))
    net.forward(np.ones(1))
    with pytest.raises(RuntimeError, match="sum: expected gradients of 2 inputs, got 1"):
        net.backward(np.ones(1))
    one = Times(2)
    net = nn.Sequential(one)
    net.forward(np.ones(1))
    one._backward = lambda *_: None
    with pytest.raises(RuntimeError, match="0: expected gradients of 1 inputs, got 0"):
        net.backward(np.ones(1))


# ------------------------------------------------------------------------------------------ derivatives


def often():
    """y = (3 v) v (v + 2 v) = 9 v^3, v = 3/4 x: v is used four times."""
    return nn.Graph(
        ("v", Times(0.75)),
        ("a", Times(3), "v"),
        ("b", Times(2), "v"),
        ("c", Plus(), "b", "v"),
        ("y", Product(), "a", "v", "c"),
    )


def test_dual_numbers_agree_exactly_where_a_value_is_used_four_times():
    """The derivative that the forward call has, carried along without rounding, is what the way back finds."""
    net = often()
    for x in (Fraction(1, 3), Fraction(-7, 2)):
        slope = net.forward(np.array([Dual(x, Fraction(1))], object))[0].slope
        assert slope == 27 * (Fraction(3, 4) * x) ** 2 * Fraction(3, 4)
        net.forward(np.array([x], object))
        assert net.backward(np.array([Fraction(1)], object))[0] == slope


@pytest.mark.parametrize("seed", range(30))
def test_any_graph_has_the_derivative_that_dual_numbers_have(seed):
    """Lines drawn at random, given in any order; numbers without rounding."""
    random = np.random.default_rng(seed)
    values, lines = ["x", "z"], []
    for i in range(int(random.integers(1, 14))):
        kind = random.choice(["times", "plus", "product"], p=[0.5, 0.35, 0.15])
        count = {"times": 1, "plus": 2, "product": 3}[kind]
        layer = {"times": Times(Fraction(int(random.integers(-3, 4)), 2), learns=False), "plus": Plus()}.get(kind)
        lines.append((f"line {i}", layer or Product(), *random.choice(values, count).tolist()))
        values.append(lines[-1][0])
    taken = {one for _, _, *inputs in lines for one in inputs}
    lines.append(("y", Product(), *(one for one in values if one not in taken), "x"))
    net = nn.Graph(*(lines[i] for i in random.permutation(len(lines))), inputs=("x", "z"))
    at = [Fraction(2, 3), Fraction(-1, 2)]
    x, z = (np.array([number], object) for number in at)
    net.forward(x, z)
    found = net.backward(np.array([Fraction(1)], object))
    for i in range(2):
        duals = [np.array([Dual(number, Fraction(int(k == i)))], object) for k, number in enumerate(at)]
        assert net.forward(*duals)[0].slope == found[i][0]


def test_a_value_is_gone_once_no_line_needs_it():
    alive, seen = [], []

    class Watch(nn.Layer):
        """Keeps nothing; notes how many of the values that such layers gave are still there."""

        def _forward(self, *xs):
            seen.append(sum(one() is not None for one in alive))
            y = xs[0] + 1
            alive.append(weakref.ref(y))
            return y, None

    net = nn.Graph(
        ("a", Watch()),
        ("b", Watch()),  # a is needed once more
        ("c", Watch(), "b", "a"),
        ("d", Watch()),
        ("e", Watch()),
    )
    net.forward(np.zeros(1))
    assert seen == [0, 1, 2, 1, 1]


def test_difference_quotients_where_a_value_is_used_three_times():
    net, cost = residual(), nn.SquaredError(reduction="sum")
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(3, 2, 6, 6))} | {name: w.copy() for name, w in net.parameters.items()}
    target = rng.normal(size=(3, 4))

    def cost_at(given):
        for name, value in given.items():
            if name != "x":
                net.parameters[name][...] = value
        net["drop"]._random = np.random.default_rng(9)
        return cost.forward(net.forward(given["x"]), target)

    cost_at(arrays)
    gradients = {"x": net.backward(cost.backward())} | dict(net.gradients)
    # 2^-20: steps so small that no LeakyReLU is at its kink
    report = gradient_check(cost_at, arrays, {name: g.copy() for name, g in gradients.items()}, step=2.0**-20)
    assert report.ok, (report.at, report.difference, report.kinks)


def test_a_residual_block_against_torch():
    torch = pytest.importorskip("torch", reason="its autograd is what is compared with")
    kind = dict(dtype="float64", seed=np.random.default_rng(0))
    net = nn.Graph(
        ("conv1", nn.Conv2d(3, 3, 3, padding=1, **kind)),
        ("relu1", nn.ReLU()),
        ("conv2", nn.Conv2d(3, 3, 3, padding=1, **kind)),
        ("gate", nn.Sigmoid(), "conv1"),
        ("gated", nn.Multiply(), "conv2", "gate"),
        ("sum", nn.Add(), "gated", "x", "conv1"),
        ("both", nn.Concat(), "sum", "relu1"),
    )
    x, delta = RNG.normal(size=(2, 3, 5, 4)), RNG.normal(size=(2, 6, 5, 4))
    x_, *w = (torch.tensor(a, requires_grad=True) for a in (x, *net.parameters.values()))
    conv1 = torch.nn.functional.conv2d(x_, w[0], w[1], padding=1)
    relu1 = torch.relu(conv1)
    conv2 = torch.nn.functional.conv2d(relu1, w[2], w[3], padding=1)
    y = torch.cat([conv2 * torch.sigmoid(conv1) + x_ + conv1, relu1], 1)
    y.backward(torch.tensor(delta))
    assert np.abs(net.forward(x) - y.detach().numpy()).max() < 1e-13
    found = [net.backward(delta), *net.gradients.values()]
    for ours, theirs in zip(found, (x_, *w), strict=True):
        theirs = theirs.grad.numpy()
        assert np.abs(ours - theirs).max() < 1e-13 * max(1, np.abs(theirs).max())


# ------------------------------------------------------------------------------------------ the same bits


def there_and_back(model, x, delta):
    y = np.array(model.forward(x))
    return [y, np.array(model.backward(delta)), *(np.array(g) for g in model.gradients.values())]


def same(a, b):
    return [one.tobytes() for one in a] == [one.tobytes() for one in b]


def test_bits_depend_on_no_threads_no_reuse_and_no_copy(each_threads):
    x, delta = X[:7], RNG.normal(size=(7, 4)).astype("float32")
    expected = there_and_back(residual("float32"), x, delta)
    for _ in each_threads(1, 2, 3):
        assert same(there_and_back(residual("float32"), x, delta), expected)
    assert same(there_and_back(copy.deepcopy(residual("float32")), x, delta), expected)
    assert same(there_and_back(pickle.loads(pickle.dumps(residual("float32"))), x, delta), expected)
    plain, reusing = residual("float32"), residual("float32").reuse_buffers()
    for _ in range(4):
        assert same(there_and_back(plain, x, delta), there_and_back(reusing, x, delta))
    arrays = [net.backward(delta) for net in (reusing, reusing)]
    assert arrays[0] is arrays[1]


def train(model, folder=None, kill=None, **options):
    optimizer = nn.Adam(0.01)
    step = optimizer.step

    def mortal(*arguments):
        if optimizer.updates == kill:
            raise InterruptedError
        step(*arguments)

    optimizer.step = mortal
    options = dict(batch_size=5, updates=17, seed=1, validation=(X[:7], Y[:7])) | options
    history = nn.fit(model, nn.CrossEntropy(), optimizer, X, Y, checkpoint=folder, **options)
    arrays = {**model.parameters, **model.buffers, "losses": np.array(history.losses)}
    arrays |= {f"{name} {i}": a for name, kept in optimizer.state.items() for i, a in enumerate(kept)}
    return {name: a.tobytes() for name, a in arrays.items()}


@pytest.mark.parametrize("every", [1, 3, None])
def test_who_goes_on_from_a_checkpoint_comes_to_the_same_bits(tmp_path, every):
    expected = train(residual("float32"))
    assert "conv1.weight" in expected
    assert "bn.running_mean" in expected
    with pytest.raises(InterruptedError):
        train(residual("float32"), tmp_path, kill=11, every=every)
    assert train(residual("float32"), tmp_path, every=every) == expected
    other = residual("float32")
    other = nn.Graph(*other.lines[:5], ("sum", nn.Add(), "bn", "relu1", "drop"), *other.lines[6:])
    with pytest.raises(
        ValueError, match=r"model sum = Add\(\)\(bn, drop, relu1\) there, sum = Add\(\)\(bn, relu1, drop\)"
    ):
        train(other, tmp_path, every=every)


def test_a_frozen_line_and_modes():
    net = residual("float32")
    assert net.training
    assert not net.eval()["drop"].training
    net.train()
    net["conv2"].freeze()
    net.forward(X)
    with pytest.raises(RuntimeError, match=r"Conv2d.backward: expected a layer that may change, got a frozen one"):
        net.backward(np.ones((22, 4), "float32"))
    net.unfreeze()
    net.backward(np.ones((22, 4), "float32"))
    with pytest.raises(RuntimeError, match=r"SGD.step: expected a layer that may change"):
        nn.SGD(0.1).step(net.freeze())
    net.unfreeze().backend = "reference"
    assert {layer.backend for layer in net.layers} == {"reference"}
    assert list(net.generators) == ["drop._random"]


def test_an_optimiser_names_weights_as_the_graph_does():
    net, optimizer = nn.Graph(("in", residual("float32")), ("out", nn.LogSoftmax())), nn.SGD(0.1, momentum=0.5)
    net.forward(X)
    net.backward(np.ones((22, 4), "float32"))
    before = {name: w.copy() for name, w in net.parameters.items()}
    optimizer.step(net)
    assert list(optimizer.state) == list(net.parameters)
    for name, w in net.parameters.items():
        assert np.allclose(w, before[name] - 0.1 * net.gradients[name], rtol=1e-6, atol=1e-6), name


def test_summary_of_a_block_by_hand():
    found = nn.Graph(
        ("first", nn.Graph(("conv", nn.Conv2d(2, 3, 3, padding=1)), ("relu", nn.ReLU()))),
        ("short", nn.Conv2d(2, 3, 1, bias=False), "x"),
        ("sum", nn.Add(), "first", "short"),
    ).summary((2, 4, 5))
    assert [(row.layer, row.output_shape, row.parameters, row.multiply_adds) for row in found.layers] == [
        ("(first.conv) Conv2d(2, 3, 3, padding=1)", (3, 4, 5), 57, 54 * 20),
        ("(first.relu) ReLU()", (3, 4, 5), 0, 0),
        ("(short) Conv2d(2, 3, 1, bias=False)", (3, 4, 5), 6, 6 * 20),
        ("(sum) Add()", (3, 4, 5), 0, 0),
    ]


# ------------------------------------------------------------------------------------------ Sequential


def test_sequential_is_a_graph_of_numbered_lines():
    def layers():
        seed = np.random.default_rng(0)
        return [
            nn.Conv2d(2, 3, 3, seed=seed),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Affine(48, 4, seed=seed),
        ]

    chained = nn.Graph(*((str(i), layer) for i, layer in enumerate(layers())))
    model = nn.Sequential(*layers())
    assert isinstance(model, nn.Graph)
    assert chained._wiring == model._wiring
    assert list(chained.parameters) == list(model.parameters) == ["0.weight", "0.bias", *_keys(1), *_keys(4)]
    delta = RNG.normal(size=(22, 4)).astype("float32")
    assert same(there_and_back(chained, X, delta), there_and_back(model, X, delta))
    assert train(chained) == train(model)
    assert model["4"] is model[4] is model[-1]
    assert repr(model[2:4]) == "Sequential(\n  (0) ReLU()\n  (1) Flatten()\n)"


def _keys(i):
    return [f"{i}.weight", f"{i}.bias"]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_chain_is_planned_as_any_graph_is(count):
    assert chain(count) == planned(("x",), tuple(map(str, range(count))), tuple((i,) for i in range(count)))


# nn.Sequential(nn.Affine(1, 1), nn.Sequential(nn.ReLU(), nn.Flatten()).eval()), its weight 2, as it was saved before
# there were Graphs.
PICKLE = (
    "gASVAwMAAAAAAACMEmNubngubm4uc2VxdWVudGlhbJSMClNlcXVlbnRpYWyUk5QpgZR9lCiMEF9mb3J3YXJkX2J1ZmZlcnOUTowRX2JhY2t3YXJk"
    "X2J1ZmZlcnOUTowJX2NoaWxkcmVulIwOY25ueC5ubi5sYXllcnOUjAZBZmZpbmWUk5QpgZR9lChoBU5oBk5oBymMCV9iYWNrX2VuZJROjAh0cmFp"
    "bmluZ5SIjAZmcm96ZW6UiYwLX3BhcmFtZXRlcnOUfZQojAZ3ZWlnaHSUjBZudW1weS5fY29yZS5tdWx0aWFycmF5lIwMX3JlY29uc3RydWN0lJOU"
    "jAVudW1weZSMB25kYXJyYXmUk5RLAIWUQwFilIeUUpQoSwFLAUsBhpRoFowFZHR5cGWUk5SMAmY0lImIh5RSlChLA4wBPJROTk5K/////0r/////"
    "SwB0lGKJQwQAAABAlHSUYowEYmlhc5RoFWgYSwCFlGgah5RSlChLAUsBhZRoH4wCZjSUiYiHlFKUKEsDaCNOTk5K/////0r/////SwB0lGKJQwQA"
    "AAAAlHSUYnWMCl9ncmFkaWVudHOUfZSMCF9idWZmZXJzlH2UjAZfc2F2ZWSUTowLaW5fZmVhdHVyZXOUSwGMDG91dF9mZWF0dXJlc5RLAWgniIwF"
    "ZHR5cGWUjAdmbG9hdDMylIwEaW5pdJSMAmhllHViaAIpgZR9lChoBU5oBk5oB4wSY25ueC5ubi5hY3RpdmF0aW9ulIwEUmVMVZSTlCmBlH2UKGgF"
    "TmgGTmgHKWgNTmgOiWgPiWgQfZRoMn2UaDR9lGg2TnViaAiMB0ZsYXR0ZW6Uk5QpgZR9lChoBU5oBk5oByloDU5oDoloD4loEH2UaDJ9lGg0fZRo"
    "Nk51YoaUaA1OaA6JaA+JaBB9lGgyfZRoNH2UaDZOjAZfbmFtZXOUfZR1YoaUaA1OaA6IaA+JaBB9lGgyfZRoNH2UaDZOaFJ9lChLAGgShpSMCDAu"
    "d2VpZ2h0lEsAaCeGlIwGMC5iaWFzlHV1Yi4="
)
FILE = (  # likewise, nn.Dropout(0.5) in the place of nn.Flatten()
    "qAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJjbm54Ijoie1wiZm9ybWF0XCI6MSxcIm1vZGVsXCI6e1widHlwZVwiOlwiU2VxdWVudGlhbFwiLFwi"
    "bGF5ZXJzXCI6W3tcInR5cGVcIjpcIkFmZmluZVwiLFwiaW5fZmVhdHVyZXNcIjoxLFwib3V0X2ZlYXR1cmVzXCI6MSxcImJpYXNcIjp0cnVlLFwi"
    "ZHR5cGVcIjpcImZsb2F0MzJcIixcImluaXRcIjpcImhlXCJ9LHtcInR5cGVcIjpcIlNlcXVlbnRpYWxcIixcImxheWVyc1wiOlt7XCJ0eXBlXCI6"
    "XCJSZUxVXCJ9LHtcInR5cGVcIjpcIkRyb3BvdXRcIixcInJhdGVcIjowLjV9XX1dfX0ifSwiMC5iaWFzIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUi"
    "OlsxXSwiZGF0YV9vZmZzZXRzIjpbMCw0XX0sIjAud2VpZ2h0Ijp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsxLDFdLCJkYXRhX29mZnNldHMiOls0"
    "LDhdfX0gICAgICAgAAAAAAAAAEA="
)


def test_a_pickle_from_before_there_were_graphs():
    model = pickle.loads(base64.b64decode(PICKLE))
    assert repr(model) == (
        "Sequential(\n  (0) Affine(1, 1)\n  (1) Sequential(\n    (0) ReLU()\n    (1) Flatten()\n  )\n)"
    )
    assert (model.training, model[1].training) == (True, False)
    assert model.forward(np.array([[3.0]], "float32")).tolist() == [[6]]
    assert model.backward(np.array([[1.0]], "float32")).tolist() == [[2]]
    assert list(model.gradients) == ["0.weight", "0.bias"]
    assert pickle.loads(pickle.dumps(model)).__dict__.keys() == model.__dict__.keys()
    assert "_wiring" not in model.__getstate__(), "a pickle that the version before can read"


def test_a_file_from_before_there_were_graphs(tmp_path):
    io = pytest.importorskip("cnnx.io", reason="saved models need safetensors")
    path = tmp_path / "model.safetensors"
    path.write_bytes(base64.b64decode(FILE))
    model = io.load_model(path)
    assert model.forward(np.array([[3.0]], "float32")).tolist() == [[6]]
    io.save_model(model, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
