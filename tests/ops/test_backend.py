"""Back ends: who chooses, for whom, in which order; what others bring; no silent fallback."""

import asyncio
import contextvars
import importlib
import os
import re
import subprocess
import sys
import textwrap
import threading
import types

import numpy as np
import pytest
from packages import install

import cnnx
from cnnx import backend, native
from cnnx.audit.data import draw, draw_like
from cnnx.audit.trace import backward_arguments, first, forward_arguments
from cnnx.backend import choice
from cnnx.ops import OPS

X = np.array([-1.0, 2.0])


def filled(value):
    """A relu that cannot be mistaken for another back end's."""

    def relu(Z, /, Y):
        Y[...] = value

    return relu


@pytest.fixture(autouse=True)
def choices(monkeypatch):
    """Nothing is chosen, and back ends one ... five fill with their number."""
    monkeypatch.delenv("CNNX_BACKEND", raising=False)
    monkeypatch.setattr(choice, "_process_choice", None)
    for i, name in enumerate(("one", "two", "three", "four", "five"), 1):
        cnnx.register_backend(name, {"relu": filled(i)})


def who():
    """Which back end a call without `backend=` uses: its number."""
    return cnnx.relu(X)[0]


def run(code, *, path=None, **environment):
    """What a Python of its own prints, with `path` before everything else."""
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(path), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ------------------------------------------------------------------------------------------- the order


def test_order(monkeypatch):
    """The call, then the context, the process, the environment, the default."""
    assert cnnx.get_backend() == "optimized"
    assert who() == 0
    monkeypatch.setenv("CNNX_BACKEND", "one")
    assert (cnnx.get_backend(), who()) == ("one", 1)
    cnnx.set_backend("two")
    assert (cnnx.get_backend(), who()) == ("two", 2)
    with cnnx.use_backend("three"):
        assert (cnnx.get_backend(), who()) == ("three", 3)
        assert cnnx.relu(X, backend="four")[0] == 4
        cnnx.set_backend("five")  # of the process: it waits until the context ends
        assert (cnnx.get_backend(), who()) == ("three", 3)
    assert (cnnx.get_backend(), who()) == ("five", 5)
    assert cnnx.relu(X, backend="one")[0] == 1
    assert who() == 5


def test_an_empty_variable_counts_as_none(monkeypatch):
    monkeypatch.setenv("CNNX_BACKEND", "")
    assert cnnx.get_backend() == "optimized"


def test_environment_in_a_process_of_its_own():
    code = "import cnnx; print(cnnx.get_backend())"
    assert run(code) == "optimized"
    assert run(code, CNNX_BACKEND="reference") == "reference"


def test_every_call_takes_the_chosen_back_end():
    """Forward and backward calls of all ops look for their kernels in the back end that is chosen, and nowhere else."""
    cnnx.register_backend("empty", {})
    g = np.ones((1, 1, 2, 2))
    calls = [
        lambda **b: cnnx.conv2d(g, g, **b),
        lambda **b: cnnx.conv2d_backward(g[..., :1, :1], g, g, **b),
        lambda **b: cnnx.max_pool2d(g, 2, **b),
        lambda **b: cnnx.max_pool2d(g, 2, return_winners=True, **b),
        lambda **b: cnnx.max_pool2d_backward(g[..., :1, :1], g, 2, **b),
        lambda **b: cnnx.avg_pool2d(g, 2, **b),
        lambda **b: cnnx.lp_pool2d(g, 2, 2, **b),
        lambda **b: cnnx.softmax_backward(g, g, **b),
        lambda **b: cnnx.affine(g[0, 0], g[0, 0], **b),
        lambda **b: cnnx.dropout(g, g > 0, 0.5, **b),
        lambda **b: cnnx.batch_norm2d(g, g[0, 0, 0, :1], g[0, 0, 0, :1], training=True, **b),
        lambda **b: cnnx.cross_entropy(g[0, 0], np.array([0, 1]), **b),
        lambda **b: cnnx.squared_error_backward(g, g, **b),
    ]
    for call in calls:
        with cnnx.use_backend("empty"), pytest.raises(NotImplementedError, match="back end 'empty' has no kernel"):
            call()
        with pytest.raises(NotImplementedError, match="back end 'empty' has no kernel"):
            call(backend="empty")
        call()


