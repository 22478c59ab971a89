"""The examples in the docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import cnnx


def importable_modules():
    """Every module of the package but those that wait for an extra, and commands."""
    for module in pkgutil.walk_packages(cnnx.__path__, "cnnx.", onerror=lambda name: None):
        if module.name.endswith("__main__"):
            continue
        try:
            yield importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").startswith("cnnx"):
                raise


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in (cnnx, *importable_modules()):
        for test in finder.find(module):
            if test.examples:
                yield pytest.param(test, id=test.name)


@pytest.mark.parametrize("example", list(examples()))
def test_example(example):
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)
