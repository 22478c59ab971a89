"""Numbers below the smallest normal one. Flush-to-zero that another library has switched on: kernels compute as without
it, and leave it as it was. And kernels compute with none that their scratch memory happened to hold, since a processor
takes a hundred times as long for them.
"""

import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import cnnx
from cnnx import backend, native, nn
from cnnx.audit import audit

SMALL = 1e-40  # of float32 below the normal numbers
ONES = np.ones(4, "float32")


@pytest.fixture
def flushing():
    """Switch it on in this thread; what follows from that, arithmetic itself says."""
    cpu = native.load("optimized._cpu")
    if not cpu.flushing_bits():
        pytest.skip("cnnx knows no such switch of this processor")

    def switch(on=True):
        cpu.set_flushing(cpu.flushing_bits() if on else 0)
        number = np.array([SMALL], "float32")
        assert bool((number * ONES[0]).view(np.uint32)[0] == 0) is on

    yield switch
    cpu.set_flushing(0)


def bits(a):
    """Comparisons take such numbers for 0 too, while it is switched on."""
    return a.view(f"u{a.itemsize}").tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["reference", "optimized"])
def test_kernels_compute_as_without_it(name, dtype, flushing):
    x = (np.arange(1, 37).reshape(1, 1, 6, 6) * np.finfo(dtype).smallest_subnormal).astype(dtype)
    w = np.full((1, 1, 1, 1), 0.5, dtype)

    def results():
        yield cnnx.relu(x, backend=name)
        yield cnnx.leaky_relu(-x, 0.5, backend=name)
        yield cnnx.conv2d(x, w, backend=name)
        yield cnnx.avg_pool2d(x, 2, backend=name)
        yield from cnnx.conv2d_backward(x, x, w, backend=name)[::2]

    expected = [bits(a) for a in results()]
    assert len(set(expected[1][0][0][0])) > 1
    flushing()
    assert native.flushes()
    found = [bits(a) for a in results()]
    assert native.flushes()  # it is as it was
    flushing(False)
    assert found == expected


def test_a_kernel_that_fails_leaves_it_on(flushing):
    def fails(*arrays):
        assert not native.flushes()
        raise ZeroDivisionError

    flushing()
    with pytest.raises(ZeroDivisionError):
        native.with_denormals(fails)(ONES)
    assert native.flushes()


def test_replayed_calls_heed_it(flushing):
    layer = nn.LeakyReLU(0.5).reuse_buffers()
    x = np.full(40, -SMALL, "float32")
    expected = [bits(layer.forward(x)) for _ in range(4)][-1]
    assert any(expected)
    flushing()
    assert [bits(layer.forward(x)) for _ in range(4)] == [expected] * 4


def test_threads_of_a_region_heed_it_too(flushing, set_threads):
    """A thread of OpenMP's takes the mode of the thread that made it, and keeps it."""
    x = np.full(400_000, -SMALL, "float32")
    expected = bits(cnnx.leaky_relu(x[:1], 0.5))[0]
    found = []

    def work():
        y = np.empty_like(x)
        raw = native.kernels("activation").leaky_relu.__signatures__["float"]
        flushing()
        raw(x, y, slope=0.5)  # not by the back end: the region's threads are made here
        flushing(False)
        found.append(cnnx.leaky_relu(x, 0.5))

    set_threads(2)
    with native.always_parallel():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert set(bits(found[0])) == {expected}


def test_other_back_ends_are_left_alone(flushing):
    seen = []
    with backend.registered("looks", {"relu": lambda Z, Y: seen.append(native.flushes())}):
        flushing()
        cnnx.relu(ONES, backend="looks")
    assert seen == [True]


def test_the_audit_says_so_and_judges_without_it(flushing):
    flushing()
    report = audit(["leaky_relu"], measure=False, checks=["bound"])
    words = report.as_dict()["machine"]["flush to zero"]
    flushing(False)
    assert report.ok
    assert words == "yes, but while the audit ran"
    assert report.flushing
    assert not audit(["relu"], measure=False, checks=["exact"]).flushing


def test_a_kernel_that_switches_it_on_is_found():
    cpu = native.load("optimized._cpu")
    if not cpu.flushing_bits():
        pytest.skip("cnnx knows no such switch of this processor")

    def relu(Z, Y):
        np.maximum(Z, 0, out=Y)
        cpu.set_flushing(cpu.flushing_bits())

    with backend.registered("switches", {"relu": relu}):
        report = audit(["relu"], backend="switches", measure=False, checks=["exact"])
    assert not native.flushes()
    assert "kernel relu switched flush-to-zero on" in next(report.discrepancies()).what