# ------------------------------------------------------------------------------------------- contexts


def test_contexts_nest_and_end():
    with cnnx.use_backend("one"):
        with cnnx.use_backend("two"):
            with cnnx.use_backend("one"):
                assert who() == 1
            assert who() == 2
        assert who() == 1
        with pytest.raises(ZeroDivisionError), cnnx.use_backend("three"):
            _ = 1 / 0
        assert who() == 1
        with pytest.raises(ValueError, match="nowhere"), cnnx.use_backend("nowhere"):
            pass
        assert who() == 1
    assert who() == 0


def test_context_as_a_decorator():
    @cnnx.use_backend("two")
    def decorated():
        return who()

    assert [decorated(), who(), decorated()] == [2, 0, 2]


def test_threads_have_contexts_of_their_own():
    cnnx.set_backend("five")
    inside, checked, found = threading.Event(), threading.Event(), {}

    def other():
        found["before"] = who()  # a new thread knows the process's choice alone
        with cnnx.use_backend("two"):
            inside.set()
            checked.wait(30)
            found["within"] = who()
        found["after"] = who()

    with cnnx.use_backend("one"):
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(30)
        assert who() == 1
        checked.set()
        thread.join()
        assert who() == 1
        found["copied"] = contextvars.copy_context().run(who)
    assert found == {"before": 5, "within": 2, "after": 5, "copied": 1}


def test_set_backend_reaches_other_threads():
    found = []
    cnnx.set_backend("four")
    thread = threading.Thread(target=lambda: found.append(who()))
    thread.start()
    thread.join()
    assert found == [4]


def test_tasks_have_contexts_of_their_own():
    async def task(name, value, entered, others):
        with cnnx.use_backend(name):
            entered.set()
            for other in others:
                await other.wait()
            for _ in range(3):
                assert who() == value
                await asyncio.sleep(0)
        return who()

    async def main():
        a, b = asyncio.Event(), asyncio.Event()
        with cnnx.use_backend("three"):
            results = await asyncio.gather(task("one", 1, a, [b]), task("two", 2, b, [a]))
            return results, who()

    assert asyncio.run(main()) == ([3, 3], 3)


# ------------------------------------------------------------------------------------------- bad names


@pytest.mark.parametrize("name", ["", "nowhere", "Optimized", "optimized ", "cnnx.reference", "x" * 50])
def test_unknown_names(name):
    message = rf"no back end is called '{re.escape(name)}'; there are reference, optimized, .*one, two"
    for call in (
        cnnx.set_backend,
        lambda name: cnnx.use_backend(name).__enter__(),
        lambda name: cnnx.relu(X, backend=name),
    ):
        with pytest.raises(ValueError, match=f"backend: {message}"):
            call(name)
    with pytest.raises(ValueError, match=message):
        backend.kernel_names(name)
    assert cnnx.get_backend() == "optimized"


@pytest.mark.parametrize("name", ["", 0, False, [], "nowhere"], ids=repr)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_call_refuses_what_is_no_name(op, name):
    """Also what is false, which is not None: nothing but None takes the chosen one."""
    if not op.kernels:
        pytest.skip("a view, which no back end computes")
    rng = np.random.default_rng(0)
    for case in op.cases:
        arrays = draw(op, case, "float32", "real", rng)
        forward = forward_arguments(op, case, arrays)
        result = op.forward(**forward)
        grad_output = np.empty(0) if op.cost else draw_like(first(result), "float32", "real", rng)
        backward = backward_arguments(op, case, arrays, grad_output, result)
        for function, arguments in ((op.forward, forward), (op.backward, backward)):
            with pytest.raises((TypeError, ValueError), match=r"backend: (expected the name|no back end is called)"):
                function(**arguments, backend=name)


