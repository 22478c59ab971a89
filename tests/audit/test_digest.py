"""Digests: inputs that no generator can change, all the bits that are expected, and a changed kernel by its name."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnnx
from cnnx import backend, native
from cnnx.audit import digest
from cnnx.audit.digest import LINES, computed, expected, kind, recorded, short
from cnnx.audit.digest.numbers import drawn, numbers, stream
from cnnx.backend import registry
from cnnx.cli import main
from cnnx.ops import OPS, Draw


def test_the_streams_are_splitmix64() -> None:
    """Its published first numbers from seed 1234567 (the seed counts as the counter's start)."""

    def fnv(name: str) -> int:
        start = 0xCBF29CE484222325
        for byte in name.encode():
            start = (start ^ byte) * 0x100000001B3 % 2**64
        return start

    def splitmix(state: int) -> list[int]:
        found = []
        for _ in range(5):
            state = (state + 0x9E3779B97F4A7C15) % 2**64
            z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
            found.append(z ^ (z >> 31))
        return found

    assert splitmix(1234567)[0] == 6457827717110365317
    assert fnv("a") == 0xAF63DC4C8601EC8C
    for name in "", "a", "conv2d one x":
        assert stream(name, 5).tolist() == splitmix(fnv(name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_are_as_a_case_asks(dtype: str) -> None:
    real = drawn("n", (4000,), dtype)
    assert real.dtype == dtype
    assert len(np.unique(real)) > 3900
    assert (real < 0).mean() == pytest.approx(0.5, abs=0.05)
    assert 1.9 < abs(real).max() <= 2
    assert np.count_nonzero(real % 2.0 ** (-np.finfo(dtype).nmant + 4)) > 3000  # their last bits count
    assert numbers(np.array([0], np.uint64), dtype).tolist() == [-2.0]
    assert drawn("p", Draw((400,), "positive"), dtype).min() >= 0.5
    assert set(drawn("m", Draw((400,), "mask"), dtype).tolist()) == {False, True}
    assert set(drawn("i", Draw((400,), "index", high=5), dtype).tolist()) == set(range(5))
    rows = drawn("q", Draw((40, 7), "probability"), dtype)
    assert abs(rows.sum(axis=1) - 1).max() < 1e-6
    assert np.ptp(drawn("c", Draw((2, 40, 3, 3), "channels"), dtype).mean(axis=(0, 2, 3))) > 20


def test_a_digest_is_that_of_names_shapes_and_numbers() -> None:
    """By hand: identity gives back its inputs."""
    (op,) = (op for op in OPS if op.name == "identity")
    total = hashlib.sha256()
    for case in (*op.cases, *op.bench, *op.large):
        x = drawn(f"identity {case.name} x", case.arrays["x"], "float32")
        total.update(f"{case.name} 0 float32 {x.shape};".encode() + x.astype("<f4").tobytes())
    line = next(computed("identity", "optimized"))
    assert (line.name, line.digest) == ("identity float32 forward", total.hexdigest())


def test_every_op_dtype_direction_and_training_gives_the_bits_that_are_expected() -> None:
    known = expected(kind("optimized"))["lines"]
    found = {line.name: line.digest for op in LINES for line in computed(op, "optimized")}
    assert {name for name in known if found.get(name) != known[name]} == set()
    assert found.keys() == known.keys()
    assert len(found) > 90


@pytest.mark.parametrize("threads", [1, 2])
def test_the_short_form(threads: int, set_threads: Callable[[int], None]) -> None:
    set_threads(threads)
    assert short() == expected(kind("optimized"))["short"]


def changed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One kernel of `optimized` gives one number's next one."""
    right = backend.kernel(name, "float32", "optimized")

    def wrong(*arrays: Any, **numbers: float) -> None:
        right(*arrays, **numbers)
        output = arrays[-1]
        if output.size > 3:
            output.flat[3] = np.nextafter(output.flat[3], output.dtype.type(np.inf))

    monkeypatch.setitem(registry.specialised, ("optimized", name, "float32"), wrong)


def test_a_changed_kernel_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    changed(monkeypatch, "affine_grad_weight")
    assert main(["digest", "--op", "affine", "--op", "relu"]) == 1
    out = capsys.readouterr().out
    rows = {tuple(re.split(r"\s{2,}", line)[:3]): line.split()[-1] for line in out.splitlines()[2:] if "float" in line}
    assert [row for row, state in rows.items() if state == "differs"] == [("affine", "float32", "gradient of weight")]
    assert len(rows) == 12
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    (problem,) = found["problems"]
    assert problem.startswith(
        f"other bits than cnnx {cnnx.__version__} gives elsewhere: affine; `cnnx digest` says where"
    )


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["digest", "--op", "affine", "--op", "training", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["backend"], found["kind"]) == (1, "optimized", kind("optimized"))
    assert {line["state"] for line in found["lines"]} == {"same"}
    assert all(line["digest"] == line["expected"] for line in found["lines"])
    assert main(["digest", "--op", "nosuch"]) == 2
    assert main(["digest", "--op", "relu", "--write"]) == 2
    assert main(["digest", "--backend", "nosuch"]) == 2
    capsys.readouterr()
    assert main(["doctor"]) == 0
    assert re.search(rf"digests +{len(OPS)} ops give the bits of cnnx", capsys.readouterr().out)


def test_other_back_ends(capsys: pytest.CaptureFixture[str]) -> None:
    cnnx.register_backend("theirs", {"relu": lambda Z, Y: np.maximum(Z, 0, out=Y)})
    assert main(["digest", "--backend", "theirs", "--op", "relu"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("2 same, 2 not covered\n")
    assert "gradient of x  relu_grad_input" in out
    assert main(["digest", "--backend", "theirs", "--op", "affine"]) == 3


def test_what_is_written_is_what_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(recorded, "FILE", tmp_path / "expected.json")
    assert digest.expected("v3") == {"lines": {}, "short": {}}
    digest.write("v3", {"a": "1"}, {"b": "2"}, "0.1")
    digest.write("v2", {"a": "3"}, {}, "0.1")
    assert digest.expected("v3") == {"lines": {"a": "1"}, "short": {"b": "2"}}
    assert digest.expected("v2")["lines"] == {"a": "3"}


def test_which_digests_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every set with fused multiply-adds is held against the same; other back ends too."""
    usable = native.instruction_sets()
    for isa in usable:  # what the compiler says
        assert native.has_fma(isa) == native.load(f"optimized.{isa}._limits").has_fma()
    for isa in usable:
        monkeypatch.setattr(native, "_isa", isa)
        assert kind("optimized") == (digest.NO_FMA if isa == "v2" else digest.FMA)
        assert kind("torch") == digest.FMA
