"""Saved networks: the same layers and bits come back, files appear as a whole, and what is no model is refused."""

import json
import os
import re
import stat
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

import cnnx
from cnnx import nn
from cnnx._files import replacing

pytestmark = pytest.mark.once
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="saved models need safetensors")
io = pytest.importorskip("cnnx.io")


def layers(dtype):
    """Each layer of cnnx.nn, with arguments other than the defaults."""
    learn = {"dtype": dtype, "seed": 3}
    return [
        nn.Conv2d(1, 2, 3, **learn),
        nn.Conv2d(4, 6, (3, 2), stride=(1, 2), padding=((1, 0), (2, 3)), dilation=(2, 1), groups=2, **learn),
        nn.Conv2d(1, 2, 3, padding="same", bias=False, algorithm="winograd", init="xavier", **learn),
        nn.Conv2d(np.int64(1), np.int32(2), (np.int64(3), 2), stride=np.int8(2), groups=np.uint8(1), **learn),
        nn.ConvTranspose2d(4, 6, (3, 2), stride=(1, 2), padding=((1, 0), (0, 2)), dilation=(2, 1), groups=2, **learn),
        nn.ConvTranspose2d(2, 3, 2, stride=2, output_padding=(0, 1), bias=False, init="xavier", **learn),
        nn.Affine(3, 4, **learn),
        nn.Affine(3, 4, bias=False, init="xavier", **learn),
        nn.BatchNorm2d(3, momentum=0.3, eps=0.1, dtype=dtype),
        nn.MaxPool2d(2),
        nn.MaxPool2d((2, 3), stride=(1, 2), padding=(0, 1), ceil_mode=True, ties="all"),
        nn.AvgPool2d(3, stride=2, padding=((0, 1), (1, 0)), count_include_pad=True),
        nn.AvgPool2d(2, padding="valid"),
        nn.LpPool2d(2.5, (2, 3), padding="same", normalize=False),
        nn.GlobalAvgPool2d(),
        nn.GlobalMaxPool2d(),
        nn.GroupNorm(2, 4, eps=0.1, dtype=dtype),
        nn.GroupNorm(1, 3, affine=False, dtype=dtype),
        nn.InstanceNorm2d(3, affine=True, dtype=dtype),
        nn.InstanceNorm2d(np.int64(2), eps=1e-3, dtype=dtype),
        nn.LayerNorm((2, np.int64(3)), dtype=dtype),
        nn.LayerNorm(4, affine=False, dtype=dtype),
        nn.LocalResponseNorm(5, alpha=1e-4 / 3, beta=0.1 + 0.2, k=2),
        nn.ReLU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Step(),
        nn.Identity(),
        nn.Softplus(),
        nn.GELU(),
        nn.SiLU(),
        nn.HardSwish(),
        nn.HardSigmoid(0.2),
        nn.ReLU6(),
        nn.Clip(None, 1.5),
        nn.PReLU(slope=0.125),
        nn.LeakyReLU(0.1 + 0.2),
        nn.Scale(3, dtype=dtype),
        nn.Scale((3, 1), learned=False, dtype=dtype),
        nn.Bias((np.int64(5),), dtype=dtype),
        nn.Constant((1, 3), dtype=dtype),
        nn.Reshape((2, -1)),
        nn.Transpose((0, 2, 1)),
        nn.Slice(1, -3, None),
        nn.ZeroPad2d(((0, 1), (2, 3))),
        nn.Pad2d(((0, "x[2] - 1"), (1, 2)), "constant", 0.5),
        nn.Upsample2d((2, 1)),
        nn.Upsample2d(size=(7, 3), mode="bilinear", coordinates="align_corners"),
        nn.ELU(-1.5e-300),
        nn.Softmax(-1),
        nn.LogSoftmax(2),
        nn.Dropout(1 / 3),
        nn.Flatten(),
        nn.Add(),
        nn.Multiply(),
        nn.Concat(-3),
        nn.MatMul(),
    ]


def network(dtype="float32"):
    """All of them, some of them two Sequentials deep, four in a Graph; put together to be saved, not to be run."""
    first, *middle, last, add, multiply, concat, product = layers(dtype)
    graph = nn.Graph(
        ("/layer1/Add.0", add, "mask", "image"),
        ("a product", multiply, "image", "/layer1/Add.0", "mask"),
        ("ünïcode", nn.Sequential(nn.Affine(2, 3, dtype=dtype)), "image"),
        ("c", concat, "a product", "ünïcode"),
        ("matrices", product, "c", "mask"),
        inputs=("image", "mask"),
    )
    middle.append(nn.Graph(("one", nn.Tanh()), ("both", graph, "one", "x")))
    return nn.Sequential(first, nn.Sequential(nn.Sequential(*middle), nn.Tanh()), last)


def arrays(model):
    return {**model.parameters, **model.buffers}


