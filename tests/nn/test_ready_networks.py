"""The networks that `cnnx.nn` makes as Graphs: against torch, with weights by name; any size; training, bits, files."""

from functools import partial

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once

RNG = np.random.default_rng(7)


def small_resnet(**more):
    return nn.resnet18(1, 3, **(dict(width=4, small_images=True, seed=0) | more))


def small_mobilenet(**more):
    return nn.mobilenet_v2(1, 3, **(dict(width_multiplier=0.25, small_images=True, seed=0) | more))


both = pytest.mark.parametrize("small", [small_resnet, small_mobilenet])


def images(count=24, size=12):
    """Bright squares in three places, on noise."""
    y = np.arange(count) % 3
    x = np.random.default_rng(count).normal(0, 0.3, (count, 1, size, size)).astype("float32")
    for i, kind in enumerate(y):
        x[i, 0, 4 * kind : 4 * kind + 4, 2:8] += 2
    return x, y


def torch_resnet18(torch, channels, classes, width, small_images):
    """As the paper says, with torchvision's names."""
    layers = torch.nn

    class Block(layers.Module):
        def __init__(self, inputs, filters, stride):
            super().__init__()
            self.conv1 = layers.Conv2d(inputs, filters, 3, stride, 1, bias=False)
            self.bn1 = layers.BatchNorm2d(filters)
            self.conv2 = layers.Conv2d(filters, filters, 3, 1, 1, bias=False)
            self.bn2 = layers.BatchNorm2d(filters)
            self.downsample = layers.Identity()
            if stride != 1 or inputs != filters:
                self.downsample = layers.Sequential(
                    layers.Conv2d(inputs, filters, 1, stride, bias=False), layers.BatchNorm2d(filters)
                )

        def forward(self, x):
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + self.downsample(x))

    class ResNet(layers.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = (
                layers.Conv2d(channels, width, 3, 1, 1, bias=False)
                if small_images
                else layers.Conv2d(channels, width, 7, 2, 3, bias=False)
            )
            self.bn1 = layers.BatchNorm2d(width)
            self.maxpool = layers.Identity() if small_images else layers.MaxPool2d(3, 2, 1)
            before = width
            for i in range(4):
                filters = width * 2**i
                pair = layers.Sequential(Block(before, filters, 2 if i else 1), Block(filters, filters, 1))
                setattr(self, f"layer{i + 1}", pair)
                before = filters
            self.fc = layers.Linear(before, classes)

        def forward(self, x):
            x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    return ResNet().double()


def filled(model):
    """Running statistics and weights that make a difference."""
    for array in (*model.parameters.values(), *model.buffers.values()):
        if array.ndim == 1:
            array[...] = RNG.uniform(0.5, 1.5, array.shape)
    return model


def torch_mobilenet_v2(torch, w, x, training, small_images):
    """Table 2 of the paper, on weights with torchvision's names."""
    F = torch.nn.functional

    def normal(name, x, form="{}.0 {}.1", stride=1, groups=1):
        conv, bn = form.format(name, name).split()
        kernel = w[f"{conv}.weight"]
        x = F.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2, 1, groups)
        running = w[f"{bn}.running_mean"], w[f"{bn}.running_var"]
        return F.batch_norm(x, *running, w[f"{bn}.weight"], w[f"{bn}.bias"], training)

    first = 1 if small_images else 2
    x = F.relu6(normal("features.0", x, stride=first))
    n = 0
    for t, count, s in (1, 1, 1), (6, 2, first), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1):
        for k in range(count):
            n += 1
            conv, y, stride = f"features.{n}.conv", x, s if k == 0 else 1
            if t > 1:
                y = F.relu6(normal(f"{conv}.0", y))
            i = int(t > 1)
            y = F.relu6(normal(f"{conv}.{i}", y, stride=stride, groups=y.shape[1]))
            y = normal(conv, y, f"{{}}.{i + 1} {{}}.{i + 2}")
            x = x + y if stride == 1 and x.shape == y.shape else y
    x = F.relu6(normal("features.18", x)).mean((2, 3))
    return x @ w["classifier.1.weight"].T + w["classifier.1.bias"]


@pytest.mark.parametrize("small_images", [True, False])
def test_mobilenet_v2_is_torch_s_with_the_same_weights_by_name(small_images):
    torch = pytest.importorskip("torch", reason="it computes what is compared with")
    options = dict(width_multiplier=0.3, small_images=small_images, dropout=0, dtype="float64", seed=1)
    ours = filled(nn.mobilenet_v2(3, 5, **options))
    x, delta = RNG.normal(size=(3, 3, 33, 30)), RNG.normal(size=(3, 5))
    for mode in (False, True):
        w = {name: torch.tensor(a, requires_grad=True) for name, a in ours.parameters.items()}
        w |= {name: torch.tensor(a) for name, a in ours.buffers.items()}
        x_ = torch.tensor(x, requires_grad=True)
        y = torch_mobilenet_v2(torch, w, x_, mode, small_images)
        found = ours.train(mode).forward(x)
        assert np.abs(found - y.detach().numpy()).max() < 1e-9 * np.abs(found).max()
        y.backward(torch.tensor(delta))
        slopes = {name: w[name].grad.numpy() for name in ours.parameters} | {"x": x_.grad.numpy()}
        grad_x = ours.backward(delta)
        for name, expected in slopes.items():
            got = grad_x if name == "x" else ours.gradients[name]
            assert np.abs(got - expected).max() < 1e-7 * max(1.0, np.abs(expected).max()), (mode, name)
    for name, array in ours.buffers.items():
        assert np.allclose(array, w[name].numpy(), rtol=1e-9), name


