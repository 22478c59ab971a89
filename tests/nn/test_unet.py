"""nn.unet: against torch, with weights by name; its derivative; which sizes it takes; training, bits, files."""

from functools import partial

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once

RNG = np.random.default_rng(11)
UPSAMPLING = pytest.mark.parametrize("upsampling", ["transposed", "nearest", "bilinear"])
small = partial(nn.unet, 1, 1, width=4, depth=2, seed=0)


def filled(model):
    """Running statistics and weights that make a difference."""
    for array in (*model.parameters.values(), *model.buffers.values()):
        if array.ndim == 1:
            array[...] = RNG.uniform(0.5, 1.5, array.shape)
    return model


def torch_unet(torch, w, x, training, depth, upsampling):
    """Figure 1 of the paper with padded, normalised convolutions, on weights by our names."""
    F = torch.nn.functional

    def block(name, x):
        for i in (0, 3):
            x = F.conv2d(x, w[f"{name}.{i}.weight"], padding=1)
            bn = f"{name}.{i + 1}"
            running = w[f"{bn}.running_mean"], w[f"{bn}.running_var"]
            x = F.relu(F.batch_norm(x, *running, w[f"{bn}.weight"], w[f"{bn}.bias"], training))
        return x

    passed = []
    for i in range(1, depth + 1):
        passed.append(block(f"down{i}", x))
        x = F.max_pool2d(passed[-1], 2)
    x = block("bottom", x)
    for i in range(depth, 0, -1):
        if upsampling == "transposed":
            x = F.conv_transpose2d(x, w[f"grow{i}.weight"], w[f"grow{i}.bias"], stride=2)
        else:
            x = F.interpolate(x, scale_factor=2, mode=upsampling)
            x = F.conv2d(x, w[f"grow{i}.1.weight"], w[f"grow{i}.1.bias"], padding=1)
        x = block(f"up{i}", torch.cat([passed[i - 1], x], 1))
    return F.conv2d(x, w["head.weight"], w["head.bias"])


@UPSAMPLING
def test_it_is_torch_s_with_the_same_weights_by_name(upsampling):
    torch = pytest.importorskip("torch", reason="it computes what is compared with")
    ours = filled(nn.unet(3, 5, width=3, depth=3, upsampling=upsampling, dtype="float64", seed=1))
    x, delta = RNG.normal(size=(2, 3, 24, 16)), RNG.normal(size=(2, 5, 24, 16))
    for mode in (False, True):
        w = {name: torch.tensor(a, requires_grad=True) for name, a in ours.parameters.items()}
        w |= {name: torch.tensor(a) for name, a in ours.buffers.items()}
        x_ = torch.tensor(x, requires_grad=True)
        y = torch_unet(torch, w, x_, mode, 3, upsampling)
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


def test_the_number_of_weights():
    """Two convolutions 3x3 with two numbers of a normalisation for each channel in a block; the paper's 23 layers."""

    def block(inputs, filters):
        return 9 * filters * (inputs + filters) + 4 * filters

    widths = [64, 128, 256, 512, 1024]
    down = sum(block(inputs, filters) for inputs, filters in zip([3, *widths], widths, strict=False))
    up = sum(4 * 2 * f * f + f + block(2 * f, f) for f in widths[:-1])
    model = nn.unet(3, 2, seed=0)
    assert sum(w.size for w in model.parameters.values()) == down + up + 64 * 2 + 2
    convolutions = [name for name, w in model.parameters.items() if w.ndim == 4]
    assert len(convolutions) == 23