def assert_same(model, again):
    assert type(again) is type(model)
    assert repr(again) == re.sub(r"np\.u?int\d+\((\d+)\)", r"\1", repr(model))
    ours, theirs = arrays(model), arrays(again)
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        assert (theirs[name].dtype, theirs[name].shape) == (array.dtype, array.shape), name
        assert theirs[name].tobytes() == array.tobytes(), name
        assert theirs[name].flags.writeable, name
        assert theirs[name].flags.c_contiguous, name


def test_every_layer_is_here():
    """A new layer has to be thought of."""
    every = {kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Layer)}
    assert {type(layer) for layer in layers("float32")} == every - {nn.Layer, nn.Activation, nn.Sequential, nn.Graph}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_comes_back_bit_for_bit(tmp_path, dtype):
    model = network(dtype)
    random = np.random.default_rng(0)
    for array in arrays(model).values():  # any bits: NaNs with payloads, infinities, -0.0, denormals
        array.view(np.uint8)[...] = random.integers(0, 256, array.view(np.uint8).shape, np.uint8)
        array.flat[0] = -0.0
    bits = np.array([0x7FC12345, 0xFF812345], np.uint32)  # a quiet and a signalling NaN
    if dtype == "float64":
        bits = np.array([0x7FF8123456789ABC, 0xFFF0123456789ABC], np.uint64)
    model.parameters["0.bias"][:] = bits.view(dtype)
    io.save_model(model, tmp_path / "model")
    again = io.load_model(tmp_path / "model")
    assert_same(model, again)
    assert again.parameters["0.bias"].tobytes() == bits.tobytes()
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("layer", layers("float32"), ids=repr)
def test_a_layer_alone_comes_back(tmp_path, layer):
    io.save_model(layer, str(tmp_path / "layer"))
    again = io.load_model(str(tmp_path / "layer"))
    assert_same(layer, again)
    assert not again.training


def test_a_loaded_network_computes_and_learns_the_same(tmp_path):
    x = np.random.default_rng(1).normal(size=(6, 1, 8, 8)).astype("float32")
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, seed=0), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Affine(256, 3, seed=1)
    )
    model.forward(x)  # moves the running statistics
    io.save_model(model, tmp_path / "model")
    again = io.load_model(tmp_path / "model")
    assert (again.forward(x) == model.eval().forward(x)).all()
    for each in (model, again):
        y = each.train().forward(x)
        each.backward(np.ones_like(y))
        nn.SGD(0.1, momentum=0.9).step(each)
    assert_same(model, again)


def test_back_ends_modes_and_buffers_stay_behind(tmp_path):
    model = nn.Sequential(nn.Affine(3, 2, backend="reference"), nn.Dropout(seed=1)).freeze().reuse_buffers()
    io.save_model(model, tmp_path / "model")
    again = io.load_model(tmp_path / "model")
    for layer in (again, *again.layers):
        assert (layer.backend, layer.training, layer.frozen, layer.reuses_buffers) == (None, False, False, False)


def test_the_file_is_safetensors_with_readable_json(tmp_path):
    """Held against the library's own reader."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3, seed=0), nn.BatchNorm2d(2))
    io.save_model(model, tmp_path / "model")
    with safetensors_numpy.safe_open(tmp_path / "model", "np") as file:
        assert file.metadata().keys() == {"cnnx"}
        ours = json.loads(file.metadata()["cnnx"])
    assert ours["format"] == 1
    assert [layer["type"] for layer in ours["model"]["layers"]] == ["Conv2d", "BatchNorm2d"]
    assert ours["model"]["layers"][1] == {
        "type": "BatchNorm2d", "channels": 2, "momentum": 0.1, "eps": 1e-5, "dtype": "float32"
    }  # fmt: skip
    found = safetensors_numpy.load_file(tmp_path / "model")
    assert found.keys() == arrays(model).keys()
    for name, array in arrays(model).items():
        assert found[name].tobytes() == array.tobytes()


def test_arrays_in_another_order_and_other_metadata_are_read(tmp_path):
    """As another program would write them: only what the header says counts."""
    model = nn.Affine(2, 3, seed=0, dtype="float64")
    io.save_model(model, tmp_path / "model")
    data = (tmp_path / "model").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["weight"]["data_offsets"], header["bias"]["data_offsets"] = [0, 48], [48, 72]
    header["__metadata__"]["author"] = "someone"
    text = (json.dumps(header) + "   ").encode()
    weight, bias = (model.parameters[name].tobytes() for name in ("weight", "bias"))
    (tmp_path / "model").write_bytes(len(text).to_bytes(8, "little") + text + weight + bias)
    assert_same(model, io.load_model(tmp_path / "model"))


def test_loading_draws_no_weights(tmp_path, monkeypatch):
    io.save_model(network(), tmp_path / "model")
    monkeypatch.setattr(nn.init, "generator", None)
    monkeypatch.setattr(np, "full", None)
    io.load_model(tmp_path / "model")


def test_loading_takes_the_memory_of_the_arrays_once(tmp_path):
    io.save_model(nn.Affine(1000, 1000, seed=0), tmp_path / "model")
    tracemalloc.start()
    try:
        model = io.load_model(tmp_path / "model")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert model.parameters["weight"].nbytes <= peak < 1.05 * model.parameters["weight"].nbytes


def test_arrays_in_any_layout_are_saved(tmp_path):
    layer, weight = nn.Affine(2, 3, seed=0), np.arange(6, dtype="float32").reshape(2, 3)
    layer.parameters.update(weight=weight.T)
    io.save_model(layer, tmp_path / "model")
    assert (io.load_model(tmp_path / "model").parameters["weight"] == weight.T).all()


def test_a_file_cut_short_while_it_is_read(tmp_path, monkeypatch):
    io.save_model(nn.Affine(2, 3), tmp_path / "model")
    data = (tmp_path / "model").read_bytes()
    whole = os.stat(tmp_path / "model")
    (tmp_path / "model").write_bytes(data[:-4])
    monkeypatch.setattr(os, "fstat", lambda number: whole)
    with pytest.raises(ValueError, match="the file ends within weight; it was changed while it was read"):
        io.load_model(tmp_path / "model")


def test_layers_beside_a_loading_thread_get_their_weights():
    """The blank arrays are for the reader alone."""
    from cnnx.nn.init import blank

    made = []
    with blank():
        thread = threading.Thread(target=lambda: made.append(nn.Affine(3, 2, seed=0)))
        thread.start()
        thread.join()
        assert not nn.Affine(3, 2, seed=0).parameters["weight"].any()
    assert made[0].parameters["weight"].any()
    assert nn.Affine(3, 2, seed=0).parameters["weight"].any()


# ------------------------------------------------------------------------------------------- not saved


class Own(nn.ReLU, forward=cnnx.relu, backward=cnnx.relu_backward):
    """A class of one's own."""


