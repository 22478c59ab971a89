"""Other libraries as back ends, judged by the audit; and the conventions by which they are."""

import importlib.util
from contextlib import contextmanager
from importlib import metadata

import numpy as np
import pytest
from packaging.version import Version

import cnnx
from cnnx import backend
from cnnx.adapters import _functions
from cnnx.audit import audit
from cnnx.audit.compat import COMPAT, preset
from cnnx.ops import OPS

pytestmark = pytest.mark.once

QUICK = ("exact", "bound", "special", "adjoint")


def of(name: str):
    return next(op for op in OPS if op.name == name)


def case(op: str, name: str):
    return next(case for case in of(op).cases if case.name == name)


@pytest.mark.parametrize(
    "op",
    [
        "conv2d",
        "conv_transpose2d",
        "max_pool2d",
        "avg_pool2d",
        "lp_pool2d",
        "global_avg_pool2d",
        "global_max_pool2d",
        "sigmoid",
        "softmax",
        "affine",
        "batch_norm2d",
        "dropout",
        "add",
        "multiply",
        "matmul",
        "clip",
        "hard_sigmoid",
        "hard_swish",
        "silu",
        "prelu",
        "local_response_norm",
        "upsample2d",
        "group_norm",
        "instance_norm",
        "layer_norm",
    ],
)
def test_numpy_agrees(op: str) -> None:
    report = audit([op], backend="numpy", checks=["exact", "special", "adjoint"], measure=False)
    assert [str(d) for d in report.discrepancies()] == []
    assert report.judged > 50


def test_what_a_library_lacks_is_said_with_the_reason() -> None:
    report = audit(["gelu"], backend="numpy", checks=["bound"], measure=False)
    assert report.judged == 0
    assert report.results[0].lacking == dict.fromkeys(("gelu", "gelu_grad_input"), "NumPy has no error function")
    with pytest.raises(NotImplementedError, match=r"no kernel 'gelu' \(NumPy has no error function\)"):
        cnnx.gelu(np.ones(2), backend="numpy")


@pytest.mark.parametrize(
    "op",
    [
        "conv2d",
        "conv_transpose2d",
        "max_pool2d",
        "avg_pool2d",
        "global_avg_pool2d",
        "global_max_pool2d",
        "upsample2d",
        "softplus",
        "clip",
        "prelu",
        "add",
        "multiply",
        "matmul",
        "affine",
        "local_response_norm",
        "cross_entropy",
    ],
)
def test_torch_agrees(op: str) -> None:
    pytest.importorskip("torch", reason="torch is a peer, not among the extras for tests")
    report = audit([op], backend="torch", checks=QUICK, measure=False)
    assert [str(d) for d in report.discrepancies()] == []
    assert report.judged > 50
    assert report.compat == "torch"


