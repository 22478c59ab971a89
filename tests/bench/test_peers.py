"""The peers of `cnnx bench --vs`: each computes what cnnx computes, again and again; what one lacks is listed here."""

import importlib
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import numpy as np
import pytest
from packaging.version import Version

from cnnx.audit.data import draw, draw_like
from cnnx.audit.trace import backward_arguments, first, forward_arguments
from cnnx.bench.peers import of_numpy
from cnnx.bench.peers._asked import flat
from cnnx.ops import OPS, Case, Op

pytestmark = pytest.mark.once

PEERS = ("torch", "onnxruntime", "numpy")


@pytest.fixture(autouse=True)
def torchs_threads() -> Iterator[None]:
    """A peer sets its number for good, which limits cnnx's as well: they may share OpenMP's library."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))


# As a share of the largest number of a result. ONNX's attributes, a slope of 0.01 among them, are float32.
TOLERANCES = {"float32": 2e-5, "float64": 1e-12}
ONNX_TOLERANCES = {"float32": 2e-5, "float64": 1e-9}

FORWARD, BACKWARD = "forward", "backward"
NO_GRADIENTS = "ONNX Runtime computes no gradients"
LP_TORCH = "torch takes no absolute value and does not divide by the window's size"
LP_ONNX = "ONNX's LpPool takes whole norms and does not divide by the window's size"
NO_ERF = "NumPy has no error function"
NUMPYS = "cnnx's own is NumPy's"

# Of the bench cases in float32: (op, direction) -> why.
LEFT_OUT: dict[str, dict[tuple[str, str], str]] = {
    "torch": {
        ("lp_pool2d", FORWARD): LP_TORCH,
        ("lp_pool2d", BACKWARD): LP_TORCH,
        ("step", BACKWARD): "torch's step function has no gradient",
    },
    "onnxruntime": {
        ("lp_pool2d", FORWARD): LP_ONNX,
        ("step", FORWARD): "ONNX has no step function",
        ("dropout", FORWARD): "ONNX draws the mask itself",
        ("silu", FORWARD): "ONNX Runtime has no SiLU of one node",
        ("batch_norm2d", FORWARD): "ONNX Runtime has batch normalisation for inference alone",
        ("squared_error", FORWARD): "ONNX has no squared error",
        **{(op.name, BACKWARD): NO_GRADIENTS for op in OPS},
    },
    "numpy": {
        ("gelu", FORWARD): NO_ERF,
        ("gelu", BACKWARD): NO_ERF,
        ("flatten", FORWARD): NUMPYS,
        ("flatten", BACKWARD): NUMPYS,
    },
}
# Further reasons in the audit's cases and in float64: (op, why).
EVEN = "torch pads both sides alike"
WINDOWS = ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d")
MORE_LEFT_OUT: dict[str, set[tuple[str, str]]] = {
    "torch": {
        *((op, EVEN) for op in WINDOWS),
        ("max_pool2d", "torch counts winners through the whole image"),
        ("max_pool2d", "torch gives ties to the first"),
        ("global_max_pool2d", "torch's winners have 64 bits"),
        ("local_response_norm", "torch's window of an even size lies the other way, and rows have none"),
        ("upsample2d", "torch has other coordinates"),
        ("hard_sigmoid", "torch's hardsigmoid has alpha 1/6 and beta 1/2"),
        ("hard_sigmoid", "torch's hardsigmoid has float32's 1/6 for a slope"),
    },
    "onnxruntime": {
        *(
            (op, f"ONNX Runtime has no {node} of float64 on the CPU")
            for op, node in {
                "conv2d": "Conv",
                "conv_transpose2d": "ConvTranspose",
                "global_avg_pool2d": "GlobalAveragePool",
                "global_max_pool2d": "GlobalMaxPool",
                "avg_pool2d": "AveragePool",
                "lp_pool2d": "LpPool",
                "upsample2d": "Resize",
                "elu": "Elu",
                "softplus": "Softplus",
                "gelu": "Gelu",
                "hard_sigmoid": "HardSigmoid",
                "hard_swish": "HardSwish",
                "local_response_norm": "LRN",
                "instance_norm": "InstanceNormalization",
            }.items()
        ),
        ("local_response_norm", "ONNX Runtime's LRN takes images, odd sizes and an alpha above 0 alone"),
        ("conv_transpose2d", "ONNX Runtime takes an output padding below the stride alone"),
        ("prelu", "ONNX's PRelu gives a number without axes one"),
        ("max_pool2d", "ONNX counts winners through the whole tensor"),
        ("global_max_pool2d", "ONNX's GlobalMaxPool has no winners"),
        ("cross_entropy", "ONNX's cross entropy takes class indices"),
    },
    "numpy": set(),
}


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A peer's module, on one thread; torch leaves inference mode afterwards."""
    name = request.param
    if name != "numpy":
        pytest.importorskip(name, reason=f"{name} is a peer, not among the extras for tests")
    if name == "onnxruntime":
        pytest.importorskip("onnx", reason="onnxruntime's models are made with onnx")
    module = importlib.import_module(f"cnnx.bench.peers.of_{name}")
    if name != "numpy":  # its threads were settled when it was imported
        module.set_threads(1)
    yield module
    if name == "torch":
        module.inference(False)


