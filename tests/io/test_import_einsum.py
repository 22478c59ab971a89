"""Einsum, which is put together of transpositions and products of matrices."""

import numpy as np
import pytest

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="it says what is right")
io = pytest.importorskip("cnnx.io")

from onnx_models import assert_close, floats, model_of, run  # noqa: E402


def written(path, equation, first, second=None, ends=(), constants=None):
    """Of one or two inputs of these shapes behind the batch."""
    given = "a b" if second is not None else "a"
    nodes = [("Einsum", given, "e", {"equation": equation}), *ends, ("Identity", ends[-1][2] if ends else "e", "y")]
    model = model_of(nodes, constants, first, inputs=given.split())
    if second is not None:
        model.graph.input[1].CopyFrom(onnx.helper.make_tensor_value_info("b", 1, ["N", *second]))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("equation", "first", "second"),
    [
        ("bhid,bhjd->bhij", (3, 5, 4), (3, 7, 4)),  # attention: queries and keys
        ("bhij,bhjd->bhid", (3, 5, 7), (3, 7, 4)),  # and values
        ("bhij,bhjd->bihd", (3, 5, 7), (3, 7, 4)),
        ("nchw,ncd->ndhw", (4, 3, 5), (4, 6)),
        ("bhwc,bhkc->bhwk", (6, 5, 4), (6, 7, 4)),
        ("nct,ncp->ntp", (4, 5), (4, 6)),
        ("bi,bj->bij", (4,), (5,)),
        ("bi,bi->bi", (4,), (4,)),
        ("b i j , b j -> b i", (4, 5), (5,)),
        ("bcxy,bxyd->bcd", (4, 3, 5), (3, 5, 2)),
    ],
)
def test_of_two_values(tmp_path, equation, first, second):
    path = written(tmp_path / "m.onnx", equation, first, second)
    model, a, b = io.import_onnx(path), floats(2, *first), floats(2, *second)
    assert_close(model.forward(a, b), run(path, a, b))


def test_of_one_value(tmp_path):
    path = written(tmp_path / "m.onnx", "nchw->nhwc", (4, 3, 5))
    x = floats(2, 4, 3, 5)
    assert_close(io.import_onnx(path).forward(x), run(path, x))


def test_of_open_sizes(tmp_path):
    path = written(tmp_path / "m.onnx", "bhid,bhjd->bhij", (3, "i", 4), (3, "j", 4))
    model = io.import_onnx(path)
    for i, j in ((5, 7), (6, 2)):
        a, b = floats(2, 3, i, 4), floats(2, 3, j, 4)
        assert_close(model.forward(a, b), run(path, a, b))


def test_the_images_may_move(tmp_path):
    ends = [("Transpose", "e", "t", {"perm": [1, 0, 2]})]
    path = written(tmp_path / "m.onnx", "bid,bjd->ibj", (5, 4), (7, 4), ends)
    a, b = floats(2, 5, 4), floats(2, 7, 4)
    assert_close(io.import_onnx(path).forward(a, b), run(path, a, b))


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(
    ("equation", "first", "array"),
    [
        ("nij,jk->nik", (5, 4), (4, 3)),
        ("nij,jhd->nihd", (5, 4), (4, 2, 3)),  # to heads
        ("nihd,hdj->nij", (5, 2, 3), (2, 3, 4)),  # and back
        ("nhid,hdk->nhik", (2, 5, 3), (2, 3, 4)),  # a matrix for each head
        ("nhid,khd->nikh", (2, 5, 3), (4, 2, 3)),
        ("nchw,kc->nkhw", (4, 3, 5), (6, 4)),
        ("nchw,c->nchw", (4, 3, 5), (4,)),  # a factor for each channel
        ("nchw,hc->nwch", (4, 3, 5), (3, 4)),
        ("nchw,c->nhw", (4, 3, 5), (4,)),
        ("nchw,cw->nh", (4, 3, 5), (4, 5)),
        ("nij,kl->nijkl", (5, 4), (2, 3)),
        ("nij,jkl->nik", (5, 4), (4, 2, 3)),  # l is summed whatever the images are
        ("nc,kc->nk", (4,), (3, 4)),
    ],
)
def test_of_a_value_and_an_array_of_the_file(tmp_path, equation, first, array, left):
    terms, out = equation.split("->")
    given = "w a" if left else "a w"
    equation = f"{','.join(terms.split(',')[::-1])}->{out}" if left else equation
    model = model_of([("Einsum", given, "y", {"equation": equation})], {"w": floats(*array)}, first, inputs=("a",))
    onnx.save(model, tmp_path / "m.onnx")
    model, x = io.import_onnx(tmp_path / "m.onnx"), floats(3, *first)
    assert_close(model.forward(x), run(tmp_path / "m.onnx", x))
    io.export_onnx(model, tmp_path / "again.onnx", first)
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))


