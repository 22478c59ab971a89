"""The examples in the docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import cnnx
from cnnx.ops import OPS


def examples():
    """Every module's, but for commands; a module that waits for an extra is one that is skipped."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = [module.name for module in pkgutil.walk_packages(cnnx.__path__, "cnnx.", onerror=lambda name: None)]
    for name in ("cnnx", *(name for name in names if not name.endswith("__main__"))):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").startswith("cnnx"):
                raise
            yield pytest.param(None, id=name, marks=pytest.mark.skip(f"{name} needs {missing.name}"))
            continue
        for test in finder.find(module):
            if test.examples:
                yield pytest.param(test, id=test.name)


EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example):
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_an_ops_functions_have_examples(op):
    found = {example.id for example in EXAMPLES}
    assert {f"{function.__module__}.{function.__name__}" for function in (op.forward, op.backward)} <= found
