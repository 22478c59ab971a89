"""Spot checks of production shapes: what they find, what they count, and their command line."""

import itertools
import json
import os
import re
import sys

import numpy as np
import pytest
from packages import install

from cnnx import backend, cli
from cnnx.audit.spot.benchdnn import parse
from cnnx.audit.spot.element import ElementTruth
from cnnx.audit.spot.spot import places, spot
from cnnx.audit.trace import KernelCall, lifted
from cnnx.audit.truth.arithmetic import Bounded

pytestmark = pytest.mark.once

SHAPE = "mb2ic5ih19iw17oc6kh3kw3ph1pw1"  # about 4,000 elements in each map
KERNELS = {"conv2d": "Y", "conv2d_grad_input": "dZ", "conv2d_grad_weight": "dF", "conv2d_grad_bias": "db"}


def mutant(kernel, spoil):
    """A kernel that is right but for what `spoil` does to its result."""

    def run(*arrays, **numbers):
        backend.kernel(kernel, str(arrays[-1].dtype), "optimized")(*arrays, **numbers)
        spoil(arrays[-1])

    return run


def register(name, **spoils):
    names = {**dict.fromkeys(KERNELS, lambda result: None), **spoils}
    backend.register_backend(name, {kernel: mutant(kernel, spoil) for kernel, spoil in names.items()})
    return name


def add(*index):
    def spoil(result):
        result[index] += 1

    return spoil


ALL = slice(None)
INNER = slice(1, -1)


@pytest.mark.parametrize(
    ("kernel", "where"),
    [
        *(("conv2d", corner) for corner in itertools.product((0, -1), repeat=4)),
        *(("conv2d_grad_input", corner) for corner in itertools.product((0, -1), repeat=4)),
        *(("conv2d_grad_weight", corner) for corner in itertools.product((0, -1), repeat=4)),
        ("conv2d_grad_bias", (0,)),
        ("conv2d_grad_bias", (-1,)),
        # an edge without its corners: the last row, the last column, the last channel, the last image
        ("conv2d", (ALL, ALL, -1, INNER)),
        ("conv2d", (ALL, ALL, INNER, -1)),
        ("conv2d_grad_input", (ALL, INNER, -1, -1)),
        ("conv2d_grad_weight", (INNER, -1, 0, 0)),
    ],
)
def test_one_wrong_place_is_found(kernel, where):
    name = register("spot-one-place", **{kernel: add(*where)})
    found = spot(parse(SHAPE), backend=name)
    assert found.discrepancies
    output = KERNELS[kernel]
    assert {(d.kernel, d.output) for d in found.discrepancies} == {(kernel, output)}
    wrong = np.zeros(next(t.total for t in found.tensors if t.output == output), bool).reshape(
        {"Y": (2, 6, 19, 17), "dZ": (2, 5, 19, 17), "dF": (6, 5, 3, 3), "db": (6,)}[output]
    )
    wrong[where] = True
    for d in found.discrepancies:
        assert wrong[d.index]
        assert d.got - d.expected == pytest.approx(1, abs=1e-3)
        assert d.share > 1


def test_integers_must_be_equal():
    """An error of half an ulp passes on real numbers and not on integers."""

    def spoil(result):
        result[...] = np.nextafter(result, np.float32(np.inf))

    name = register("spot-half-ulp", conv2d=spoil)
    found = spot(parse(SHAPE), backend=name)
    assert found.share < 1
    assert found.discrepancies
    assert all("on integer numbers" in d.what for d in found.discrepancies)