def test_an_array_where_extents_are_open(tmp_path):
    for equation, first, array, sizes in (
        ("nchw,kc->nkhw", (4, "h", "w"), (6, 4), ((4, 3, 5), (4, 2, 7))),
        ("nij,jhd->nihd", ("i", 4), (4, 2, 3), ((5, 4), (1, 4))),
    ):
        constants = {"w": floats(*array)}
        model = model_of([("Einsum", "a w", "y", {"equation": equation})], constants, first, inputs=("a",))
        onnx.save(model, tmp_path / "m.onnx")
        network = io.import_onnx(tmp_path / "m.onnx")
        for size in sizes:
            x = floats(2, *size)
            assert_close(network.forward(x), run(tmp_path / "m.onnx", x))


def test_an_array_that_the_images_move_beside(tmp_path):
    """Images along the last axis, put there by one and taken back by the other."""
    nodes = [("Einsum", "a w", "t", {"equation": "nij,kj->ikn"}), ("Einsum", "t v", "y", {"equation": "ikn,k->nik"})]
    model = model_of(nodes, {"w": floats(3, 4), "v": floats(3)}, (5, 4), inputs=("a",))
    onnx.save(model, tmp_path / "m.onnx")
    x = floats(2, 5, 4)
    assert_close(io.import_onnx(tmp_path / "m.onnx").forward(x), run(tmp_path / "m.onnx", x))


@pytest.mark.parametrize(
    ("equation", "array", "message"),
    [
        ("bij,bk->bik", (4, 3), "expected a letter for each axis of an array, none of them 'b'"),
        ("bij,jk->bik", (3, 3), "expected one extent for 'j', got 4 and 3"),
        ("bij,jk->bk", (4, 3), "expected sums over axes of both values alone"),
        ("bij,ij->b", (5, 4), "expected an axis beside the images'"),
    ],
)
def test_arrays_that_are_refused(tmp_path, equation, array, message):
    constants = {"w": floats(*array)}
    model = model_of([("Einsum", "a w", "y", {"equation": equation})], constants, (5, 4), inputs=("a",))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=rf"\(Einsum\): equation: {message}"):
        io.import_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("equation", "second", "message"),
    [
        ("bij,bkj->ik", (5, 4), "expected the images' axis 'b' in all values"),
        ("bij,bkj->bk", (5, 4), "expected sums over axes of both values alone"),
        ("...ij,...kj->...ik", (5, 4), "expected letters, each once"),
        ("bii,bkj->bik", (5, 4), "expected letters, each once"),
        ("bij,bkj", (5, 4), "expected letters, each once"),
        ("bij,bij->b", (4, 4), "expected an axis beside the images'"),
        ("bij->bi", None, "expected another order of a value's axes"),
    ],
)
def test_what_is_refused(tmp_path, equation, second, message):
    path = written(tmp_path / "m.onnx", equation, (4, 4), second)
    with pytest.raises(ValueError, match=rf"\(Einsum\): equation: {message}"):
        io.import_onnx(path)


def test_numbers_of_an_einsum(tmp_path):
    """Worked by hand: rows (1, 2), (3, 4) times columns of (5, 6), (7, 8)."""
    path = written(tmp_path / "m.onnx", "bij,bkj->bki", (2, 2), (2, 2))
    a, b = (np.array([[[1, 2], [3, 4]]], "f4"), np.array([[[5, 6], [7, 8]]], "f4"))
    assert io.import_onnx(path).forward(a, b).tolist() == [[[17, 39], [23, 53]]]
