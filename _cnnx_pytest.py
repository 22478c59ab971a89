"""cnnx's pytest plugin: kernels judged by the audit, one test for each op and check.

    @pytest.mark.cnnx_audit("conv2d", backend=conv2d, search=2.0)
    def test_conv2d(audited):
        audited()

README, "In your test suite", says what the marker takes. The module stands beside the package and imports nothing of
it until a test uses it: pytest loads it in every run, also where nobody knows of cnnx.
"""

import pytest

MARKER = "cnnx_audit"
FIXTURE = "audited"


def pytest_addoption(parser):
    parser.getgroup("cnnx").addoption(
        "--cnnx-repro", metavar="TEXT", help="judge the one case that a finding of cnnx's audit names"
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        f"{MARKER}(op=None, *, backend, checks, search, seed, budget, ...): judge kernels by cnnx's audit, one test "
        f"for each op and check, which calls its argument `{FIXTURE}`",
    )


def pytest_generate_tests(metafunc):
    marks = list(metafunc.definition.iter_markers(MARKER))
    if FIXTURE not in metafunc.fixturenames:
        if any(mark.name == MARKER for mark in metafunc.definition.own_markers):
            pytest.fail(f"{MARKER}: expected the test to have an argument `{FIXTURE}`, and to call it", pytrace=False)
        return
    if not marks:
        pytest.fail(f"{FIXTURE}: expected a marker, @pytest.mark.{MARKER}(OP, backend=...)", pytrace=False)
    from cnnx.audit.gate.suite import planned

    plans, wrong = [], ""
    try:
        plans = [plan for mark in reversed(marks) for plan in planned(*mark.args, **mark.kwargs)]
    except Exception as error:
        wrong = f"{MARKER}: {type(error).__name__}: {error}"
    if wrong:  # here, so that the words are all that is shown
        pytest.fail(wrong, pytrace=False)
    metafunc.parametrize(FIXTURE, plans, ids=[plan.name for plan in plans], indirect=True)


@pytest.fixture
def audited(request):
    """What judges one check of one op, as the marker `cnnx_audit` says; called, it returns the report."""
    from cnnx.audit.gate.suite import Audited

    nodeid = request.config.cwd_relative_nodeid(request.node.nodeid)
    return Audited(
        request.param,
        nodeid,
        request.config.getoption("--cnnx-repro"),
        fail=lambda words: pytest.fail(words, pytrace=False),
        skip=pytest.skip,
        note=lambda name, value: request.node.user_properties.append((name, value)),
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    outcome = yield
    judge = pyfuncitem.funcargs.get(FIXTURE)
    if outcome.excinfo is None and getattr(judge, "called", True) is False:
        outcome.force_exception(pytest.fail.Exception(f"expected the test to call {FIXTURE}()", pytrace=False))
