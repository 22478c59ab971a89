"""cnnx's pytest plugin: kernels judged by the audit, one test for each op and check; a call's time beside another's.

    @pytest.mark.cnnx_audit("conv2d", backend=conv2d, search=2.0)
    def test_conv2d(audited):
        audited()

    @pytest.mark.cnnx_budget(1.5)
    def test_speed(budgeted):
        budgeted(lambda: conv2d(x, weight), beside=lambda: reference(x, weight))

docs/kernels.md, "In your test suite", and docs/bench.md say what the markers take. The module stands beside the package
and imports nothing of it until a test uses it: pytest loads it in every run, also where nobody knows of cnnx.
"""

import pytest

MARKER = "cnnx_audit"
FIXTURE = "audited"
BUDGET, BUDGETED = "cnnx_budget", "budgeted"


def pytest_addoption(parser, pluginmanager):
    # pytest rewrites the assertions of a package that brings a plugin when it is first imported: cnnx, of hundreds of
    # modules, has none to show.
    getattr(pluginmanager.rewrite_hook, "_must_rewrite", set()).discard("cnnx")
    add = parser.getgroup("cnnx").addoption
    add("--cnnx-repro", metavar="TEXT", help="judge the one case that a finding of cnnx's audit names")
    add("--cnnx-no-budgets", action="store_true", help=f"make calls that have a {BUDGET} once, and judge no time")


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        f"{MARKER}(op=None, *, backend, checks, search, seed, budget, ...): judge kernels by cnnx's audit, one test "
        f"for each op and check, which calls its argument `{FIXTURE}`",
    )
    config.addinivalue_line(
        "markers",
        f"{BUDGET}(at_most, bytes=None): hold the time of a call, which the test gives to its argument `{BUDGETED}`, "
        "against that of another one, or of a copy of so many bytes, measured in turns",
    )


def pytest_generate_tests(metafunc):
    for marker, fixture in ((MARKER, FIXTURE), (BUDGET, BUDGETED)):
        own = any(mark.name == marker for mark in metafunc.definition.own_markers)
        if own and fixture not in metafunc.fixturenames:
            pytest.fail(f"{marker}: expected the test to have an argument `{fixture}`, and to call it", pytrace=False)
    marks = list(metafunc.definition.iter_markers(MARKER))
    if FIXTURE not in metafunc.fixturenames:
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


@pytest.fixture
def budgeted(request):
    """What holds a call's time against the budget of the marker `cnnx_budget`; called, it returns the ratio."""
    mark = request.node.get_closest_marker(BUDGET)
    if mark is None:
        pytest.fail(f"{BUDGETED}: expected a marker, @pytest.mark.{BUDGET}(AT_MOST)", pytrace=False)
    from cnnx.bench.budgeted import Budgeted, check

    wrong = ""
    try:
        options = check(*mark.args, **mark.kwargs)
    except (TypeError, ValueError) as error:
        wrong = f"{BUDGET}: {error}"
    if wrong:
        pytest.fail(wrong, pytrace=False)
    return Budgeted(
        **options,
        judge=not request.config.getoption("--cnnx-no-budgets"),
        fail=lambda words: pytest.fail(words, pytrace=False),
        note=lambda name, value: request.node.user_properties.append((name, value)),
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    outcome = yield
    for name in (FIXTURE, BUDGETED):
        judge = pyfuncitem.funcargs.get(name)
        if outcome.excinfo is None and getattr(judge, "called", True) is False:
            outcome.force_exception(pytest.fail.Exception(f"expected the test to call {name}()", pytrace=False))
