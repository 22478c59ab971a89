"""Threads: how many, from where, the same bits for any number, the GIL released, children after fork().

What needs OpenMP is skipped in a serial build, and the other way round. Forks and environments are tried in processes
of their own, with a limit: a child that hangs is a failure and not a test run that never ends.
"""

import importlib
import importlib.util
import inspect
import multiprocessing
import os
import re
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import cnnx
from cnnx import backend, native
from cnnx.ops import OPS, Draw

OPENMP = native.build_info()["openmp"]
needs_openmp = pytest.mark.usefixtures("needs_threads")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system has no /proc/self/task")

KERNELS = [(op, name) for op in OPS for name in op.kernels]


def run(code, *, fails=False, **environment):
    """Run a program in a Python of its own; what it printed (or, if it `fails`, its last line of complaint)."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stderr
    return done.stderr.strip().splitlines()[-1] if fails else done.stdout.strip()


# -------------------------------------------------------------------------------------------- how many


def test_one_thread():
    cnnx.set_num_threads(1)
    assert cnnx.get_num_threads() == 1


@needs_openmp
@pytest.mark.parametrize("n", [1, 2, 3, 1024, np.int8(2), np.uint64(3)])
def test_count(n):
    cnnx.set_num_threads(n)
    assert cnnx.get_num_threads() == n
    assert type(cnnx.get_num_threads()) is int


@pytest.mark.parametrize(
    "n", [0, -1, 1025, 2000, 2**31, 2**63, 2**70, -(2**70), np.int64(0), pytest.param(10**5000, id="5000 digits")]
)
def test_numbers_out_of_range(n):
    before = cnnx.get_num_threads()
    with pytest.raises(ValueError, match=r"num_threads: expected an integer from 1 to 1024, got "):
        cnnx.set_num_threads(n)
    assert cnnx.get_num_threads() == before


@pytest.mark.parametrize(
    "n",
    [2.5, 2.0, True, False, np.True_, "2", b"2", None, [2], (1,), 2j, np.array(2.0), np.array([2]), np.array([1, 2])],
)
def test_no_numbers(n):
    before = cnnx.get_num_threads()
    with pytest.raises(TypeError, match=r"num_threads: expected an integer, got "):
        cnnx.set_num_threads(n)
    assert cnnx.get_num_threads() == before


@pytest.mark.skipif(OPENMP, reason="this build has OpenMP")
def test_serial_build():
    assert cnnx.get_num_threads() == 1
    with pytest.raises(RuntimeError, match="num_threads: 2 threads asked for, but cnnx was built without OpenMP"):
        cnnx.set_num_threads(2)
    cnnx.set_num_threads(1)
    assert "built without OpenMP" in run("import cnnx; cnnx.get_num_threads()", fails=True, CNNX_NUM_THREADS="2")
    assert run("import cnnx; print(cnnx.get_num_threads())", CNNX_NUM_THREADS="1", OMP_NUM_THREADS="3") == "1"


@needs_openmp
@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({"CNNX_NUM_THREADS": "2"}, 2),
        ({"CNNX_NUM_THREADS": "1", "OMP_NUM_THREADS": "3"}, 1),
        ({"CNNX_NUM_THREADS": "", "OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "5"}, 5),
    ],
)
def test_environment(environment, count):
    code = """
        import cnnx, numpy as np
        cnnx.relu(np.ones(3))
        print(cnnx.get_num_threads())
        cnnx.set_num_threads(4)
        cnnx.relu(np.ones(3))
        print(cnnx.get_num_threads())
    """
    assert run(code, **environment).split() == [str(count), "4"]


@needs_openmp
def test_a_choice_before_the_first_kernel_outlives_the_environment():
    code = "import cnnx, numpy; cnnx.set_num_threads(3); cnnx.relu(numpy.ones(3)); print(cnnx.get_num_threads())"
    assert run(code, CNNX_NUM_THREADS="2") == "3"


@pytest.mark.parametrize("value", ["abc", "0", "-1", "2.5", "2000", "1 2"])
def test_bad_environment(value):
    """It is an error as soon as a kernel is wanted, every time, but not for who needs no threads."""
    code = """
        import cnnx, numpy as np
        x = np.array([-1.0, 2.0])
        assert cnnx.relu(x, backend="reference").tolist() == [0, 2]
        for call in (cnnx.get_num_threads, lambda: cnnx.set_num_threads(1), lambda: cnnx.relu(x)):
            try:
                call()
            except ValueError as error:
                print(error)
    """
    messages = run(code, CNNX_NUM_THREADS=value).splitlines()
    assert len(messages) == 3
    assert all(message.startswith("CNNX_NUM_THREADS: expected an integer ") for message in messages)
    assert all(value in message for message in messages)


# ------------------------------------------------------------------------------------------ limits

THREADPOOLCTL = importlib.util.find_spec("threadpoolctl") is not None
needs_threadpoolctl = pytest.mark.skipif(not THREADPOOLCTL, reason="threadpoolctl is not installed")

LIMITS = """
    import os, threading
    import cnnx, numpy as np
    from threadpoolctl import threadpool_info, threadpool_limits

    x = np.ones((128, 16, 32, 32), np.float32)  # large work

    def started():
        before = len(os.listdir("/proc/self/task"))
        cnnx.relu(x)
        return len(os.listdir("/proc/self/task")) - before

    def in_another_thread(call):
        found = []
        thread = threading.Thread(target=lambda: found.append(call()))
        thread.start()
        thread.join()
        return found[0]
