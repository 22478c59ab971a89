"""CNNX_TEST_MEMO: what is looked up is what would be computed, and nothing else is taken for it."""

import pickle

import memo
import numpy as np
import pytest

import cnnx
from cnnx import backend
from cnnx.audit.mutants import MUTANTS, installed
from cnnx.audit.trace import address, traced
from cnnx.audit.truth import error_bound
from cnnx.audit.truth.arithmetic import Bounded, BoundedMath
from cnnx.reference import _numbers

pytestmark = pytest.mark.once

(SHARED,) = (mutant for mutant in MUTANTS if mutant.name == "shared_squared_error_without_half")


@pytest.fixture
def kept(tmp_path):
    return memo.Memo(tmp_path)


@pytest.fixture
def computed(monkeypatch):
    """A list that grows by each computation that was not spared."""
    backend.reference_kernel("relu")  # the reference is loaded before it is patched
    made = []
    replay, computes = error_bound.replay, _numbers.computes

    def counted_replay(*arguments):
        made.append("replay")
        return replay(*arguments)

    def counted_computes(**elements):
        def decorate(kernel):
            compute = computes(**elements)(kernel)

            def counted(*arrays, **numbers):
                made.append(kernel.__name__)
                compute(*arrays, **numbers)

            counted.elements = elements
            return counted

        return decorate

    monkeypatch.setattr(error_bound, "replay", counted_replay)
    monkeypatch.setattr(_numbers, "computes", counted_computes)
    return made


def watched(*numbers):
    """A call of the squared error, as the audit has it."""
    arguments = {"y": np.array([numbers]), "target": np.ones((1, len(numbers))), "reduction": "sum"}
    return traced(cnnx.squared_error, arguments, "reference").calls


def bounds_of(replay, calls, u=2.0**-24):
    def lift(a, call):
        return np.array([Bounded(float(x), u, 5e-324) for x in a.reshape(-1)], dtype=object).reshape(a.shape)

    found = replay(calls, lift, float, BoundedMath(4.0))
    return [(float(b.value), b.error) for b in found[address(calls[-1].outputs[0])].reshape(-1)]


def test_bounds_are_looked_up(kept, computed):
    plain, looked_up = error_bound.replay, memo.remembered_replay(kept)
    expected = bounds_of(plain, watched(0.5, 3.0))
    del computed[:]
    assert bounds_of(looked_up, watched(0.5, 3.0)) == expected
    assert computed == ["replay"]
    assert bounds_of(looked_up, watched(0.5, 3.0)) == expected
    assert computed == ["replay"]


def test_other_numbers_and_other_arithmetic_are_computed(kept, computed):
    looked_up = memo.remembered_replay(kept)
    first = bounds_of(looked_up, watched(0.5, 3.0))
    assert bounds_of(looked_up, watched(0.5, np.nextafter(3.0, 4.0))) != first
    assert bounds_of(looked_up, watched(0.5, 3.0), u=2.0**-53) != first
    assert computed == ["replay"] * 3


def test_replaced_equations_are_computed(kept, computed):
    looked_up = memo.remembered_replay(kept)
    first = bounds_of(looked_up, watched(0.5, 3.0))
    with installed(SHARED):
        wrong = bounds_of(looked_up, watched(0.5, 3.0))
    assert wrong[0][0] == 2 * first[0][0]
    assert bounds_of(looked_up, watched(0.5, 3.0)) == first
    assert computed == ["replay"] * 2


def remembered(kept, name):
    """The reference's kernel, looked up in `kept`."""
    return memo.remembered_kernels(kept)(**backend.equations(name))(backend.reference_kernel(name))


def test_kernels_are_looked_up_where_the_audit_watches(kept, computed):
    relu, Z, Y = remembered(kept, "relu"), np.array([-1.0, 2.0]), np.empty(2)
    relu(Z, Y)
    relu(Z, Y)
    assert computed == ["relu"] * 2  # nobody watches
    Z.flags.writeable = False
    for _ in range(2):
        Y.fill(np.nan)
        relu(Z, Y)
        assert Y.tolist() == [0.0, 2.0]
    assert computed == ["relu"] * 3
    single = np.empty(2, "float32")
    relu(Z, single)  # the same numbers for another dtype
    assert computed == ["relu"] * 4


def test_other_sources_find_nothing(tmp_path, monkeypatch):
    assert memo.Memo(tmp_path).of("key", lambda: 1) == 1
    assert memo.Memo(tmp_path).of("key", lambda: 2) == 1
    monkeypatch.setattr(memo, "sources", lambda: b"an equation was changed")
    assert memo.Memo(tmp_path).of("key", lambda: 3) == 3


def test_a_spoilt_file_is_an_error(kept, tmp_path):
    kept.of("key", lambda: 1)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(b"")
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        kept.of("key", lambda: 1)