@pytest.mark.parametrize("name", [None, 1, b"optimized", ["optimized"], ("optimized",), {}, object(), cnnx])
def test_names_that_are_no_strings(name):
    message = rf"backend: expected the name of a back end, got {type(name).__name__}"
    for call in (cnnx.set_backend, lambda name: cnnx.use_backend(name).__enter__()):
        with pytest.raises(TypeError, match=message):
            call(name)
    if name is None:
        assert cnnx.relu(X, backend=name)[0] == 0  # no choice for this call
    else:
        with pytest.raises(TypeError, match=message):
            cnnx.relu(X, backend=name)
    assert cnnx.get_backend() == "optimized"


def test_bad_environment(monkeypatch):
    monkeypatch.setenv("CNNX_BACKEND", "nowhere")
    for call in (cnnx.get_backend, who):
        with pytest.raises(
            ValueError, match="CNNX_BACKEND: no back end is called 'nowhere'; there are reference, optimized"
        ):
            call()
    assert cnnx.relu(X, backend="one")[0] == 1
    with cnnx.use_backend("two"):
        assert who() == 2
    code = """
        import cnnx, numpy as np
        try:
            cnnx.relu(np.ones(2))
        except ValueError as error:
            print(error)
    """
    assert run(code, CNNX_BACKEND="nowhere").startswith("CNNX_BACKEND: no back end is called 'nowhere'")


# ------------------------------------------------------------------------------------------- registering


def test_backends():
    names = cnnx.backends()
    assert type(names) is tuple
    assert names[:2] == ("reference", "optimized")
    assert names[2:7] == ("one", "two", "three", "four", "five")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["reference", "optimized", ""])
def test_names_that_are_taken(name):
    with pytest.raises(ValueError, match=f"back end name: expected a new name, got '{name}'"):
        cnnx.register_backend(name, {"relu": filled(9)})
    assert who() == 0


@pytest.mark.parametrize("name", [None, 1, b"mine", ["mine"]])
def test_registered_names_are_strings(name):
    with pytest.raises(TypeError, match=f"back end name: expected a string, got {type(name).__name__}"):
        cnnx.register_backend(name, {"relu": filled(9)})


@pytest.mark.parametrize(
    "kernels", [None, "relu", [("relu", filled(9))], filled(9), object(), types.SimpleNamespace, 3]
)
def test_kernels_are_a_mapping_or_a_module(kernels):
    with pytest.raises(TypeError, match=f"kernels: expected a mapping or a module, got {type(kernels).__name__}"):
        cnnx.register_backend("mine", kernels)
    assert "mine" not in cnnx.backends()


def test_mapping_and_module():
    module = types.ModuleType("theirs")
    module.relu, module.__version__ = filled(8), "1.0"
    cnnx.register_backend("module", module)
    cnnx.register_backend("mapping", types.MappingProxyType({"relu": filled(7)}))
    assert cnnx.relu(X, backend="module").tolist() == [8, 8]
    assert cnnx.relu(X, backend="mapping").tolist() == [7, 7]
    assert backend.kernel_names("module") == backend.kernel_names("mapping") == ("relu",)


def test_registering_again_replaces():
    for dtype in (np.float32, np.float64):
        assert cnnx.relu(X.astype(dtype), backend="one")[0] == 1
    cnnx.register_backend("one", {"step": filled(11)})
    for dtype in (np.float32, np.float64):
        assert cnnx.step(X.astype(dtype), backend="one")[0] == 11
        with pytest.raises(NotImplementedError, match="relu"):
            cnnx.relu(X.astype(dtype), backend="one")
    assert cnnx.backends().count("one") == 1


def test_a_kernel_gets_what_the_contract_says():
    """Contiguous arrays of one dtype, an output to fill, numbers by name."""
    got = {}

    def leaky_relu(Z, /, Y, **numbers):
        got.update(Z=Z, Y=Y, numbers=numbers)
        Y[...] = 5

    cnnx.register_backend("spy", {"leaky_relu": leaky_relu})
    x = np.arange(6, dtype=">f4").reshape(2, 3).T
    y = cnnx.leaky_relu(x, 1, backend="spy")
    assert got["numbers"] == {"slope": 1.0}
    assert type(got["numbers"]["slope"]) is float
    assert got["Z"].tolist() == [0, 3, 1, 4, 2, 5]
    assert got["Z"].dtype == got["Y"].dtype == np.float32
    assert got["Z"].flags.c_contiguous
    assert np.shares_memory(got["Y"], y)
    assert (y == 5).all()