"""


@needs_openmp
def test_within_a_team_of_somebody_else():
    """A kernel on one thread, called by the threads of another library's parallel region, does all of its work."""
    code = """
        import ctypes
        import cnnx, numpy as np
        x = np.linspace(-1, 1, 5000, dtype="float32")
        expected, found = cnnx.sigmoid(x), []
        try:
            openmp = ctypes.CDLL("libgomp.so.1")
        except OSError:
            print("no libgomp")
        else:
            compute = lambda _: found.append(np.array_equal(cnnx.sigmoid(x), expected))
            openmp.GOMP_parallel(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compute), None, 3, 0)
            print(found)
    """
    assert run(code, CNNX_NUM_THREADS="1") in ("[True, True, True]", "no libgomp")


@needs_openmp
@needs_threadpoolctl
def test_threadpoolctl_sees_openmp():
    code = """
        import cnnx
        from threadpoolctl import threadpool_info
        cnnx.get_num_threads()
        print([pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"])
    """
    assert run(code, OMP_NUM_THREADS="3") == "[3]"


@needs_openmp
@needs_threadpoolctl
def test_a_limit_holds_in_its_block_and_its_thread():
    """Whether cnnx was told a number or not, below OpenMP's or above it."""
    code = (
        LIMITS
        + """
    for told in (None, 2, 3, 7):
        if told:
            cnnx.set_num_threads(told)
        outside = cnnx.get_num_threads()
        with threadpool_limits(1):
            inside = cnnx.get_num_threads(), in_another_thread(cnnx.get_num_threads)
            with threadpool_limits(2):
                two = cnnx.get_num_threads()
            again = cnnx.get_num_threads()
        print(outside, *inside, two, again, cnnx.get_num_threads())
    with threadpool_limits(1):
        cnnx.set_num_threads(5)
        print(cnnx.get_num_threads(), end=" ")
    print(cnnx.get_num_threads())
    """
    )
    assert run(code, OMP_NUM_THREADS="3").splitlines() == [
        "3 1 3 2 1 3",
        "2 1 2 2 1 2",
        "3 1 3 2 1 3",
        "7 1 7 2 1 7",
        "1 5",
    ]


@needs_openmp
@needs_threadpoolctl
def test_a_limit_that_was_there_first():
    code = (
        LIMITS
        + """
    with threadpool_limits(1):
        print(cnnx.get_num_threads(), end=" ")
    print(cnnx.get_num_threads())
    """
    )
    # threadpoolctl limits what is loaded, and the kernels' OpenMP is not, before they are wanted
    assert run(code, OMP_NUM_THREADS="2") in ("1 2", "2 2")


@pytest.mark.bare
@needs_openmp
@needs_threadpoolctl
@needs_proc
def test_a_limited_kernel_starts_no_threads():
    code = (
        LIMITS
        + """
    cnnx.set_num_threads(3)
    with threadpool_limits(1):
        print(started(), end=" ")
    print(started())
    """
    )
    limited, unlimited = map(int, run(code, OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="1").split())
    assert limited == 0
    assert unlimited == 2


# --------------------------------------------------------------------------------- threads of our own