@pytest.mark.parametrize("small_images", [True, False])
def test_resnet18_is_torch_s_with_the_same_weights_by_name(small_images):
    torch = pytest.importorskip("torch", reason="it computes what is compared with")
    ours = filled(nn.resnet18(3, 5, width=4, small_images=small_images, dtype="float64", seed=1))
    theirs = torch_resnet18(torch, 3, 5, 4, small_images)
    arrays = {name: torch.tensor(a) for name, a in {**ours.parameters, **ours.buffers}.items()}
    missing, unexpected = theirs.load_state_dict(arrays, strict=False)
    assert not unexpected
    assert {name.rpartition(".")[2] for name in missing} <= {"num_batches_tracked"}
    x, delta = RNG.normal(size=(3, 3, 33, 30)), RNG.normal(size=(3, 5))
    for mode in (False, True):
        x_ = torch.tensor(x, requires_grad=True)
        y = theirs.train(mode)(x_)
        found = ours.train(mode).forward(x)
        assert np.abs(found - y.detach().numpy()).max() < 1e-9 * np.abs(found).max()
        theirs.zero_grad()
        y.backward(torch.tensor(delta))
        grad_x = ours.backward(delta)
        slopes = {name: w.grad.numpy() for name, w in theirs.named_parameters()} | {"x": x_.grad.numpy()}
        for name, expected in slopes.items():
            got = grad_x if name == "x" else ours.gradients[name]
            assert np.abs(got - expected).max() < 1e-7 * max(1.0, np.abs(expected).max()), (mode, name)
    for name, array in ours.buffers.items():
        assert np.allclose(array, theirs.state_dict()[name].numpy(), rtol=1e-9), name


@pytest.mark.parametrize(
    ("make", "weights", "billions"),
    [(nn.resnet18, 11_689_512, 1.81), (nn.mobilenet_v2, 3_504_872, 0.3)],  # torchvision's documentation
)
def test_the_published_number_of_weights_and_multiply_adds(make, weights, billions):
    model = make(3, 1000, seed=0)
    assert sum(w.size for w in model.parameters.values()) == weights
    found = model.summary((3, 224, 224))
    assert found.parameters == weights
    assert round(found.multiply_adds / 1e9, 2) == billions


@pytest.mark.parametrize("make", [partial(nn.resnet18, width=2), partial(nn.mobilenet_v2, width_multiplier=0.1)])
@pytest.mark.parametrize("small_images", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (28, 28), (33, 2)])
def test_any_size_of_image(size, small_images, make):
    model = make(2, 7, small_images=small_images, seed=0)
    assert nn.predict(model, np.ones((3, 2, *size), "float32")).shape == (3, 7)
    model.forward(RNG.normal(size=(3, 2, *size)).astype("float32"))
    assert model.backward(np.ones((3, 7), "float32")).shape == (3, 2, *size)


@both
def test_a_seed_says_all(small):
    a, b, c = small(), small(), small(seed=1)
    assert all(np.array_equal(w, b.parameters[name]) for name, w in a.parameters.items())
    last = list(a.parameters)[-2]
    assert not np.array_equal(a.parameters[last], c.parameters[last])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        *(
            (partial(make, *arguments, **more), error, message)
            for make in (nn.resnet18, nn.mobilenet_v2)
            for arguments, more, error, message in (
                ((0, 3), {}, ValueError, "in_channels: expected"),
                ((1, 2.0), {}, TypeError, "classes: expected an integer"),
                ((1, 2), dict(small_images=1), TypeError, "small_images: expected True or False"),
                ((1, 2), dict(dtype="float16"), TypeError, "dtype"),
                ((1, 2), dict(backend="none"), ValueError, "none"),
            )
        ),
        (lambda: nn.resnet18(1, 2, width=0), ValueError, "width: expected"),
        (lambda: nn.mobilenet_v2(1, 2, width_multiplier=0), ValueError, "width_multiplier: expected a number above 0"),
        (lambda: nn.mobilenet_v2(1, 2, dropout=1), ValueError, "dropout: expected a number from 0 to below 1"),
    ],
)
def test_bad_arguments_are_one_clear_error(make, error, message):
    with pytest.raises(error, match=message):
        make()


@both
def test_training_lowers_the_cost_with_the_same_bits_in_any_threads_and_after_a_stop(tmp_path, small, each_threads):
    x, y = images()

    def train(updates=30, **options):
        model = small()
        cost = nn.CrossEntropy()
        history = nn.fit(
            model, cost, nn.SGD(0.02, momentum=0.9), x, y, batch_size=8, updates=updates, seed=2, **options
        )
        bits = {name: a.tobytes() for name, a in {**model.parameters, **model.buffers}.items()}
        return history.losses, bits

    (losses, bits), *others = [train() for _ in each_threads(1, 2)]
    assert all(other == (losses, bits) for other in others)
    assert sum(losses[-6:]) < 0.5 * sum(losses[:6])
    train(5, checkpoint=tmp_path, every=2)
    assert train(checkpoint=tmp_path, every=2) == (losses, bits)


@both
def test_saved_and_exported(tmp_path, small):
    io = pytest.importorskip("cnnx.io", reason="files need safetensors")
    model, (x, _) = filled(small()).eval(), images(4)
    expected = model.forward(x)
    io.save_model(model, tmp_path / "model.safetensors")
    again = io.load_model(tmp_path / "model.safetensors")
    assert repr(again) == repr(model)
    assert again.forward(x).tobytes() == expected.tobytes()
    ort = pytest.importorskip("onnxruntime", reason="it computes what was exported")
    io.export_onnx(model, tmp_path / "model.onnx", (1, 12, 12))
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": x})[0]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
