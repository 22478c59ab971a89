"""cnnx.data: the IDX reader and what it refuses, the o/x images, digits, MNIST."""

import gzip
import os
import pathlib
import struct
import sys
import tracemalloc
import types
import warnings

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from paths import MNIST, needs_mnist

from cnnx import data

pytestmark = pytest.mark.once

SIX = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes([1, 2, 3, 4, 5, 6])


def idx(kind: int, shape: tuple[int, ...], body: bytes) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


def write(folder: pathlib.Path, content: bytes, name: str = "file") -> pathlib.Path:
    path = folder / name
    path.write_bytes(content)
    return path


# -------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_content_decides_whether_a_file_is_compressed(tmp_path, pack, name):
    found = data.read_idx(write(tmp_path, pack(SIX), name))
    assert found.dtype == np.uint8
    assert found.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("kind", "letter", "dtype", "values"),
    [
        (0x08, "B", "uint8", [0, 1, 255]),
        (0x09, "b", "int8", [-128, 0, 127]),
        (0x0B, "h", "int16", [-32768, 1, 258]),
        (0x0C, "i", "int32", [-(2**31), 1, 16909060]),
        (0x0D, "f", "float32", [-1.5, 0.0, 2.0**100]),
        (0x0E, "d", "float64", [-1.5, 0.1, 1e300]),
    ],
)
def test_every_type_of_number_comes_in_native_order(tmp_path, kind, letter, dtype, values):
    found = data.read_idx(write(tmp_path, idx(kind, (3,), struct.pack(f">3{letter}", *values))))
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    assert found.tolist() == values
    found[0] = 1  # the caller's own, to write to


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_path_as_text_an_empty_axis_and_a_gzip_file_of_two_members(tmp_path, pack):
    assert data.read_idx(str(write(tmp_path, pack(idx(8, (0, 28, 28), b""))))).shape == (0, 28, 28)
    halves = gzip.compress(SIX[:9]) + gzip.compress(SIX[9:])
    assert data.read_idx(write(tmp_path, halves)).sum() == 21


# ----------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no bytes"),
        (b"\0\0\x08", "0x000008"),
        (b"\x89PNG\r\n", "two zero bytes, got 0x89504e47"),
        (b"\0\0\x07\x01" + bytes(8), "IDX type .* got 0x07"),
        (b"\0\0\x0a\x01" + bytes(8), "IDX type .* got 0x0a"),
        (b"\0\0\x08\x00", "1 to 64 axes .* got 0"),
        (b"\0\0\x08\xff" + bytes(1020), "1 to 64 axes .* got 255"),
        (b"\0\0\x08\x03" + bytes(11), "3 extents .* got 11 bytes"),
        (SIX[:-1], "6 bytes behind the header .* got "),
        (SIX + b"\0", r"6 bytes behind the header \(shape \(2, 3\), uint8\), got more"),
        (idx(8, (2**31, 28, 28), bytes(100)), "got at most"),
        (idx(0x0E, (2**32 - 1,) * 64, bytes(100)), "got at most"),
        (idx(8, (0,) + (2**32 - 1,) * 3, b""), "a shape that an array can have"),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path, content, expected, pack):
    path = write(tmp_path, pack(content))
    if pack is bytes and expected.endswith("got more"):
        expected = "6 bytes behind the header"
    with pytest.raises(ValueError, match=expected) as caught:
        data.read_idx(path)
    assert str(caught.value).startswith(f"{path}: expected ")