TEAM = native.build_info()["openmp"] and native.build_info()["compiler"].startswith("gcc") and sys.platform == "linux"
needs_team = pytest.mark.skipif(not TEAM, reason="this build's threads are OpenMP's own")

WORKERS = """
    import os, threading, time
    import cnnx, numpy as np
    from cnnx import native

    x = np.ones((128, 16, 32, 32), np.float32)  # large work
    here = str(threading.get_native_id())

    def others():
        found = []
        for task in set(os.listdir("/proc/self/task")) - {here}:
            with open(f"/proc/self/task/{task}/stat") as stat:
                found.append(stat.read().rpartition(")")[2].split()[0])
        return found
"""


@pytest.mark.bare
@needs_team
@needs_proc
@pytest.mark.parametrize("policy", ["active", "passive", ""])
def test_threads_without_work_sleep_whatever_the_variables_say(policy):
    code = (
        WORKERS
        + """
    cnnx.set_num_threads(3)
    cnnx.relu(x)
    assert native.threads().started() == 2
    for _ in range(600):
        if others() == ["S", "S"]:
            print("asleep")
            break
        time.sleep(0.05)
    """
    )
    assert run(code, OMP_WAIT_POLICY=policy, OMP_NUM_THREADS="3", OPENBLAS_NUM_THREADS="1") == "asleep"


@needs_team
def test_callers_share_the_threads():
    """Four callers of three threads each: no more than two threads beside them, or as many as there are processors."""
    code = (
        WORKERS
        + """
    cnnx.set_num_threads(3)
    expected = cnnx.relu(x)
    callers = [threading.Thread(target=lambda: [cnnx.relu(x) for _ in range(30)]) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert np.array_equal(cnnx.relu(x), expected)
    assert native.threads().started() <= max(2, len(os.sched_getaffinity(0)) - 1), native.threads().started()
    print("done")
    """
    )
    assert run(code) == "done"


@needs_team
def test_the_number_can_change_while_others_compute():
    code = (
        WORKERS
        + """
    expected, wrong, stop = cnnx.relu(x), [], threading.Event()

    def compute():
        while not stop.is_set():
            if not np.array_equal(cnnx.relu(x), expected):
                wrong.append(1)

    callers = [threading.Thread(target=compute) for _ in range(2)]
    for caller in callers:
        caller.start()
    for n in [1, 2, 3, 7, 2, 1, 5] * 20:
        cnnx.set_num_threads(n)
        compute_here = cnnx.relu(x)
        assert np.array_equal(compute_here, expected)
    stop.set()
    for caller in callers:
        caller.join()
    print(len(wrong))
    """
    )
    assert run(code) == "0"


@needs_team
@needs_proc
def test_who_binds_openmps_threads_gets_these():
    code = (
        WORKERS
        + """
    cnnx.set_num_threads(3)
    go_on = threading.Event()
    threading.Thread(target=go_on.wait).start()  # with the first one the thread sanitizer starts its own, which stays
    before = len(others())
    y = cnnx.relu(x)
    print(native.threads().started(), len(others()) - before, np.array_equal(x, y))
    go_on.set()
    """
    )
    assert run(code, OMP_PROC_BIND="true", OMP_NUM_THREADS="3", OPENBLAS_NUM_THREADS="1") == "0 2 True"


@needs_openmp
def test_a_program_ends_while_another_thread_computes():
    code = """
        import threading
        import cnnx, numpy as np
        x, started = np.ones((128, 16, 32, 32), np.float32), threading.Event()
        cnnx.set_num_threads(3)

        def compute():
            while True:
                cnnx.relu(x)
                started.set()

        threading.Thread(target=compute, daemon=True).start()
        started.wait()
        print("done")
    """
    assert run(code) == "done"


@needs_team
def test_no_kernel_goes_past_the_team():
    """No other entry point of gcc's OpenMP than those that setup.py has the linker replace: prange with a schedule
    other than static, or with a critical section, would have others."""
    folder = Path(native.build_info()["path"]).parent
    modules = sorted(folder.rglob("*.so"))
    assert len(modules) > 10
    for module in modules:
        names = set(re.findall(rb"\0(GOMP_\w+)(?=\0)", module.read_bytes()))
        assert names <= {b"GOMP_parallel", b"GOMP_barrier"}, module


# --------------------------------------------------------------------------------------- the same bits


def small_work():
    """The work below which kernels stay on one thread."""
    return importlib.import_module("cnnx.optimized._threads").get_small_work()