def test_a_fused_kernel_may_be_registered():
    """What Cython makes of fused types is specialised like our own."""
    kernels = importlib.import_module("cnnx.optimized.activation")
    cnnx.register_backend("cython", {"relu": kernels.relu})
    cnnx.register_backend("cython module", kernels)
    for name in ("cython", "cython module"):
        for dtype in (np.float32, np.float64):
            assert cnnx.relu(X.astype(dtype), backend=name).tolist() == [0, 2]


def test_what_a_back_end_lacks_is_named():
    with pytest.raises(NotImplementedError, match="back end 'one' has no kernel 'relu_grad_input'; choose another"):
        cnnx.relu_backward(X, X, backend="one")
    with (
        cnnx.use_backend("two"),
        pytest.raises(NotImplementedError, match="back end 'two' has no kernel 'max_pool2d_winners'"),
    ):
        cnnx.max_pool2d(np.ones((1, 1, 2, 2)), 2, return_winners=True)
    assert cnnx.relu_backward(X, X).tolist() == [0, 2]


def test_errors_of_a_kernel_are_not_mistaken_for_a_missing_one():
    def relu(Z, /, Y):
        return {}["inner"]

    cnnx.register_backend("faulty", {"relu": relu})
    with pytest.raises(KeyError, match="inner"):
        cnnx.relu(X, backend="faulty")


# ----------------------------------------------------------------------------------------- entry points


@pytest.fixture
def installed(tmp_path):
    """A folder with a distribution that brings back ends."""
    install(
        tmp_path,
        "theirs",
        textwrap.dedent("""
        print("loaded")

        def relu(Z, /, Y):
            Y[...] = 6

        KERNELS = {"relu": relu}
        NUMBER = 3
        """),
        textwrap.dedent("""
        [cnnx.backends]
        theirs = theirs
        theirs-mapping = theirs:KERNELS
        theirs-number = theirs:NUMBER
        theirs-missing = no_such_module
        optimized = theirs

        [other.group]
        stranger = theirs
        """),
    )
    return tmp_path


def test_entry_points(installed):
    code = """
        import cnnx, numpy as np
        from cnnx import backend
        from importlib.metadata import entry_points
        adapters = [p.name for p in entry_points(group="cnnx.backends") if p.value.startswith("cnnx.adapters.")]
        print([name for name in cnnx.backends() if name not in adapters])
        x = np.array([-1.0, 2.0])
        print(cnnx.relu(x))
        cnnx.set_backend("theirs")
        print("set")
        print(cnnx.relu(x), cnnx.relu(x.astype("float32"), backend="theirs-mapping"), backend.kernel_names("theirs"))
        try:
            cnnx.register_backend("theirs", {"relu": lambda Z, Y: Y.fill(9)})
        except ValueError as error:
            print(error)
    """
    assert run(code, path=installed).splitlines() == [
        "['reference', 'optimized', 'theirs', 'theirs-mapping', 'theirs-number', 'theirs-missing']",
        "[0. 2.]",  # ours: that name is taken
        "set",
        "loaded",  # not before it is used
        "[6. 6.] [6. 6.] ('relu',)",
        "back end name: expected a new name, got 'theirs'",
    ]


def test_entry_point_by_environment(installed):
    code = "import cnnx, numpy; print(cnnx.get_backend(), cnnx.relu(numpy.ones(2)))"
    assert run(code, path=installed, CNNX_BACKEND="theirs").splitlines()[-1] == "theirs [6. 6.]"


def test_faulty_entry_points(installed):
    code = """
        import cnnx, numpy as np
        x = np.ones(2)
        for name, error in (("theirs-number", TypeError), ("theirs-missing", ImportError)) * 2:
            try:
                cnnx.relu(x, backend=name)
            except error as problem:
                print(type(problem).__name__, problem)
        print(cnnx.relu(x))
    """
    lines = [line for line in run(code, path=installed).splitlines() if line != "loaded"]
    assert lines[0] == "TypeError back end 'theirs-number' (theirs:NUMBER): expected a mapping or a module, got int"
    assert "no_such_module" in lines[1]
    assert lines[2:] == [*lines[:2], "[1. 1.]"]