def changed(change):
    layer = nn.Affine(3, 2)
    change(layer)
    return nn.Sequential(layer)


def nested(depth):
    layer = nn.ReLU()
    for _ in range(depth):
        layer = nn.Sequential(layer)
    return layer


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (3, TypeError, "model: expected a Layer of cnnx.nn, got int"),
        (nn.Sequential(nn.ReLU(), nn.Sequential(Own())), TypeError, r"layer 1\.0: expected layers of cnnx.nn.* Own"),
        (nested(40), ValueError, "nested at most 32 deep"),
        (
            changed(lambda layer: layer.parameters.update(weight=np.zeros((2, 4), "f"))),
            ValueError,
            r"0.weight: expected an array float32 \(2, 3\), as its layer says, got float32 \(2, 4\)",
        ),
        (
            changed(lambda layer: layer.parameters.update(weight=np.zeros((2, 3)))),
            ValueError,
            r"0.weight: expected an array float32 \(2, 3\), as its layer says, got float64 \(2, 3\)",
        ),
        (changed(lambda layer: layer.parameters.pop("bias")), ValueError, "0.bias: expected .* got NoneType"),
        (
            changed(lambda layer: layer.parameters.update(more=np.zeros(1))),
            ValueError,
            "expected the arrays .*'0.more'",
        ),
        (changed(lambda layer: setattr(layer, "in_features", -1)), ValueError, r"layer 0 \(Affine\): in_features: exp"),
        (nn.Sequential(*(nn.ReLU() for _ in range(400))), ValueError, "takes at most 4096 bytes"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, monkeypatch, model, error, message):
    monkeypatch.setattr(io._model, "LARGEST_HEADER", 4096)
    with pytest.raises(error, match=message):
        io.save_model(model, tmp_path / "model")
    assert not os.listdir(tmp_path)


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"before")

    def interrupted():
        with replacing(path) as file:
            file.write(b"half")
            file.flush()
            assert path.read_bytes() == b"before"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["model"]
    (tmp_path / "link").symlink_to(path)
    io.save_model(nn.ReLU(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert isinstance(io.load_model(path), nn.ReLU)
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(tmp_path):
    path = tmp_path / "none" / "model"
    with pytest.raises(FileNotFoundError) as caught:
        io.save_model(nn.ReLU(), path)
    assert caught.value.filename == str(path)


def test_file_systems_errors_are_oserrors(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none" / "model", tmp_path, tmp_path / "pipe", "/dev/null"):
        with pytest.raises(OSError, match=str(path)):
            io.load_model(path)
        if str(path) != str(tmp_path / "none" / "model"):
            with pytest.raises(OSError, match="expected a file or a new name"):
                io.save_model(nn.ReLU(), path)
    with pytest.raises(FileNotFoundError):
        io.save_model(nn.ReLU(), tmp_path / "none" / "model")
    with pytest.raises(FileNotFoundError):
        io.load_model(tmp_path / "nothing")


@pytest.mark.parametrize(("module", "extra"), [("safetensors", "io"), ("onnx", "onnx")])
def test_a_missing_extra_says_what_to_install(module, extra):
    function = {"io": "load_model", "onnx": "import_onnx"}[extra]
    code = f"import sys; sys.modules[{module!r}] = None; import cnnx.io; cnnx.io.{function}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert f"ModuleNotFoundError: cnnx.io needs {module}: python -m pip install 'cnnx[{extra}]'" in done.stderr