def large_call(op, function, case, least, dtype="float32"):
    """The case with as many examples as give every batch `least` elements."""
    rng = np.random.default_rng(21)
    shapes = {key: drawn.shape if isinstance(drawn, Draw) else drawn for key, drawn in case.arrays.items()}
    batch = [key for key in shapes if key not in ("weight", "bias", "running_mean", "running_var")]
    if op.broadcasts:  # those that are not repeated along the first axis
        ends = -2 if op.name == "matmul" else None
        whole = np.broadcast_shapes(*(shape[:ends] for shape in shapes.values()))
        batch = [key for key in batch if len(shapes[key][:ends]) == len(whole) and shapes[key][:1] == whole[:1] != ()]
        batch = batch or ["a"]  # rows of a matrix

    def array(key, N):
        drawn, shape = case.arrays[key], shapes[key]
        shape = (N, *shape[1:]) if key in batch else shape
        kind = drawn.kind if isinstance(drawn, Draw) else "number"
        if kind == "mask":
            return rng.random(shape) < 0.6
        if kind == "index":
            return rng.integers(0, drawn.high, shape)
        return (rng.standard_normal(shape) if kind == "number" else rng.random(shape) + 0.1).astype(dtype)

    def call(of, N):
        known = inspect.signature(of).parameters
        return {k: v for k, v in ({key: array(key, N) for key in shapes} | dict(case.options)).items() if k in known}

    one = np.size(np.asarray(op.forward(**call(op.forward, 2))[0])) if not op.cost else np.inf
    rows = [np.prod(shapes[key][1:], dtype=int) for key in batch if key != "target"]
    N = -(-least // min([one] if op.broadcasts else [one, *rows]))  # where one number meets many, results are split
    N = max(int(N), 2)
    arguments = call(function, N)
    if "grad_output" in inspect.signature(function).parameters:
        y = op.forward(**call(op.forward, N))
        y = y[0] if isinstance(y, tuple) else y
        arguments["grad_output"] = rng.standard_normal(y.shape).astype(dtype)
        if "output" in arguments:
            arguments["output"] = y
    return arguments


def variants(function, case, arguments):
    """The call, and where there is such a thing, the call with the winners that the forward function saved."""
    yield arguments
    forwards = {cnnx.max_pool2d_backward: cnnx.max_pool2d, cnnx.global_max_pool2d_backward: cnnx.global_max_pool2d}
    if function in forwards and case.options.get("ties", "first") == "first":
        options = {key: value for key, value in case.options.items() if key not in ("ties", "return_winners")}
        yield arguments | {"winners": forwards[function](arguments["x"], **options, return_winners=True)[1]}


def sound(case):
    """A case with at least one example, whose number can be raised."""
    shapes = [one.shape if isinstance(one, Draw) else one for one in case.arrays.values()]
    return len(shapes[0]) > 0 and not any(0 in shape for shape in shapes) and case.options.get("axis") != 0


def bits(result):
    """The bytes of a call's results."""
    results = result if isinstance(result, tuple) else (result,)
    return [np.asarray(y).tobytes() for y in results if y is not None]


@needs_openmp
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", [op for op in OPS if op.kernels], ids=lambda op: op.name)
def test_same_bits_for_any_number_of_threads(op, dtype):
    cases = [case for case in (*op.cases, *op.bench) if sound(case)]
    assert cases
    for case in cases:
        for function in (op.forward, op.backward):
            for arguments in variants(function, case, large_call(op, function, case, 40_000, dtype)):
                cnnx.set_num_threads(1)
                expected = bits(function(**arguments))
                for n in (2, 3):
                    cnnx.set_num_threads(n)
                    with native.always_parallel():
                        got = bits(function(**arguments))
                    assert got == expected, f"{function.__name__}, {case.name}: {n} threads"


@needs_openmp
@pytest.mark.parametrize("pixels", [75, 107, 139])
def test_columns_left_over_are_written_by_one_thread(pixels):
    """Of a 1x1 kernel over one image, whose last vector begins among columns before: `tox -e tsan` sees two writers."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, 6, 1, pixels)).astype(np.float32)
    weight = rng.standard_normal((8, 6, 1, 1)).astype(np.float32)
    cnnx.set_num_threads(1)
    expected = cnnx.conv2d(x, weight)
    assert np.allclose(expected[0, :, 0], weight[:, :, 0, 0] @ x[0, :, 0], rtol=0, atol=1e-5)
    cnnx.set_num_threads(3)
    with native.always_parallel():
        assert np.array_equal(cnnx.conv2d(x, weight), expected)


@needs_openmp
@pytest.mark.parametrize("op", [op for op in OPS if op.kernels], ids=lambda op: op.name)
def test_same_bits_where_threads_outnumber_rows(op):
    """Small work split all the same: some threads get one row, some nothing."""
    for case in filter(sound, op.cases):
        for function in (op.forward, op.backward):
            for arguments in variants(function, case, large_call(op, function, case, 1)):
                cnnx.set_num_threads(1)
                expected = bits(function(**arguments))
                cnnx.set_num_threads(7)
                with native.always_parallel():
                    assert bits(function(**arguments)) == expected, f"{function.__name__}, {case.name}"


@needs_openmp
@needs_proc
@pytest.mark.bare
def test_threads_are_started_for_large_work_alone():
    """Without this the tests above might compare one thread with itself."""
    least = small_work()
    code = f"""
        import os, cnnx, numpy as np
        cnnx.set_num_threads(3)
        # an element may count as several multiply-adds
        small, large = np.ones({least} // 100, np.float32), np.ones({least}, np.float32)
        counts = [len(os.listdir("/proc/self/task"))]
        for x in (small, large):
            cnnx.relu(x)
            counts.append(len(os.listdir("/proc/self/task")))
        print(counts[1] - counts[0], counts[2] - counts[1])
    """
    small, large = map(int, run(code, OMP_NUM_THREADS="3", OPENBLAS_NUM_THREADS="1").split())
    assert small == 0
    assert large >= 2


# -------------------------------------------------------------------------------------------- the GIL


@pytest.mark.parametrize(("op", "kernel"), KERNELS, ids=[name for _, name in KERNELS])
def test_kernels_release_the_gil(op, kernel):
    """While a kernel computes in one thread, another one runs Python: seeing it once is enough."""
    function, case, variant = caller(op, kernel)
    arguments = list(variants(function, case, large_call(op, function, case, 400_000)))[variant]
    cnnx.set_num_threads(1)
    assert any(runs_beside(function, arguments, kernel) for _ in range(100))


def test_who_keeps_the_gil_is_noticed():
    cnnx.register_backend("greedy", {"relu": lambda Z, Y: sum(range(1_000_000))})
    arguments = {"x": np.ones(1), "backend": "greedy"}
    assert not any(runs_beside(cnnx.relu, arguments, "relu") for _ in range(5))


def caller(op, kernel):
    """A public function, case and variant that call the kernel."""
    for function in (op.forward, op.backward):
        for case in filter(sound, op.cases):
            for i, arguments in enumerate(variants(function, case, large_call(op, function, case, 1))):
                used = []
                with backend.intercept(lambda name, compute, used=used: used.append(name) or compute):
                    function(**arguments)
                if kernel in used:
                    return function, case, i
    raise AssertionError("no case calls this kernel")


def runs_beside(function, arguments, kernel):
    """Call in a thread; whether this one runs between the kernel's start and its end.

    The switch interval is out of reach, so that no thread is asked to hand over the GIL: this one wakes up before the
    kernel has ended only if the kernel lets go of it.
    """
    started, ended = threading.Lock(), []
    started.acquire()

    def watch(name, compute):
        def watched(*arrays, **numbers):
            if started.locked():  # a call may run the kernel twice
                started.release()
            compute(*arrays, **numbers)
            ended.append(True)

        return watched if name == kernel and started.locked() else compute

    def work():
        with backend.intercept(watch):
            function(**arguments)

    thread = threading.Thread(target=work)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread.start()
        started.acquire()
        beside = not ended
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert ended
    return beside


@pytest.mark.parametrize("threads", [1, 2])
def test_python_threads_at_once(threads, set_threads):
    """Four threads call everything at once: each gets what it gets alone."""
    set_threads(threads)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((4, 8, 4, 28, 28)).astype(np.float32)
    weight = rng.standard_normal((6, 4, 3, 3)).astype(np.float32)
    together = threading.Barrier(4)

    def compute(z):
        y = cnnx.conv2d(z, weight, padding=1)
        pooled, winners = cnnx.max_pool2d(y, 2, return_winners=True)
        g = cnnx.max_pool2d_backward(pooled, y, 2, winners=winners)
        return bits((*cnnx.conv2d_backward(g, z, weight, padding=1), cnnx.softmax(y), cnnx.gelu(y), np.array(y.sum())))

    def compute_beside_others(z):
        together.wait(60)
        return [compute(z) for _ in range(5)]

    alone = [compute(z) for z in x]
    with ThreadPoolExecutor(4) as pool:
        for expected, results in zip(alone, pool.map(compute_beside_others, x), strict=True):
            assert all(result == expected for result in results)


# ----------------------------------------------------------------------------------------------- fork

PARENT = """
    import os, sys
    import cnnx, numpy as np

    x, weight = np.random.default_rng(1).random((2, 8, 4, 28, 28)).astype("float32"), np.ones((8, 4, 3, 3), "float32")

    def compute():
        y = cnnx.conv2d(x[0], weight)
        return b"".join(np.asarray(a).tobytes() for a in (y, *cnnx.conv2d_backward(y, x[0], weight), cnnx.softmax(y)))

    def in_child(check):
        child = os.fork()
        if not child:
            try:
                check()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""
IN_CHILD = """
    openmp = cnnx.native.build_info()["openmp"]

    def check():
        assert compute() == expected
        assert cnnx.get_num_threads() == 1
        assert cnnx.native.build_info()["forked"]
        cnnx.set_num_threads(1)
        try:
            cnnx.set_num_threads(2)
        except RuntimeError as error:
            assert "fork()" in str(error) or not openmp, error
        else:
            raise AssertionError("two threads in a forked child")
        assert compute() == expected
"""


@needs_fork
def test_fork_after_threads():
    code = (
        PARENT
        + IN_CHILD
        + """
    cnnx.set_num_threads(2 if openmp else 1)
    expected = compute()
    in_child(check)
    in_child(lambda: in_child(check))
    assert cnnx.get_num_threads() == (2 if openmp else 1)
    assert not cnnx.native.build_info()["forked"]
    assert compute() == expected
    in_child(check)
    print("done")
    """
    )
    assert run(code) == "done"


@needs_fork
def test_fork_while_another_thread_computes():
    code = (
        PARENT
        + IN_CHILD
        + """
    import threading
    cnnx.set_num_threads(2 if openmp else 1)
    expected = compute()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [compute() for _ in iter(stop.is_set, True)])
    thread.start()
    for _ in range(10):
        in_child(check)
    stop.set()
    thread.join()
    print("done")
    """
    )
    assert run(code) == "done"


@needs_fork
@pytest.mark.parametrize("first", ["cnnx.native.build_info()", "pass"])
def test_fork_before_the_first_kernel(first):
    """CNNX_NUM_THREADS is meant for who has threads: a child that computes serially must not fail over it."""
    code = (
        PARENT
        + f"""
    def check():
        compute()
    {first}
    in_child(check)
    print("done")
    """
    )
    assert run(code, CNNX_NUM_THREADS="2" if OPENMP else "1") == "done"


@needs_fork
@pytest.mark.parametrize("imported", ["before", "after"])
def test_a_child_computes_on_one_thread_wherever_cnnx_is_imported(imported):
    """Another library's OpenMP threads were there before the fork, and no kernel of cnnx."""
    before, after = ("import cnnx", "pass") if imported == "before" else ("pass", "import cnnx")
    code = f"""
        import ctypes, os, signal
        import numpy as np
        {before}
        try:
            openmp = ctypes.CDLL("libgomp.so.1")
            openmp.GOMP_parallel(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None), None, 2, 0)
        except OSError:
            pass
        child = os.fork()
        if not child:
            signal.alarm(60)
            {after}
            assert cnnx.get_num_threads() == 1
            assert cnnx.native.build_info()["forked"]
            assert cnnx.relu(np.ones((64, 64, 56, 56), "f4")).sum() == 64 * 64 * 56 * 56
            os._exit(0)
        print(os.waitpid(child, 0)[1])
    """
    if imported == "after" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux says that a process was made by fork()")
    assert run(code, OMP_NUM_THREADS="2") == "0"


@needs_fork
def test_multiprocessing_fork():
    code = (
        PARENT
        + """
    import multiprocessing
    openmp = cnnx.native.build_info()["openmp"]
    cnnx.set_num_threads(2 if openmp else 1)
    expected = compute()

    def in_pool(_):
        return compute() == expected and cnnx.get_num_threads() == 1

    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(in_pool, range(6)).get(60) == [True] * 6
    print("done")
    """
    )
    assert run(code) == "done"


PROGRAM = """
import multiprocessing, os, sys
import loaded

def count(_=None):
    import cnnx, numpy as np
    cnnx.relu(np.ones(100_000))
    return cnnx.get_num_threads()

def count_in_a_child_of_the_child(_):
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        os.write(writable, bytes([count()]))
        os._exit(0)
    os.waitpid(child, 0)
    return os.read(readable, 1)[0]

if __name__ == "__main__":
    method, count_them, *preload = sys.argv[1:]
    if preload:
        multiprocessing.set_forkserver_preload(preload)  # Python 3.14 preloads this program, as asked for nothing
    with multiprocessing.get_context(method).Pool(1, maxtasksperchild=1) as pool:
        print(pool.map_async(globals()[count_them], range(2), chunksize=1).get(60))
"""


def counted(tmp_path, *arguments, first="import cnnx", **environment):
    """How many threads two children in a row have; the program begins with what is `first`, in a module `loaded`."""
    if arguments[0] not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {arguments[0]}")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    (tmp_path / "loaded.py").write_text(first)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, program, *arguments],
        env=os.environ | {"CNNX_NUM_THREADS": "2" if OPENMP else "1", "PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods_have_threads(method, tmp_path):
    assert counted(tmp_path, method, "count") == ("[2, 2]" if OPENMP else "[1, 1]")


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whose copy a process is")


@needs_openmp
@needs_linux
@pytest.mark.bare
@pytest.mark.parametrize("first", ["import cnnx", "import cnnx; cnnx.get_num_threads()", "import numpy"])
def test_a_forkserver_that_imported_the_program_first(first, tmp_path):
    """Also where it has threads of numpy's BLAS, which end with the first fork."""
    assert counted(tmp_path, "forkserver", "count", "loaded", first=first, OPENBLAS_NUM_THREADS="3") == "[2, 2]"


GOMP = """import ctypes
try:
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
    ctypes.CDLL("libgomp.so.1").GOMP_parallel(function, None, 2, 0)
except OSError:
    import cnnx, numpy as np
    cnnx.relu(np.ones((128, 16, 32, 32)))"""


@needs_openmp
@needs_linux
@pytest.mark.parametrize(
    "first",
    ["import cnnx, numpy as np; cnnx.relu(np.ones((128, 16, 32, 32)))", GOMP, f"import cnnx\n{GOMP}"],
    ids=["cnnx's", "libgomp's", "libgomp's, cnnx imported"],
)
def test_a_forkserver_that_has_threads(first, tmp_path):
    """The children lack them, and compute on one."""
    found = counted(tmp_path, "forkserver", "count", "loaded", first=first, OMP_NUM_THREADS="2")
    assert found == "[1, 1]"


@needs_openmp
@pytest.mark.parametrize("preload", [(), ("loaded",)], ids=["", "preloaded"])
@pytest.mark.parametrize("first", ["import cnnx", "import numpy"])
def test_a_fork_of_a_forkservers_child(first, preload, tmp_path):
    """It is a copy of a process that may have had threads, wherever cnnx is imported."""
    assert counted(tmp_path, "forkserver", "count_in_a_child_of_the_child", *preload, first=first) == "[1, 1]"


@needs_fork
def test_fork_while_another_thread_makes_the_first_call():
    # A child must not inherit an import that another thread is in the middle of: it would wait for it for ever.
    code = """
        import os, sys, threading
        import numpy as np
        import cnnx

        def first_call():
            cnnx.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 1)))

        threads = [threading.Thread(target=first_call) for _ in range(2)]
        for thread in threads:
            thread.start()
        children = []
        for _ in range(20):
            child = os.fork()
            if child == 0:
                first_call()
                os._exit(0)
            children.append(child)
        for thread in threads:
            thread.join()
        print(sum(os.waitpid(child, 0)[1] for child in children))
    """
    assert run(code) == "0"


def test_nothing_is_imported_by_a_call_but_kernels():
    code = """
        import sys
        import numpy as np
        import cnnx
        cnnx.backend.kernel_names("optimized")
        before = set(sys.modules)
        cnnx.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 1)))
        print(sorted(set(sys.modules) - before))
    """
    assert run(code) == "[]"