@pytest.mark.parametrize(
    "op",
    [
        "conv2d",
        "conv_transpose2d",
        "max_pool2d",
        "avg_pool2d",
        "lp_pool2d",
        "global_avg_pool2d",
        "global_max_pool2d",
        "upsample2d",
        "relu",
        "clip",
        "hard_swish",
        "prelu",
        "add",
        "multiply",
        "matmul",
        "softmax",
        "affine",
    ],
)
def test_onnxruntime_agrees(op: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is a peer, not among the extras for tests")
    pytest.importorskip("onnx", reason="the models of onnxruntime's adapter are made with onnx")
    report = audit([op], backend="onnxruntime", checks=QUICK, measure=False)
    assert [str(d) for d in report.discrepancies()] == []
    assert report.judged > 10


def test_what_onnx_cannot_say_is_lacking() -> None:
    """float64 with attributes that float32 cannot hold; statistics in double of float32."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is a peer, not among the extras for tests")
    pytest.importorskip("onnx", reason="the models are made with onnx")
    x = -np.ones(3)
    with pytest.raises(NotImplementedError, match="attributes are float32"):
        cnnx.leaky_relu(x, 0.01, backend="onnxruntime")
    assert list(cnnx.leaky_relu(x, 0.25, backend="onnxruntime")) == [-0.25] * 3
    assert cnnx.leaky_relu(x.astype("float32"), 0.01, backend="onnxruntime").shape == (3,)
    images, one = np.array([1, 2, 4], "float32").reshape(3, 1, 1, 1), np.ones(1, "float32")
    kernel, y = backend.kernel("batch_norm2d", "float32", "onnx-reference"), np.empty_like(images)
    with pytest.raises(NotImplementedError, match="statistics are of the arrays' type"):
        kernel(images, one, one, np.array([7 / 3]), np.ones(1), y, eps=0.25)
    kernel(images, one, one, np.ones(1), np.ones(1), y, eps=0.25)
    np.testing.assert_allclose(y.ravel(), 1 + np.array([0, 1, 3]) / np.sqrt(1.25), rtol=1e-6)


def test_onnxruntimes_sigmoid_is_found_to_be_cut_off() -> None:
    """It approximates within -18..18: sigmoid(-50) is 1.9e-22, and it gives 1.5e-8."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is a peer, not among the extras for tests")
    pytest.importorskip("onnx", reason="the models of onnxruntime's adapter are made with onnx")
    report = audit(["sigmoid"], backend="onnxruntime", dtypes=["float32"], checks=["bound"], measure=False)
    assert any(d.kernel == "sigmoid" for d in report.discrepancies())


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_a_library_that_is_not_installed_is_an_error_that_says_so(name: str) -> None:
    try:
        __import__(name)
    except ImportError:
        with pytest.raises(ImportError, match=rf"cnnx\[{name}\]"):
            audit(["relu"], backend=name, measure=False)
    else:
        pytest.skip(f"{name} is installed")


@pytest.mark.parametrize(
    "name", ["jax", "mlx", "mnn", "ncnn", "opencv", "openvino", "paddle", "tensorflow", "tinygrad", "tract"]
)
def test_an_engine_that_is_not_installed_is_an_error_that_says_so(name: str) -> None:
    if importlib.util.find_spec({"mnn": "MNN", "opencv": "cv2"}.get(name, name)) is None:
        with pytest.raises(ImportError, match=rf"cnnx\[{name}\]"):
            backend.kernel_names(name)
    else:
        pytest.skip(f"{name} is installed")  # not loaded here: some of them end a process that has another


@pytest.mark.parametrize("op", ["relu", "add", "avg_pool2d", "softplus"])
def test_onnxs_reference_evaluator_agrees(op: str) -> None:
    pytest.importorskip("onnx", reason="an extra of its own")
    if op == "softplus" and Version(metadata.version("onnx")) < Version("1.23"):
        pytest.skip("an older one takes the logarithm of 1 + exp(x), which is 0 for x of -36")
    report = audit([op], backend="onnx-reference", checks=["exact", "bound"], dtypes=["float32"], measure=False)
    assert [str(d) for d in report.discrepancies()] == []
    assert report.judged > 5
    assert report.compat == "onnx"


class Functions(_functions.Library):
    """A library of functions and automatic differentiation, by cnnx's own."""

    name = "torch"  # its conventions
    elementwise = {"relu": cnnx.relu, "leaky_relu": lambda z, slope: cnnx.leaky_relu(z, slope)}  # noqa: RUF012

    def array(self, a):
        return a

    def vjp(self, function, inputs, delta):
        """Central differences, exact for what is linear beside its kinks."""
        (x,) = (a.astype("float64") for a in inputs)
        gradient, step = np.zeros_like(x), 2.0**-20
        for place in np.ndindex(x.shape):
            sides = []
            for sign in (1, -1):
                moved = x.copy()
                moved[place] += sign * step
                sides.append(function(moved))
            gradient[place] = ((sides[0] - sides[1]) / (2 * step) * delta).sum()
        return [gradient]

    def conv2d(self, x, w, stride, pads, dilation, groups):
        return cnnx.conv2d(x, w.astype(x.dtype), stride=stride, padding=pads, dilation=dilation, groups=groups)

    def max_pool2d(self, x, window, stride, pads):
        return cnnx.max_pool2d(x, window, stride=stride, padding=pads)

    def avg_pool2d(self, x, window, stride, pads, include_pad):
        return cnnx.avg_pool2d(x, window, stride=stride, padding=pads, count_include_pad=include_pad)