@UPSAMPLING
def test_gradients_are_derivatives(upsampling):
    """Along a direction of all weights and pixels at once, by central differences."""
    model = nn.unet(1, 2, width=2, depth=1, upsampling=upsampling, dtype="float64", seed=3)
    filled(model)
    x, delta = RNG.normal(size=(2, 1, 4, 6)), RNG.normal(size=(2, 2, 4, 6))
    model.forward(x)
    grad_x = model.backward(delta)
    along = {name: RNG.normal(size=w.shape) for name, w in model.parameters.items()}
    along_x = RNG.normal(size=x.shape)
    slope = (grad_x * along_x).sum() + sum((model.gradients[name] * d).sum() for name, d in along.items())
    at = {name: w.copy() for name, w in model.parameters.items()}

    def cost(step):
        for name, w in model.parameters.items():
            w[...] = at[name] + step * along[name]
        return (model.forward(x + step * along_x) * delta).sum()

    step = 2.0**-22  # small enough that no ReLU turns and no maximum changes, which would be seen
    assert abs((cost(step) - cost(-step)) / (2 * step) - slope) < 1e-6 * abs(slope) + 1e-6


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_sizes_that_the_poolings_divide_and_others(depth):
    model = nn.unet(2, 3, width=2, depth=depth, seed=0).eval()
    least = 2**depth
    for size in (least, least), (3 * least, 2 * least):
        assert nn.predict(model, np.ones((2, 2, *size), "float32")).shape == (2, 3, *size)
    for size in (least + 1, least), (least, 2 * least - 1):
        with pytest.raises(ValueError, match=r"arrays\[1\]: expected shape .*, arrays\[0\]'s, but along axis 1, got"):
            model.forward(np.ones((1, 2, *size), "float32"))


@pytest.mark.parametrize(
    ("arguments", "more", "error", "message"),
    [
        ((0, 3), {}, ValueError, "in_channels: expected"),
        ((1, 2.0), {}, TypeError, "classes: expected an integer"),
        ((1, 2), dict(width=0), ValueError, "width: expected"),
        ((1, 2), dict(depth=0), ValueError, "depth: expected"),
        ((1, 2), dict(depth=17), ValueError, "depth: expected an integer from 1 to 16, got 17"),
        ((1, 2), dict(upsampling="cubic"), ValueError, "upsampling: expected one of"),
        ((1, 2), dict(dtype="float16"), TypeError, "dtype"),
        ((1, 2), dict(backend="none"), ValueError, "none"),
    ],
)
def test_bad_arguments_are_one_clear_error(arguments, more, error, message):
    with pytest.raises(error, match=message):
        nn.unet(*arguments, **more)


def squares(count=24):
    """Noise with a bright square in it, and where that is."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(0, 0.5, (count, 1, 16, 16)).astype("float32"), np.zeros((count, 1, 16, 16), "float32")
    for i, (row, column) in enumerate(rng.integers(0, 10, (count, 2))):
        x[i, 0, row : row + 6, column : column + 6] += 2
        y[i, 0, row : row + 6, column : column + 6] = 1
    return x, y


@UPSAMPLING
def test_it_learns_where_something_is_with_the_same_bits_in_any_threads(upsampling, each_threads):
    x, y = squares()

    def train():
        model = nn.Sequential(small(upsampling=upsampling), nn.Sigmoid())
        nn.fit(model, nn.SquaredError(), nn.Adam(0.01), x, y, batch_size=8, updates=60, seed=2)
        return model, {name: a.tobytes() for name, a in model.parameters.items()}

    (model, bits), *others = [train() for _ in each_threads(1, 2)]
    assert all(found == bits for _, found in others)
    found = model.forward(x) > 0.5
    assert (found == (y > 0.5)).mean() > 0.95


@UPSAMPLING
def test_saved_and_exported(tmp_path, upsampling):
    io = pytest.importorskip("cnnx.io", reason="files need safetensors")
    model, (x, _) = filled(small(upsampling=upsampling)).eval(), squares(3)
    expected = model.forward(x)
    assert model.compile(x.shape)(x).tobytes() == expected.tobytes()
    io.save_model(model, tmp_path / "model.safetensors")
    again = io.load_model(tmp_path / "model.safetensors")
    assert repr(again) == repr(model)
    assert again.forward(x).tobytes() == expected.tobytes()
    ort = pytest.importorskip("onnxruntime", reason="it computes what was exported")
    io.export_onnx(model, tmp_path / "model.onnx", (1, 16, 16))
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": x})[0]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    read = io.import_onnx(tmp_path / "model.onnx")
    assert np.abs(read.forward(x) - expected).max() < 1e-5 * np.abs(expected).max()
