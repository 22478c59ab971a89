"""Files that other programs read agree with one another: lower bounds, linters' versions, citation, workflow, hooks."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cnnx

pytestmark = pytest.mark.once

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
# Too large, or compiled against an MPI library; cnnx itself; the engines that tox -e field asks, as they are today.
NOT_IN_LOWEST = {"torch", "mpi4py", "cnnx"} | {
    "flax", "jax", "keras", "mlx", "mnn", "ncnn", "opencv-python-headless", "paddlepaddle", "tensorflow-cpu",
    "tinygrad", "tract",
}  # fmt: skip


def requirements() -> list[Requirement]:
    """What is needed to build, to run and for the extras."""
    extras = [text for texts in PROJECT["optional-dependencies"].values() for text in texts]
    return [Requirement(text) for text in (*PYPROJECT["build-system"]["requires"], *PROJECT["dependencies"], *extras)]


def test_lowest_has_every_lower_bound() -> None:
    bounds = {}
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        if name not in NOT_IN_LOWEST:
            (bound,) = (s for s in requirement.specifier if s.operator != "!=")
            assert bound.operator == ">=", requirement
            assert bounds.setdefault(name, bound.version) == bound.version, f"{name} has two lower bounds"
    own = (ROOT / ".ci" / "lowest.txt").read_text(encoding="utf-8").partition("# Not cnnx's own")[0]
    assert own.splitlines()[1:] == sorted(f"{name}=={version}" for name, version in bounds.items())


def test_hooks_are_the_linters_of_tox() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    revisions = dict(re.findall(r"repo: \S+/([\w-]+)\n    rev: v(\S+)", hooks))
    for repository, linter in ("ruff-pre-commit", "ruff"), ("mirrors-mypy", "mypy"), ("cython-lint", "cython-lint"):
        group = [Requirement(text) for text in PYPROJECT["dependency-groups"]["lint"]]
        (wanted,) = (requirement.specifier for requirement in group if requirement.name == linter)
        assert revisions[repository] in wanted, f"{repository}: expected {wanted}, got {revisions[repository]}"


def test_citation_is_of_this_version() -> None:
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    (author,) = PROJECT["authors"]
    for line in f"version: {cnnx.__version__}", f"license: {PROJECT['license']}", f"  - name: {author['name']}":
        assert line in lines
    assert f"Copyright (c) {author['name']}" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_workflow_runs_what_exists() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert "bash .ci/run" in workflow
    for name in re.findall(r"tox -e (\S+)", workflow):
        assert f"[testenv:{name}]" in tox
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)}
    assert set(re.findall(r'"(3\.\d+)"', workflow)) <= named
    assert PROJECT["requires-python"].removeprefix(">=") in named


def test_contributing_names_every_environment() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"^\[testenv:([a-z][\w-]*)\]$", (ROOT / "tox.ini").read_text(encoding="utf-8"), re.M):
        assert f"`{name}`" in text, name
