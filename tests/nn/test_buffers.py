"""Layers that reuse their buffers: the same bits, nothing allocated twice, nothing lent for longer than was asked."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from cnnx import nn

RNG = np.random.default_rng(7)
X, Y = RNG.random((50, 2, 12, 12)).astype("float32"), RNG.integers(0, 5, 50)


def model_of(dropout=True):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, seed=0),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(4, 4, 3, groups=2, bias=False, seed=1), nn.LeakyReLU(0.1), nn.AvgPool2d(2)),
        nn.LpPool2d(2, 2, stride=1),
        nn.Flatten(),
        nn.Dropout(0.3, seed=2),
        nn.Affine(4, 5, seed=3),
    )


def step(model, cost, x, y):
    """Copies of all that a step returns."""
    out = model.forward(x)
    found = [out.copy(), np.array(cost.forward(out, y))]
    found.append(model.backward(cost.backward()).copy())
    return found + [g.copy() for g in model.gradients.values()]


def same(a, b):
    return all(np.array_equal(p, q) and p.dtype == q.dtype for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("cost", [nn.CrossEntropy(), nn.CrossEntropy(reduction="sum")], ids=repr)
def test_the_same_bits(cost):
    """Whatever the shapes before: a smaller last batch, another image size that the network takes, evaluation."""
    plain, reusing = model_of(), model_of().reuse_buffers()
    assert reusing.reuses_buffers
    assert not plain.reuses_buffers
    costs = copy.deepcopy(cost), copy.deepcopy(cost).reuse_buffers()
    for rows in (slice(0, 20), slice(20, 40), slice(40, 50), slice(0, 20), slice(0, 0), slice(5, 6), slice(0, 20)):
        if rows != slice(0, 0):
            assert same(step(plain, costs[0], X[rows], Y[rows]), step(reusing, costs[1], X[rows], Y[rows]))
        outputs = [model.eval().forward(X[rows]).copy() for model in (plain, reusing)]
        assert same(outputs[:1], outputs[1:])
        plain.train(), reusing.train()


def test_arrays_are_lent_again():
    model, cost = model_of().reuse_buffers(), nn.CrossEntropy().reuse_buffers()
    seen = []
    for _ in range(2):
        out = model.forward(X[:10])
        cost.forward(out, Y[:10])
        grad = cost.backward()
        seen.append([out, grad, model.backward(grad), *model.gradients.values()])
    assert all(a is b for a, b in zip(*seen, strict=True))
    model.eval()
    first, other = model.forward(X[:10]).copy(), model.forward(X[10:20])
    assert not np.array_equal(first, other)
    assert np.array_equal(first, model.forward(X[:10]))


def test_off_at_first_and_off_again():
    model, cost = model_of(), nn.CrossEntropy()
    for switch in (lambda: None, lambda: (model.reuse_buffers(), cost.reuse_buffers())):
        switch()
        step(model, cost, X[:10], Y[:10])
        lent = model.forward(X[:10])
        cost.forward(lent, Y[:10])
        held = [lent, cost.backward(), *model.gradients.values()]
        model.reuse_buffers(False)
        cost.reuse_buffers(False)
        before = [a.copy() for a in held]
        step(model, cost, X[10:20], Y[10:20])
        model.reuse_buffers(), cost.reuse_buffers()  # with buffers of its own
        step(model, cost, X[20:30], Y[20:30])
        assert same(held, before)
        model.reuse_buffers(False), cost.reuse_buffers(False)


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_pickles_have_none(again):
    model, cost = model_of().reuse_buffers(), nn.CrossEntropy().reuse_buffers()
    out = model.forward(X[:10])
    cost.forward(out, Y[:10])
    model.backward(cost.backward())
    untouched = len(pickle.dumps(model_of()))
    assert len(pickle.dumps(model)) < untouched + 500
    for one in (model, cost):
        assert not again(one).reuses_buffers
    assert again(model).forward(X[:10]) is not model.forward(X[:10])


class Keeping(nn.Layer):
    """Keeps everything that passes."""

    def __init__(self):
        super().__init__()
        self.kept, self.inner = [], nn.Tanh()

    def _forward(self, x):
        y = self.inner.forward(x)
        self.kept.append((y, y.copy()))
        return y, True

    def _backward(self, grad_output, saved, input_grad):
        g = self.inner.backward(grad_output)
        self.kept.append((g, g.copy()))
        return g


def test_layers_of_ones_own_are_lent_nothing():
    keeping = Keeping()
    model = nn.Sequential(nn.Affine(5, 4, seed=0), keeping, nn.Affine(4, 5, seed=1))
    x = RNG.random((30, 5)).astype("float32")
    nn.fit(model, nn.CrossEntropy(), nn.SGD(0.1), x, Y[:30], batch_size=10, updates=6)
    assert len(keeping.kept) == 12
    assert all(np.array_equal(lent, then) for lent, then in keeping.kept)
    assert keeping.reuse_buffers().reuses_buffers is False


def test_after_fit_nothing_that_the_caller_holds_changes():
    model, cost, held = model_of(), nn.CrossEntropy(), []

    def on_epoch(epoch):
        assert not model.reuses_buffers
        held.extend(model.gradients.values())
        held.append(model.forward(X[:3]))

    def train():
        nn.fit(model, cost, nn.SGD(0.1), X, Y, batch_size=20, updates=7, on_epoch=on_epoch, validation=(X[:9], Y[:9]))

    train()
    assert not model.reuses_buffers
    assert not cost.reuses_buffers
    outputs = [model.forward(X[:20]), model.forward(X[20:40])]
    held += [*outputs, *model.gradients.values()]
    before = [a.copy() for a in held]
    assert not np.array_equal(*outputs)
    count = len(held)
    train()
    step(model, cost, X[:20], Y[:20])
    assert same(held[:count], before)


def test_fit_leaves_on_what_was_on():
    model, cost = model_of().reuse_buffers(), nn.CrossEntropy()
    nn.fit(model, cost, nn.SGD(0.1), X, Y, batch_size=20, updates=3)
    assert model.reuses_buffers
    assert not cost.reuses_buffers


def test_predict_copies_what_is_lent():
    model = model_of()
    expected = nn.predict(model, X, batch_size=20)
    assert np.array_equal(nn.predict(model.reuse_buffers(), X, batch_size=20), expected)


def test_an_error_leaves_no_lender_behind():
    from cnnx.ops import _plan

    model = model_of().reuse_buffers()
    with pytest.raises(TypeError):
        model.forward("an image")
    assert _plan.lender.get() is None
    model.forward(X[:2])
    with pytest.raises(ValueError, match="grad_output"):
        model.backward(np.ones((2, 4), "float32"))
    assert _plan.lender.get() is None
    with pytest.raises(TypeError, match="on: expected True or False"):
        model.reuse_buffers("yes")


def test_a_step_allocates_no_arrays():
    """Once it runs: forward, cost and backward of CN's network, with the batches as fit takes them."""
    model, cost = nn.cn_network(seed=0, dropout=0.5), nn.CrossEntropy()
    x, y = RNG.random((40, 1, 28, 28)).astype("float32"), RNG.integers(0, 10, 40)
    peaks, before = [], [0]

    class Watch(nn.Optimizer):
        def step(self, model, factor=1.0):
            now, peak = tracemalloc.get_traced_memory()
            peaks.append(peak - before[0])
            tracemalloc.reset_peak()
            before[0] = now

    tracemalloc.start()
    try:
        nn.fit(model, cost, Watch(0.1, 0.0, None), x, y, batch_size=20, updates=12)
    finally:
        tracemalloc.stop()
    assert peaks[0] > 2 * 20 * 4 * 28 * 28 * 4  # the first convolution's outputs, their gradient and more
    assert max(peaks[4:]) < 2500  # objects of Python; the hidden layer's outputs alone have 1,600 bytes