@pytest.mark.parametrize("damage", ["cut", "crc", "header", "deflate", "no trailer"])
def test_a_corrupt_gzip_file_is_one_clear_error(tmp_path, damage):
    packed = bytearray(gzip.compress(idx(8, (5000,), bytes(np.random.default_rng(0).bytes(5000))), mtime=0))
    if damage == "cut":
        del packed[len(packed) // 2 :]
    elif damage == "no trailer":
        del packed[-8:]
    else:
        packed[{"crc": len(packed) - 8, "header": 2, "deflate": 10}[damage]] ^= 0xFF
    with pytest.raises(ValueError, match="expected an intact gzip file, got one that cannot be unpacked"):
        data.read_idx(write(tmp_path, bytes(packed)))


def test_a_missing_file_and_a_folder_are_operating_system_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.read_idx(tmp_path / "none")
    with pytest.raises(OSError, match=tmp_path.name):
        data.read_idx(tmp_path)


def peak(path: pathlib.Path) -> int:
    """The most memory that a refused reading takes."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="expected"):
            data.read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match=f"{path}: expected a file, got a directory, a pipe or a device"):
            data.read_idx(path)


def test_memory_is_taken_only_for_what_is_there(tmp_path):
    claim = idx(8, (2**31, 28, 28), bytes(1000))
    assert peak(write(tmp_path, claim)) < 1e6
    assert peak(write(tmp_path, gzip.compress(claim))) < 1e6
    # A claim that the compressed size cannot rule out: taken piece by piece, so what is there is the limit.
    noise = np.random.default_rng(0).bytes(300_000)
    assert peak(write(tmp_path, gzip.compress(idx(8, (200_000_000,), noise)))) < 5e6


def test_a_gzip_bomb_is_not_expanded_beyond_its_header(tmp_path):
    bomb = gzip.compress(idx(8, (1000,), bytes(200_000_000)), compresslevel=1)
    assert peak(write(tmp_path, bomb)) < 5e6


@hypothesis.given(
    start=st.sampled_from([b"", b"\0\0", b"\0\0\x08", b"\0\0\x08\x01", SIX[:12], gzip.compress(SIX, mtime=0)[:12]]),
    rest=st.binary(max_size=40),
    packed=st.booleans(),
)
@hypothesis.settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_array_or_a_value_error(tmp_path_factory, start, rest, packed):
    content = start + rest
    path = write(tmp_path_factory.getbasetemp(), gzip.compress(content) if packed else content)
    try:
        found = data.read_idx(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise
    else:
        assert content[:2] in (b"\0\0", b"\x1f\x8b")
        assert found.nbytes <= len(content)


@hypothesis.given(position=st.integers(0, len(gzip.compress(SIX, mtime=0)) - 1), value=st.integers(0, 255))
@hypothesis.settings(max_examples=200, deadline=None)
def test_a_flipped_byte_of_a_gzip_file_never_gives_other_numbers(tmp_path_factory, position, value):
    packed = bytearray(gzip.compress(SIX, mtime=0))
    packed[position] = value
    try:
        found = data.read_idx(write(tmp_path_factory.getbasetemp(), bytes(packed)))
    except ValueError:
        return
    assert found.tolist() == [[1, 2, 3], [4, 5, 6]]


# --------------------------------------------------------------------------------------- the sources


def test_ox_images_are_d19s():
    two = data.ox_images("two")
    assert two.images.shape == (2, 1, 3, 3)
    assert two.images.dtype == two.labels.dtype == np.float64
    assert two.images[0, 0].tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    assert two.images[1, 0].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert two.labels.tolist() == [[1, 0], [0, 1]]


def test_ox_images_of_the_six_examples():
    plain, damaged = data.ox_images(), data.ox_images("damaged", dtype="float32")
    assert damaged.images.dtype == np.float32
    for six in plain, damaged:
        assert six.labels.tolist() == [[1, 0]] * 3 + [[0, 1]] * 3
    two = data.ox_images("two").images
    assert np.array_equal(plain.images, two[[0, 0, 0, 1, 1, 1]])
    # 111/100/111 and 001/010/101: one pixel of one o and of one x
    assert np.argwhere(damaged.images != plain.images).tolist() == [[2, 0, 1, 2], [5, 0, 0, 0]]
    with pytest.raises(ValueError, match="examples: expected one of 'two', 'six', 'damaged', got 'seven'"):
        data.ox_images("seven")


def test_split_takes_the_first_rows_to_test_and_the_next_to_train():
    images = np.arange(6, dtype="uint8").reshape(6, 1, 1, 1) * 51
    set_ = data.Dataset(images, np.arange(6), white=255)
    split = set_.split(2, 3)
    assert split.y_test.tolist() == [0, 1]
    assert split.y_train.tolist() == [2, 3, 4]
    assert split.x_train.dtype == np.float32
    assert split.x_train.ravel().tolist() == [np.float32(0.4), np.float32(0.6), np.float32(0.8)]
    assert set_.split(2, None, dtype="float64").x_train.ravel().tolist() == [0.4, 0.6, 0.8, 1.0]
    for test, train in (0, 3), (2, 5), (6, None), (2, 0):
        with pytest.raises(ValueError, match="test, train: expected at least one row each and 6 in all"):
            set_.split(test, train)
    with pytest.raises(ValueError, match=r"expected \(N, C, H, W\) and N labels"):
        data.Dataset(images, np.arange(5), white=255)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 1.5}, "test: expected an integer, got float 1.5"),
        ({"test": "a"}, "test: expected an integer, got str 'a'"),
        ({"test": True}, "test: expected an integer, got bool True"),
        ({"train": 2.0}, "train: expected an integer, got float 2.0"),
        ({"dtype": "f2"}, "dtype: expected float32 or float64, got 'f2'"),
        ({"dtype": "i4"}, "dtype: expected float32 or float64, got 'i4'"),
        ({"dtype": None}, "dtype: expected float32 or float64, got None"),
        ({"dtype": "none"}, "dtype: expected float32 or float64, got 'none'"),
    ],
)
def test_a_split_of_another_type_is_one_clear_error(options, message):
    set_ = data.Dataset(np.zeros((6, 1, 1, 1), "uint8"), np.arange(6), white=255)
    with pytest.raises(TypeError, match=message):
        set_.split(**({"test": 2, "train": 3} | options))
    if "dtype" in options:
        with pytest.raises(TypeError, match=message):
            data.ox_images(**options)


def test_a_split_in_native_byte_order_by_numpy_s_integers():
    set_ = data.Dataset(np.full((6, 1, 1, 1), 51, "uint8"), np.arange(6), white=255)
    x_train = set_.split(np.int8(2), np.int64(3), dtype=">f4").x_train
    assert x_train.dtype == np.float32
    assert x_train.ravel().tolist() == [np.float32(0.2)] * 3


def test_digits():
    pytest.importorskip("sklearn")
    set_ = data.digits()
    assert set_.images.shape == (1797, 1, 8, 8)
    assert set_.images.dtype == set_.labels.dtype == np.uint8
    assert (set_.images.max(), set_.white) == (16, 16)
    # the first digit, as scikit-learn's own documentation prints it
    assert set_.images[0, 0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert set_.labels[:10].tolist() == list(range(10))


@pytest.mark.parametrize("call", [data.digits, data.mnist])
def test_without_scikit_learn_the_error_names_the_extra(monkeypatch, call):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'cnnx\[sklearn\]'"):
        call()


def test_mnist_from_openml_is_asked_as_cn_asks(monkeypatch):
    asked = []

    def fetch_openml(name, *, version, as_frame, parser):
        asked.append((name, version, as_frame))
        pixels = np.zeros((3, 784))
        pixels[1, 28] = 255.0
        return types.SimpleNamespace(data=pixels, target=np.array(["5", "0", "4"], dtype=object))

    fake = types.ModuleType("sklearn.datasets")
    fake.fetch_openml = fetch_openml
    parent = types.ModuleType("sklearn")
    parent.datasets = fake
    monkeypatch.setitem(sys.modules, "sklearn", parent)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", fake)
    set_ = data.mnist()
    assert asked == [("mnist_784", 1, False)]
    assert set_.images.shape == (3, 1, 28, 28)
    assert set_.images.dtype == set_.labels.dtype == np.uint8
    assert set_.images[1, 0, 1, 0] == 255
    assert set_.labels.tolist() == [5, 0, 4]


def test_mnist_from_openml_out_of_reach(monkeypatch):
    datasets = pytest.importorskip("sklearn.datasets")

    def fetch_openml(*_, **__):
        warnings.warn("A network error occurred", stacklevel=2)
        raise TimeoutError("timed out")

    monkeypatch.setattr(datasets, "fetch_openml", fetch_openml)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OSError, match=r"^MNIST cannot be fetched from OpenML \(timed out\); give a folder"):
            data.mnist()


def mnist_files(folder, part, labels, size=4, end="", mark="-"):
    images = b"".join(bytes([label] * size * size) for label in labels)
    pack = gzip.compress if end else bytes
    write(folder, pack(idx(8, (len(labels), size, size), images)), f"{part}-images{mark}idx3-ubyte{end}")
    write(folder, pack(idx(8, (len(labels),), bytes(labels))), f"{part}-labels{mark}idx1-ubyte{end}")


@pytest.mark.parametrize("mark", "-.")
def test_mnist_from_a_folder_joins_the_halves_in_openmls_order(tmp_path, mark):
    mnist_files(tmp_path, "t10k", [7, 8], end=".gz", mark=mark)
    assert data.mnist(str(tmp_path)).labels.tolist() == [7, 8]
    mnist_files(tmp_path, "train", [1, 2, 3], mark=mark)
    both = data.mnist(tmp_path)
    assert both.labels.tolist() == [1, 2, 3, 7, 8]
    assert both.images[:, 0, 0, 0].tolist() == [1, 2, 3, 7, 8]
    assert both.images.shape == (5, 1, 4, 4)


def test_mnist_from_a_folder_that_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder of MNIST files, got no folder"):
        data.mnist(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="expected train-images-idx3-ubyte or t10k-images-idx3-ubyte"):
        data.mnist(tmp_path)
    mnist_files(tmp_path, "train", [1, 2])
    mnist_files(tmp_path, "t10k", [1, 2], size=3)
    with pytest.raises(ValueError, match="expected images of one size"):
        data.mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected t10k-images-idx3-ubyte .* beside t10k-labels-idx1-ubyte"):
        data.mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    for labels, message in (
        (idx(8, (3,), bytes(3)), "expected 2 labels, one per image, got 3"),
        (idx(8, (2,), b"\x01\x0a"), "expected labels from 0 to 9, got 10"),
        (idx(9, (2,), bytes(2)), "expected 1 axes of uint8, got shape .* int8"),
        (idx(8, (2, 1), bytes(2)), "expected 1 axes of uint8"),
    ):
        write(tmp_path, labels, "train-labels-idx1-ubyte")
        with pytest.raises(ValueError, match=f"train-labels-idx1-ubyte: {message}"):
            data.mnist(tmp_path)


@needs_mnist
def test_mnist_itself():
    set_ = data.mnist(MNIST)
    assert set_.images.shape[1:] == (1, 28, 28)
    if len(set_) == 10_000:  # the half whose published first labels are these
        assert set_.labels[:5].tolist() == [7, 2, 1, 0, 4]
        assert np.bincount(set_.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    x_train, y_train, x_test, y_test = set_.split()
    assert x_train.shape == (9000, 1, 28, 28)
    assert x_test.shape == (1000, 1, 28, 28)
    assert (x_train.min(), x_train.max()) == (0, 1)
    assert np.array_equal(y_test, set_.labels[:1000])
    assert np.array_equal(y_train, set_.labels[1000:10000])
    assert np.array_equal(x_train[0] * 255, set_.images[1000].astype("float32"))