DOCTOR = """
from cnnx import native
from cnnx.cli import doctor
cpu = native.load("optimized._cpu")
cpu.set_flushing(cpu.flushing_bits())
findings = doctor.examine()
print(findings.facts["flush to zero"], findings.facts["agreement"], *findings.notices)
"""


def test_the_doctor_says_so(flushing):
    done = subprocess.run([sys.executable, "-c", DOCTOR], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True conv2d of optimized equals the reference")
    assert "has switched flush-to-zero on" in done.stdout


SESSION = """
import numpy as np, onnx, onnxruntime
import cnnx

x = np.full(8, -1e-40, "float32")  # before: to convert such numbers is to flush them

value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy"]
graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "relu", value[:1], value[1:])
model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.add_session_config_entry("session.set_denormal_as_zero", "1")
session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
session.run(None, {"x": np.ones(4, "float32")})
on = cnnx.native.flushes()
found = cnnx.leaky_relu(x, 0.5)
print(on, *found.view(np.uint32))
"""


def test_a_session_of_onnxruntime_that_does_it(flushing):
    """In a process of its own: only the first session of a process sets the mode of the thread that makes it."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    done = subprocess.run([sys.executable, "-c", SESSION], capture_output=True, text=True, check=True)
    on, *found = done.stdout.split()
    assert on == "True", "this onnxruntime leaves the caller's thread alone"
    assert set(found) == {str(bits(np.array([-0.5 * SMALL], "float32"))[0])}


# ------------------------------------------------------------------------------------ in scratch memory

# After each call: did the processor meet such a number (DE of MXCSR) although no argument is one, nor any result?
CHILD = """
import ctypes, sys
import numpy as np
sys.path.append(sys.argv[1])
import cnnx, draws
from cnnx.backend import choice

class Environment(ctypes.Structure):
    _fields_ = [("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32)]

libm = ctypes.CDLL("libm.so.6")
choice.SMALLEST = 1.0  # or each call would ask the processor what it makes of the smallest number
cnnx.set_num_threads(1)


def met(clear=False):
    environment = Environment()
    libm.fegetenv(ctypes.byref(environment))
    found = bool(environment.mxcsr & 2)
    if clear:
        environment.mxcsr &= ~0x3F
        libm.fesetenv(ctypes.byref(environment))
    return found


def tame(value, dtype, rng):
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    return (rng.random(value.shape) + 0.5).astype(dtype) if len(np.unique(value)) != 1 else value.astype(dtype)


def calls():
    for number in range(int(sys.argv[2])):
        rng = np.random.default_rng((1, number))
        name, arguments = draws.accepted(rng)
        if arguments.get("ties") == "all":
            continue  # it compares, which takes no longer for them
        dtype = next(a.dtype for a in arguments.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f")
        yield name, dtype, {key: tame(value, dtype, rng) for key, value in arguments.items()}


done = 0
for name, dtype, arguments in calls():
    function = draws.FUNCTIONS[name][1]
    try:
        function(**arguments)
    except (TypeError, ValueError):
        continue  # most draws are calls, not all
    blocks = [np.full(2**n // dtype.itemsize, np.finfo(dtype).tiny / 8, dtype) for n in (22, *range(9, 22))]
    del blocks
    met(clear=True)
    results = function(**arguments)
    found = met()
    results = [a for a in (results if isinstance(results, tuple) else (results,)) if isinstance(a, np.ndarray)]
    if not any(((a != 0) & (abs(a) < np.finfo(dtype).tiny)).any() for a in results):
        assert not found, (name, {k: getattr(a, "shape", a) for k, a in arguments.items()})
        done += 1
assert done > int(sys.argv[2]) // 2
x = np.full(8, np.finfo("f4").tiny / 8, "f4")
met(clear=True)
cnnx.multiply(x, x)
assert met()
"""


@pytest.mark.bare
@pytest.mark.skipif(
    (platform.machine(), platform.libc_ver()[0]) != ("x86_64", "glibc"),
    reason="other processors do not say so, other C libraries give other memory",
)
def test_what_scratch_memory_held_is_not_computed_with():
    settings = (
        "glibc.malloc.mmap_threshold=2000000000:glibc.malloc.trim_threshold=4000000000"  # what was freed comes back
    )
    subprocess.run(
        [sys.executable, "-c", CHILD, str(Path(__file__).parents[1]), "700"],
        env=os.environ | {"GLIBC_TUNABLES": settings},
        check=True,
        timeout=300,
    )
