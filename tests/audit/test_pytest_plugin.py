"""The pytest plugin: one test for each op and check, off where nothing uses it; xdist, JUnit XML, one case again.

Its runs are processes of their own, which load it by `-p`, installed or not.
"""

import json
import re
import xml.etree.ElementTree as ET

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.once

PLUGIN = ("-p", "no:cnnx", "-p", "_cnnx_pytest", "-p", "no:cacheprovider")  # the first: as its entry point calls it

KERNELS = """
import numpy as np
import pytest

def relu(Z, /, Y):
    np.maximum(Z, 0, out=Y)

def shifted(Z, /, Y):
    np.maximum(Z, 0.5, out=Y)
"""

SUITE = f"""
{KERNELS}
@pytest.mark.cnnx_audit("relu", backend=shifted, checks=["exact", "special", "gradient", "threads"])
def test_shifted(audited):
    audited()

class TestRight:
    pytestmark = pytest.mark.cnnx_audit(backend={{"relu": relu}}, search_cases=5, seed=7, dtypes=["float32"])

    def test_relu(self, audited):
        assert audited().ok
        assert repr(audited).startswith("<audited relu-")

    def test_of_something_else(self):
        pass

@pytest.mark.cnnx_audit("gelu", backend="optimized", checks=["bound"], budget=0.1)
@pytest.mark.cnnx_audit("relu", backend=relu, checks="exact")
def test_two_marks(audited):
    audited()
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(*PLUGIN, *arguments)


def test_one_test_for_each_op_and_check(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_kernels=SUITE)
    done = run(pytester, "-rs", "-v", "--junitxml=junit.xml", "--strict-markers", "-Werror")
    outcomes = dict(re.findall(r"^(?:test_kernels.py::)(\S+) (PASSED|FAILED|SKIPPED)", done.stdout.str(), re.M))
    assert outcomes == {
        "test_shifted[relu-exact]": "FAILED",
        "test_shifted[relu-special]": "FAILED",
        "test_shifted[relu-gradient]": "SKIPPED",  # there is no gradient
        "test_shifted[relu-threads]": "SKIPPED",  # it does not say how they are set
        **{f"TestRight::test_relu[relu-{check}]": "PASSED" for check in ("exact", "bound", "layout", "special")},
        **{f"TestRight::test_relu[relu-{check}]": "SKIPPED" for check in ("threads", "gradient", "isa")},
        **{f"TestRight::test_relu[relu-{check}]": "PASSED" for check in ("worked", "repeat", "batch", "alignment")},
        "TestRight::test_relu[relu-search]": "PASSED",
        "TestRight::test_of_something_else": "PASSED",
        "test_two_marks[relu-exact]": "PASSED",
        "test_two_marks[gelu-bound]": "FAILED",
    }
    done.stdout.fnmatch_lines(
        [
            "*test_shifted?relu-exact?*",
            "relu, exact: relu at Y[[]0[]]: expected 0.0 exactly, got 0.5",
            "    case 'one', float*",
            "    Y[[]0[]] of kernel relu",
            "    again: pytest 'test_kernels.py::test_shifted[[]relu-exact[]]' --cnnx-repro '{*}'",
            "    and * more of this check",
            "*test_two_marks?gelu-bound?*",
            "gelu, bound: 0.* of the error bound is used, expected at most 0.1",
            "SKIPPED * it does not say how its number of threads is set",
            "SKIPPED * not there: relu_grad_input",
        ]
    )
    assert "Traceback" not in done.stdout.str()
    cases = {case.get("name"): case for case in ET.parse(pytester.path / "junit.xml").iter("testcase")}
    failure = cases["test_shifted[relu-exact]"].find("failure")
    assert failure is not None
    assert "relu, exact: relu at Y[0]: expected 0.0 exactly, got 0.5" in failure.get("message", "")
    noted = {p.get("name"): p.get("value") for p in cases["test_relu[relu-search]"].iter("property")}
    assert noted["cnnx seed"] == "7"
    assert int(noted["cnnx elements"] or 0) > 0

    again = next(line for line in done.stdout.lines if "again: pytest" in line and "relu-exact" in line)
    words = json.dumps(json.loads(again[again.index("'{") + 1 : again.rindex("}") + 1]))
    done = run(pytester, "-rs", "--cnnx-repro", words, "-k", "shifted")
    done.assert_outcomes(failed=1, skipped=3)
    done.stdout.fnmatch_lines(["relu, exact: relu at Y[[]0[]]: expected 0.0 exactly, got 0.5", "*is about relu-exact"])


def test_in_several_processes(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist", reason="runs tests in several processes")
    pytester.makepyfile(test_kernels=SUITE)
    done = run(pytester, "-n", "1", "-k", "exact or bound")
    done.assert_outcomes(passed=3, failed=2)
    done.stdout.fnmatch_lines(["relu, exact: relu at Y[[]0[]]: expected 0.0 exactly, got 0.5"])


MISTAKES = {
    '@pytest.mark.cnnx_audit("conv3d", backend="numpy")\ndef test(audited): audited()': (
        "cnnx_audit: ValueError: op: expected one of * names, got 'conv3d'; did you mean conv2d?"
    ),
    '@pytest.mark.cnnx_audit("relu", backend=relu, checks=["exakt"])\ndef test(audited): audited()': (
        "cnnx_audit: ValueError: checks: expected one of *, got 'exakt'; did you mean exact?"
    ),
    '@pytest.mark.cnnx_audit("relu", backend=relu, checks=["adjoint"])\ndef test(audited): audited()': (
        "cnnx_audit: ValueError: checks: expected some that apply to relu, got adjoint"
    ),
    '@pytest.mark.cnnx_audit("relu")\ndef test(audited): audited()': (
        "cnnx_audit: ValueError: backend: expected a back end's name or kernels, got none"
    ),
    '@pytest.mark.cnnx_audit("relu", backend=relu)\ndef test(): pass': (
        "cnnx_audit: expected the test to have an argument `audited`, and to call it"
    ),
    "def test(audited): audited()": "audited: expected a marker, @pytest.mark.cnnx_audit(OP, backend=...)",
}


def test_mistakes_are_errors_of_the_collection(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(**{f"test_{i}": KERNELS + suite for i, suite in enumerate(MISTAKES)})
    done = run(pytester)
    assert done.ret == 2
    done.stdout.fnmatch_lines(list(MISTAKES.values()))
    assert "During handling" not in done.stdout.str()


def test_nothing_passes_unjudged(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        {KERNELS.replace(chr(10), chr(10) + " " * 8)}
        @pytest.mark.cnnx_audit("relu", backend=relu, checks=["exact"])
        def test_forgot(audited):
            pass

        @pytest.mark.cnnx_audit("lp_pool2d", backend="numpy", checks=["bound"])
        @pytest.mark.cnnx_audit("tanh", backend={{"relu": relu}}, checks=["bound"])
        def test_has_no_kernel(audited):
            audited()
        """
    )
    done = run(pytester)
    text = done.stdout.str()
    assert "expected the test to call audited()" in text
    assert "nothing of back end the given kernels ran" in text
    assert done.ret == 1


def test_where_nothing_uses_it_nothing_is_loaded(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test():
            assert "_cnnx_pytest" in sys.modules
            assert not [name for name in sys.modules if name.split(".")[0] in ("cnnx", "numpy")]
        """
    )
    others = [f"no:{name}" for name in ("xdist", "benchmark", "hypothesispytest")]  # which may load what they like
    run(pytester, *[word for name in others for word in ("-p", name)]).assert_outcomes(passed=1)


def test_cnnx_s_own_assertions_are_left_as_they_are(pytester: pytest.Pytester) -> None:
    """Where cnnx is installed, pytest means to rewrite all of its modules."""
    pytester.makepyfile(
        test_loader="""
        import cnnx

        def test_loader():
            assert "Rewrit" in type(__loader__).__name__
            assert "Rewrit" not in type(cnnx.__loader__).__name__
        """
    )
    run(pytester).assert_outcomes(passed=1)