@pytest.mark.parametrize("op", ["conv2d", "max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_optimized_back_end_is_right(op, dtype):
    for shape in ("ih30kh3sh2ph1", "ih21iw34kh2kw5sh1sw3ph0pw2", "ih13oh13kh4ph1"):
        problem = parse(f"mb3ic8{shape}" + ("oc8g2" if op == "conv2d" else ""), op)
        found = spot(problem, dtype=dtype)
        assert not found.discrepancies
        assert found.share < 1
        assert [t.output for t in found.tensors] == (["Y", "dZ", "dF", "db"] if op == "conv2d" else ["Y", "dZ"])
        assert all(t.checked == min(64, t.total) for t in found.tensors)
        assert all(t.exact is (op != "avg_pool2d") for t in found.tensors)


def test_a_max_pooling_that_pads_with_zero_is_found():
    def kernel(Z, /, Y, *, R, S, u, v, p_h, p_w):
        padded = np.zeros((*Z.shape[:2], Z.shape[2] + 2 * R, Z.shape[3] + 2 * S), Z.dtype)
        padded[:, :, p_h : p_h + Z.shape[2], p_w : p_w + Z.shape[3]] = Z
        for p, q in np.ndindex(Y.shape[2:]):
            Y[:, :, p, q] = padded[:, :, u * p : u * p + R, v * q : v * q + S].max(axis=(2, 3))

    backend.register_backend("spot-zero-pad", {"max_pool2d": kernel})
    found = spot(parse("mb2ic9ih16kh2sh2ph1", "max_pool2d"), backend="spot-zero-pad")
    assert {d.output for d in found.discrepancies} == {"Y"}
    assert all(0 in d.index[2:] or 8 in d.index[2:] for d in found.discrepancies)
    assert all("max_pool2d_grad_input" in lack for lack in found.lacking)
    assert found.lacking


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bound_of_a_sum(dtype):
    """n u sum |terms| is what `Bounded` numbers give, which count the first term's addition out."""
    rng = np.random.default_rng(0)
    Z, F, b = (rng.standard_normal(shape).astype(dtype) for shape in ((2, 3, 6, 5), (4, 3, 3, 3), (4,)))
    Y, numbers = np.zeros((2, 4, 6, 5), dtype), dict(u=1, v=1, p_h=1, p_w=1, d_h=1, d_w=1, groups=1)
    cases = {
        "conv2d": ("Y", (Z, F, b), numbers, Y.shape),
        "conv2d_grad_input": ("dZ", (Y + 1, F), numbers, Z.shape),
        "conv2d_grad_weight": ("dF", (Y - 2, Z), numbers, F.shape),
        "conv2d_grad_bias": ("db", (Y + 3,), {}, (4,)),
    }
    info = np.finfo(dtype)
    slack = {"float32": 1, "float64": 2}[dtype]
    for kernel, (output, inputs, options, shape) in cases.items():
        call = KernelCall(kernel, inputs, (), options)
        objects = [lifted(a, lambda value: Bounded(value, float(info.eps) / 2, 0.0)) for a in inputs]
        for index in places(shape, 64, rng):
            value, error = ElementTruth(call, output, dtype, exact=False)(index)
            expected = backend.equations(kernel)[output](*objects, *index, **options)
            assert value == expected.value
            assert 1 - 1e-12 <= error / (expected.error * slack) <= 1.15


def test_what_a_back_end_lacks_is_said_and_not_run_by_the_reference():
    backend.register_backend("spot-forward", {"conv2d": mutant("conv2d", lambda result: None)})
    found = spot(parse("mb2ic64ih56oc64kh3ph1"), backend="spot-forward")  # hours, in the reference
    assert [t.output for t in found.tensors] == ["Y"]
    assert len(found.lacking) == 3
    assert not found.discrepancies


def test_conventions():
    """An average with the padding in its divisor is right by PyTorch's conventions, and wrong by cnnx's own."""
    problem = parse("mb2ic9ih16kh2sh2ph1", "avg_pool2d")

    def with_padding(Z, /, Y, **numbers):
        backend.kernel("avg_pool2d", str(Y.dtype), "optimized")(Z, Y, **(numbers | {"include_pad": 1}))

    backend.register_backend("spot-padding", {"avg_pool2d": with_padding})
    assert spot(problem, backend="spot-padding").discrepancies
    assert not spot(problem, backend="spot-padding", compat="torch").discrepancies


def test_a_back_end_that_hangs_is_a_finding(capsys, tmp_path, monkeypatch):
    """In a process of its own, which takes its back ends from entry points."""
    module = "import time\n\n\ndef conv2d(*arrays, **numbers):\n    time.sleep(600)\n"
    install(tmp_path, "sleeper", module, "[cnnx.backends]\nspot-sleeper = sleeper\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    code, out, _ = run(capsys, "--shape", SHAPE, "--backend", "spot-sleeper", "--timeout", "2")
    assert code == 1
    assert "the back end hangs: no result after 2 s" in out


def test_a_back_end_that_raises():
    def broken(*arrays, **numbers):
        raise RuntimeError("out of order")

    backend.register_backend("spot-broken", {"conv2d": broken})
    found = spot(parse(SHAPE), backend="spot-broken")
    assert {d.what for d in found.discrepancies} == {"back end 'spot-broken' raised RuntimeError: out of order"}


def test_places():
    shape = (3, 4, 9, 8)
    found = places(shape, 64, np.random.default_rng(3))
    assert len(found) == len(set(found)) == 64
    assert set(itertools.product(*((0, n - 1) for n in shape))) <= set(found)
    for axis, corner in itertools.product(range(4), itertools.product(*((0, n - 1) for n in shape))):
        others = [i for i in range(4) if i != axis]
        assert any(0 < index[axis] < shape[axis] - 1 and all(index[i] == corner[i] for i in others) for index in found)
    assert places((2, 3), 64, np.random.default_rng(0)) == list(np.ndindex(2, 3))
    assert len(places((1, 500), 20, np.random.default_rng(0))) == 20
    assert places((0, 3), 64, np.random.default_rng(0)) == []


def test_sums_that_float32_cannot_hold_exactly_are_left_out(monkeypatch):
    """Real numbers alone, and the report says so."""
    assert parse("mb16ic8ih200oc4kh3ph1").longest_sum == 16 * 200 * 200  # dF's
    assert parse("mb1ic512ih14oc4kh3ph1").longest_sum == 512 * 3 * 3 + 1  # Y's, with the bias
    assert parse("mb1ic4ih14oc512kh3ph1g2").longest_sum == 256 * 3 * 3  # dZ's
    monkeypatch.setattr("cnnx.audit.spot.spot.INTEGER", 600)
    found = spot(parse("mb1ic1ih9iw9oc1kh1kw1"))  # 360,000 x 81
    assert not any(t.exact for t in found.tensors)
    assert "a sum of 81 products may pass 2^24" in found.note
    assert not found.discrepancies
    assert all(t.exact for t in spot(parse("mb1ic1ih9iw9oc1kh1kw1"), dtype="float64").tensors)


def test_more_memory_than_there_is():
    with pytest.raises(ValueError, match="GiB of memory"):
        spot(parse("mb100000ic1000ih5000oc1000kh3"))


def test_the_reference_is_no_back_end_to_check():
    with pytest.raises(ValueError, match="expected another than 'reference'"):
        spot(parse(SHAPE), backend="reference")


# ----------------------------------------------------------------------------------- command line


def run(capsys, *arguments):
    code = cli.main(["audit", "--timeout", "0", *arguments])  # back ends that are registered here are of this process
    done = capsys.readouterr()
    return code, done.out, done.err


def test_command(capsys):
    code, out, err = run(capsys, "--shape", SHAPE, "--seed", "7")
    assert (code, err) == (0, "")
    assert "seed 7" in out
    assert re.search(rf"{SHAPE} +1 +64 of 3,876 +64 of 3,230 +64 of 270 +6 of 6 +0\.\d+ ", out)
    assert "198 elements of 4 outputs" in out
    assert out.endswith("all agree\n")


def test_command_json(capsys, tmp_path):
    path = tmp_path / "list"
    path.write_text("ic2oc3ih9kh3n'a'\nic2oc3ih8kh3n'b'\n")
    code, out, _ = run(capsys, "--shapes", str(path), "--mb", "4", "--elements", "70", "--dtype", "float64", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["ok"]
    assert [one["case"] for one in report["spots"]] == ["a", "b"]
    assert report["spots"][0]["tensors"][0] == {
        **report["spots"][0]["tensors"][0],
        "output": "Y",
        "checked": 70,
        "total": 4 * 3 * 7 * 7,
        "exact": True,
    }


def test_command_finds_and_says_how_to_find_again(capsys):
    name = register("spot-command", conv2d_grad_weight=add(-1, -1, -1, -1))
    code, out, _ = run(capsys, "--shape", SHAPE, "--backend", name)
    assert code == 1
    assert "conv2d_grad_weight, dF at (5, 4, 2, 2) of (6, 5, 3, 3)" in out
    assert "removed by padding" in out  # the equation's terms, once
    assert out.count("C3: M17 (5)") == 1
    (again,) = re.findall(r"^  cnnx audit (.*)$", out, re.MULTILINE)
    assert run(capsys, *again.split())[0] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--shape", "ic2oc2ih5kh9"], "kh9"),
        (["--shapes", "/no/such/file"], "/no/such/file: No such file"),
        (["--network", "lenet"], "invalid choice: 'lenet'"),
        (["--shape", SHAPE, "--op", "relu"], "--op: expected one of conv2d, max_pool2d, avg_pool2d with shapes"),
        (["--shape", SHAPE, "--check", "exact"], "--check"),
        (["--shape", SHAPE, "--against", "optimized"], "--against"),
        (["--shape", SHAPE, "--backend", "nobody"], "no back end is called 'nobody'"),
        (["--shape", SHAPE, "--mb", "0"], "--mb"),
        (["--shape", SHAPE, "--timeout", "-1"], "--timeout"),
        (["--shape", SHAPE, "--compat", "torch", "--case", "plain"], "--case"),
        (["--shape", SHAPE, "--elements", "0"], "--elements"),
        (["--shape", SHAPE, "--seed", "-1"], "--seed"),
    ],
)
def test_command_refuses_in_one_line(capsys, arguments, says):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert says in err


def test_command_with_nothing_to_judge(capsys):
    backend.register_backend("spot-nothing", {})
    code, out, _ = run(capsys, "--shape", SHAPE, "--backend", "spot-nothing")
    assert code == 3
    assert "nothing of back end spot-nothing ran" in out