def test_the_base_of_libraries_with_functions_gives_all_their_kernels() -> None:
    kernels = _functions.of_functions(Functions())
    assert "relu_grad_input" in kernels
    assert kernels.left_out["gelu"] == "the adapter asks torch for none"
    rng = np.random.default_rng(0)
    x, w = rng.integers(-9, 10, (1, 2, 5, 4)).astype("f8"), rng.integers(-3, 4, (2, 1, 3, 2)).astype("f8")
    geometry = dict(stride=2, padding=((1, 0), (0, 1)), groups=2)
    delta = rng.integers(-5, 6, cnnx.conv2d(x, w, **geometry).shape).astype("f8")
    average = dict(stride=2, padding=1, ceil_mode=True)
    share = rng.integers(-5, 6, cnnx.avg_pool2d(x, 3, **average).shape).astype("f8")
    with backend.registered("functions", kernels):
        for name in ("functions", "optimized"):
            found = cnnx.conv2d(x, w, np.ones(2), backend=name, **geometry)
            np.testing.assert_array_equal(found, cnnx.conv2d(x, w, np.ones(2), **geometry))
            for gave, expected in zip(
                cnnx.conv2d_backward(delta, x, w, backend=name, **geometry),
                cnnx.conv2d_backward(delta, x, w, backend="reference", **geometry),
                strict=True,
            ):
                np.testing.assert_allclose(gave, expected, atol=1e-8)  # of differences
            np.testing.assert_allclose(
                cnnx.avg_pool2d_backward(share, x, 3, backend=name, **average),
                cnnx.avg_pool2d_backward(share, x, 3, backend="reference", **average),
                atol=1e-8,
            )
            np.testing.assert_array_equal(
                cnnx.multiply(x, x[:, :1], backend=name), cnnx.multiply(x, x[:, :1], backend="reference")
            )


# ----------------------------------------------------------------------------------------- threads


def test_a_back_end_that_does_not_say_how_to_set_its_threads_is_not_tested_for_them() -> None:
    with backend.registered("mine", {"relu": lambda Z, Y: np.maximum(Z, 0, out=Y)}):
        report = audit(["relu"], backend="mine", checks=["threads"], measure=False)
    (result,) = report.results
    assert (result.ran, result.verdict()) == (0, "skipped")
    assert result.lacking == {"check threads": "it does not say how its number of threads is set"}


def test_the_audit_sets_the_back_ends_own_threads() -> None:
    now, seen = [1], []

    @contextmanager
    def with_threads(n: int):
        before, now[0] = now[0], n
        yield
        now[0] = before

    def relu(Z, Y) -> None:
        seen.append(now[0])
        np.maximum(Z, 0, out=Y)
        Y *= 1 + (now[0] == 3)

    with backend.registered("mine", backend.Kernels({"relu": relu}, with_threads=with_threads)):
        report = audit(["relu"], backend="mine", checks=["threads"], dtypes=["float32"], measure=False)
    assert set(seen) == {1, 2, 3}
    assert now == [1]
    found = {d.what for d in report.discrepancies()}
    assert found == {"3 threads give other bits than 1 thread"}


def test_with_threads_has_to_be_callable() -> None:
    with (
        backend.registered("mine", backend.Kernels({}, with_threads=3)),  # type: ignore[arg-type]
        pytest.raises(TypeError, match="expected with_threads to be callable, got int"),
    ):
        backend.with_threads("mine")