def name_of(peer: Any) -> str:
    return str(peer.__name__.rpartition("of_")[2])


def keeps_windows_in_padding(peer: Any) -> bool:
    """Old onnxruntime keeps those that begin in the padding behind: it has another shape."""
    return name_of(peer) == "onnxruntime" and Version(metadata.version("onnxruntime")) < Version("1.23")


def calls(op: Op, case: Case, dtype: str) -> Iterator[tuple[str, dict[str, Any], list[np.ndarray]]]:
    """Each direction, with the arguments of the public call and what it returned."""
    rng = np.random.default_rng(0)
    arrays = draw(op, case, dtype, "real", rng)
    forward = forward_arguments(op, case, arrays)
    result = op.forward(**forward)
    grad_output = np.empty(0) if op.cost else draw_like(first(result), dtype, "real", rng)
    backward = backward_arguments(op, case, arrays, grad_output, result)
    yield FORWARD, forward, [np.asarray(part) for part in flat(result)]
    yield BACKWARD, backward, [np.asarray(part) for part in flat(op.backward(**backward))]


def prepared(peer: Any, op: Op, direction: str, arguments: dict[str, Any]) -> Any:
    arrays = {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}
    options = {name: value for name, value in arguments.items() if name not in arrays}
    return peer.prepare(op.name, direction, arrays, options)