# ------------------------------------------------------------------------------------- no silent fallback


@pytest.mark.parametrize("missing", ["conv2d", "", "activation"])
def test_a_missing_extension_says_what_to_do(missing):
    module = f"cnnx.optimized.{native.instruction_set()}.{missing}" if missing else "cnnx.optimized"
    code = f"""
        import sys
        sys.modules[{module!r}] = None
        import cnnx, numpy as np
        x = np.array([-1.0, 2.0])
        for call in (
            lambda: cnnx.relu(x),
            lambda: cnnx.relu(x),
            lambda: cnnx.relu(x, backend="optimized"),
        ):
            try:
                call()
            except ImportError as error:
                print(error)
        print(cnnx.get_backend(), cnnx.relu(x, backend="reference"))
        cnnx.set_backend("reference")
        print(cnnx.get_backend(), cnnx.relu(x))
    """
    *messages, explicit, chosen = run(code).splitlines()
    assert (explicit, chosen) == ("optimized [0. 2.]", "reference [0. 2.]")
    assert len(messages) == 3
    for message in messages:
        assert re.match(r"cnnx\.optimized\.[\w.]+ cannot be imported \(.*\)", message)
        assert "build cnnx again (pip install .)" in message
        assert 'cnnx.set_backend("reference")' in message


def test_a_missing_thread_module_says_what_to_do():
    code = """
        import sys
        sys.modules["cnnx.optimized._threads"] = None
        import cnnx.native
        for call in (cnnx.native.build_info, lambda: cnnx.set_num_threads(1)):
            try:
                call()
            except ImportError as error:
                print("pip install" in str(error))
    """
    assert run(code).split() == ["True", "True"]


# --------------------------------------------------------------------------------------- what the audit uses


def test_intercept():
    """Every kernel that is asked for goes through it, in this context alone."""
    names = []

    def wrap(name, kernel):
        def wrapped(*arrays, **numbers):
            names.append(name)
            kernel(*arrays, **numbers)
            arrays[-1][...] += 100

        return wrapped

    with backend.intercept(wrap):
        assert cnnx.relu(X).tolist() == [100, 102]
        thread = threading.Thread(target=cnnx.relu, args=(X,))
        thread.start()
        thread.join()
        with cnnx.use_backend("one"):
            assert who() == 101
    assert who() == 0
    assert names == ["relu", "relu"]


def test_build_info():
    built = native.build_info()
    assert {"compiler", "cython", "instruction_sets", "openmp", "checked", "forked", "path"} <= set(built)
    assert os.path.exists(built["path"])
    assert built["forked"] is False


# -------------------------------------------------------------------------------------------- instruction sets


def test_every_instruction_set_can_be_asked_for():
    code = """
        import cnnx, numpy as np
        from cnnx import native
        print(native.instruction_set(), cnnx.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))).sum())
        print(native.kernels("conv2d").__file__.count(f"/{native.instruction_set()}/"))
    """
    sets = native.instruction_sets()
    assert sets
    for name in sets:
        assert run(code, CNNX_ISA=name).split() == [name, "16.0", "1"]
    assert run(code, CNNX_ISA="").split()[0] == sets[-1]


@pytest.mark.parametrize("name", ["v9", "avx2", "V2 "])
def test_an_instruction_set_that_is_not_there_is_an_error(name):
    code = """
        import cnnx, numpy as np
        for _ in range(2):
            try:
                cnnx.relu(np.ones(2))
            except ValueError as error:
                print(error)
        print(cnnx.relu(np.ones(2), backend="reference"))
    """
    first, second, reference = run(code, CNNX_ISA=name).splitlines()
    assert first == second
    assert re.match(rf"CNNX_ISA: expected one of .*, as this build and this processor have, got '{name}'", first)
    assert reference == "[1. 1.]"