def test_torchs_threads_are_set_and_put_back() -> None:
    torch = pytest.importorskip("torch", reason="torch is a peer, not among the extras for tests")
    before = torch.get_num_threads()
    with backend.with_threads("torch")(3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


# ------------------------------------------------------------------------------------- conventions


def test_presets_set_the_options_in_which_libraries_differ() -> None:
    pad, ties, rho = case("avg_pool2d", "pad"), case("max_pool2d", "ties all"), case("lp_pool2d", "rho 2")
    for name, count_include_pad, all_or_first, normalize in (
        ("paper", False, "all", True),
        ("torch", True, "first", False),
        ("onnx", False, "first", False),
    ):
        conventions = preset(name)
        average, maximum, norm = (
            conventions.adapted(of(op), c) for op, c in (("avg_pool2d", pad), ("max_pool2d", ties), ("lp_pool2d", rho))
        )
        assert average.options.get("count_include_pad", False) is count_include_pad
        assert maximum.options.get("ties", "first") == all_or_first
        assert norm.options.get("normalize", True) is normalize
        assert (average.name, maximum.name, norm.name) == ("pad", "ties all", "rho 2")


def test_without_a_preset_cases_stay_what_they_are() -> None:
    assert all(COMPAT[""].adapted(op, case) is case for op in OPS for case in op.cases)


def test_papers_have_no_windows_beyond_the_padded_image() -> None:
    assert preset("paper").adapted(of("avg_pool2d"), case("avg_pool2d", "ceil")) is None
    report = audit(["avg_pool2d"], checks=["bound"], compat="paper", measure=False)
    assert report.ok
    assert "ceil" in report.left_out["avg_pool2d"]


def average_with_padding_in_the_divisor(Z, Y, *, include_pad, **numbers):
    """As many a hand-written kernel has it: zeros are added, and the whole window counts."""
    cnnx.backend.kernel("avg_pool2d", Z.dtype.name, "optimized")(Z, Y, include_pad=1, **numbers)


def test_a_kernel_is_judged_by_its_own_conventions() -> None:
    cnnx.register_backend("theirs", {"avg_pool2d": average_with_padding_in_the_divisor})
    checks = ["exact", "bound"]
    assert not audit(["avg_pool2d"], backend="theirs", checks=checks, measure=False).ok
    assert not audit(["avg_pool2d"], backend="theirs", checks=checks, compat="onnx", measure=False).ok
    assert audit(["avg_pool2d"], backend="theirs", checks=checks, compat="torch", measure=False).ok


def test_a_back_end_may_name_its_conventions() -> None:
    class Theirs(dict):
        compat = "torch"

    cnnx.register_backend("theirs", Theirs(avg_pool2d=average_with_padding_in_the_divisor))
    report = audit(["avg_pool2d"], backend="theirs", checks=["bound"], measure=False)
    assert report.ok
    assert report.compat == "torch"
    assert not audit(["avg_pool2d"], backend="theirs", checks=["bound"], compat="", measure=False).ok


def test_figures_of_other_conventions_are_left_out() -> None:
    checks = ["worked"]
    cnnx.register_backend("theirs", {"avg_pool2d": average_with_padding_in_the_divisor})
    assert not audit(["avg_pool2d"], backend="theirs", checks=checks, measure=False).ok
    report = audit(["avg_pool2d"], backend="theirs", checks=checks, compat="torch", measure=False)
    assert report.ok
    assert report.judged > 0


def test_unknown_conventions_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"compat: expected one of paper, torch, onnx, .*, got 'caffe'"):
        audit(["relu"], compat="caffe")


def test_a_time_limit_asks_for_a_back_end_that_another_process_can_load() -> None:
    cnnx.register_backend("here", {})
    with pytest.raises(ValueError, match="got 'here', which is registered in this one"):
        audit(["relu"], backend="here", timeout=1.0)