def apart(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The largest difference, as a share of the largest number."""
    assert [a.shape for a in theirs] == [a.shape for a in ours]
    return max(
        float(np.max(np.abs(a - b), initial=0.0) / np.max(np.abs(a), initial=1e-30))
        for a, b in zip(ours, theirs, strict=True)
    )


def check(peer: Any, op: Op, case: Case, dtype: str) -> Iterator[tuple[str, str]]:
    """Compare both directions of a case; yields what is left out, direction and reason."""
    tolerance = (ONNX_TOLERANCES if name_of(peer) == "onnxruntime" else TOLERANCES)[dtype]
    for direction, arguments, ours in calls(op, case, dtype):
        where = f"{op.name}, {case.name}, {direction}, {dtype}"
        before = {name: np.copy(a) for name, a in arguments.items() if isinstance(a, np.ndarray)}
        try:
            call = prepared(peer, op, direction, arguments)
        except NotImplementedError as error:
            yield direction, str(error)
            continue
        theirs = peer.result(call())
        assert apart(ours, theirs) <= tolerance, where
        kept = [a.copy() for a in theirs]
        again = peer.result(call())
        for a, b, c in zip(kept, theirs, again, strict=True):
            assert a.tobytes() == b.tobytes() == c.tobytes(), f"{where}: not the same twice"
        for name, a in before.items():
            assert np.array_equal(a, arguments[name]), f"{where}: {name} was written to"


def test_bench_cases(peer: Any) -> None:
    left_out = {
        (op.name, direction): reason
        for op in OPS
        for case in (*op.bench, *op.large)
        for direction, reason in check(peer, op, case, "float32")
    }
    assert left_out == LEFT_OUT[name_of(peer)]


def test_every_case(peer: Any) -> None:
    """The audit's cases too: every option means what it means in cnnx, or is refused. Empty batches are not timed."""
    known = {(op, reason) for (op, _), reason in LEFT_OUT[name_of(peer)].items()}
    left_out = set()
    for op in OPS:
        for case in (*op.bench, *op.large, *op.cases):
            if "empty" in case.name or (case.options.get("ceil_mode") and keeps_windows_in_padding(peer)):
                continue
            for dtype in ("float32", "float64"):
                reasons = {reason.partition(", not ")[0] for _, reason in check(peer, op, case, dtype)}
                left_out |= {(op.name, reason) for reason in reasons}
    assert left_out - known == MORE_LEFT_OUT[name_of(peer)]


@pytest.mark.parametrize("op", [op for op in OPS if op.name in ("conv2d", "affine")], ids=lambda op: op.name)
def test_without_the_inputs_gradient(peer: Any, op: Op) -> None:
    if name_of(peer) == "onnxruntime":
        pytest.skip(NO_GRADIENTS)
    (*_, (_, arguments, _)) = calls(op, op.bench[0], "float32")
    arguments["input_grad"] = False
    ours = list(flat(op.backward(**arguments)))
    assert len(ours) == 2
    assert apart(ours, peer.result(prepared(peer, op, BACKWARD, arguments)())) < TOLERANCES["float32"]


@pytest.mark.parametrize(
    ("peer", "op", "options", "reason"),
    [
        ("torch", "max_pool2d", {"padding": 2}, "torch pads by at most half of the window"),
        ("torch", "avg_pool2d", {"padding": (0, 2)}, "torch pads by at most half of the window"),
        ("torch", "max_pool2d", {"padding": ((0, 1), (0, 0))}, r"alike, not \(0, 1\) rows and \(0, 0\) columns"),
        ("onnxruntime", "max_pool2d", {"padding": ((0, 3), (0, 0)), "stride": 6}, "pads by less than a window"),
    ],
    indirect=["peer"],
)
def test_what_is_refused(peer: Any, op: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotImplementedError, match=reason):
        peer.prepare(op, FORWARD, {"x": np.ones((1, 1, 6, 6), "float32")}, {"kernel_size": 3, **options})


def test_results_are_new(peer: Any) -> None:
    """A call gives a new array, as cnnx does: one that reused its output would have less to do."""
    x = np.ones((2, 3), "float32")
    call = peer.prepare("relu", FORWARD, {"x": x}, {})
    one, other = call(), call()
    assert not np.shares_memory(*peer.result([one, other]))


def test_versions(peer: Any) -> None:
    name = name_of(peer)
    assert peer.about()[name] == importlib.import_module(name).__version__


def test_batch_normalisation_leaves_statistics_alone(peer: Any) -> None:
    """Running ones are given, ignored and not written to."""
    if name_of(peer) == "onnxruntime":
        pytest.skip("it has no training")
    arrays = {name: np.ones(3, "float32") for name in ("weight", "bias", "running_mean", "running_var")}
    arrays["x"] = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype("float32")
    call = peer.prepare("batch_norm2d", FORWARD, arrays, {"training": True})
    for _ in range(2):
        (y,) = peer.result(call())
        assert np.abs(y.mean(axis=(0, 2, 3)) - 1).max() < 1e-6


def test_numpys_threads_are_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in of_numpy.VARIABLES:
        monkeypatch.setenv(name, "2")
    of_numpy.set_threads(2)
    with pytest.raises(ValueError, match="OMP_NUM_THREADS: expected 1 before NumPy is imported, got '2'"):
        of_numpy.set_threads(1)
    monkeypatch.delenv("MKL_NUM_THREADS")
    with pytest.raises(ValueError, match="MKL_NUM_THREADS: expected 2 before NumPy is imported, got None"):
        of_numpy.set_threads(2)


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_threads_are_set(name: str) -> None:
    pytest.importorskip(name, reason=f"{name} is a peer, not among the extras for tests")
    module = importlib.import_module(f"cnnx.bench.peers.of_{name}")
    before = module.torch.get_num_threads() if name == "torch" else 1  # OpenMP's number, which limits cnnx's threads
    try:
        module.set_threads(2)
        call = module.prepare("relu", FORWARD, {"x": np.ones(3, "float32")}, {})
        if name == "torch":
            assert module.torch.get_num_threads() == 2
        else:
            session = call.func.__self__
            assert session.get_session_options().intra_op_num_threads == 2
    finally:
        module.set_threads(before)
        if name == "torch":
            module.inference(False)


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_a_peer_that_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"cnnx.bench.peers.of_{name}", raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=rf"python -m pip install 'cnnx\[{name}\]'"):
        importlib.import_module(f"cnnx.bench.peers.of_{name}")
