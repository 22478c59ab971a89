"""Builds, to be measured beside each other: a commit's and the working tree's; kept as long as they are used."""

import hashlib
import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from .git import BuildError as BuildError
from .git import Checkout, Tree, run

FOLDER = Path("build", "against")  # in the repository, where git does not look; may be deleted at any time
KEPT = 6  # builds
_used: set[Path] = set()  # by this process, which may need them until it ends


@dataclass(frozen=True)
class Build:
    """What was built.

    name : of the commit, or "working tree".
    folder : what cnnx is imported from, or another project's environment.
    """

    name: str
    folder: Path


def kept(target: Path, make: Callable[[Path], None], most: int) -> Path:
    """A folder that is made once, whole or not at all: `make` is given an empty one beside it.

    Of its neighbours all but the `most` that were used last are deleted, and what a killed process left a day ago.
    """
    if not target.exists():
        _prune(target.parent, most)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            make(Path(folder))
            try:
                Path(folder).rename(target)
            except OSError:
                if not target.exists():  # else another process has made the same
                    raise
            else:
                Path(folder).mkdir()  # so that there is something to be deleted
    os.utime(target)  # it was used now
    _used.add(target)
    return target


def _prune(folder: Path, most: int) -> None:
    there = [path for path in folder.glob("*") if path not in _used]
    found = sorted(there, key=lambda path: path.stat().st_mtime, reverse=True)
    stale = [path for path in found if path.name.startswith(".") and path.stat().st_mtime < time.time() - 86400]
    finished = [path for path in found if not path.name.startswith(".")]
    for path in (*stale, *finished[most:]):
        shutil.rmtree(path, ignore_errors=True)


def digest(*facts: object) -> str:
    """A name that changes with any of these facts."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def compiler() -> list[str]:
    """The compiler that a build would use, and what the environment asks of it."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    settings = [os.environ.get(name, "") for name in ("CC", "CFLAGS", "LDFLAGS")]
    try:
        return [*settings, run([*shlex.split(command), "--version"], Path.cwd())]
    except OSError:  # a pure Python project needs none
        return settings


class Repository(Checkout):
    """The repository of cnnx around a folder.

    Raises
    ------
    BuildError
        There is none, or no git.
    """

    WHAT = "a git repository of cnnx"
    SOURCES = ("cnnx", "setup.py", "pyproject.toml")

    def __init__(self, start: Path | None = None) -> None:
        super().__init__(start)
        if not is_ours(self.root):
            raise BuildError(f"expected to be in {self.WHAT}, got {self.root}")

    def build(self, revision: str | None, instruction_set: str, say: Callable[[str], None]) -> Build:
        """The build of a commit, or of the working tree as it is now (None), made if it is not there yet.

        Raises
        ------
        BuildError
            It cannot be built.
        """
        name = self.name(revision)
        with self.tree(revision) as tree:

            def make(folder: Path) -> None:
                say(f"building {name}, for {instruction_set}")
                self.export(tree, folder)
                with tempfile.TemporaryDirectory() as temporary:  # a compiler killed by Ctrl-C leaves files behind
                    building = {"CNNX_BUILD_ISA": instruction_set, "CNNX_CHECKED": "0", "TMPDIR": temporary}
                    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
                    run(command, folder, {**os.environ, **building})
                shutil.rmtree(folder / "build", ignore_errors=True)

            return Build(name, kept(self.root / FOLDER / self._key(tree, instruction_set), make, KEPT))

    def _key(self, tree: Tree, instruction_set: str) -> str:
        """A name for what is built: it changes with all that the result depends on."""
        sources = [self.git("rev-parse", f"{tree.name}:{name}", environment=tree.environment) for name in self.SOURCES]
        try:
            tools = [version(name) for name in ("cython", "setuptools")]
        except PackageNotFoundError as error:
            raise BuildError(f"building needs {error.name}: python -m pip install 'cnnx[bench]'") from None
        versions = [sys.version, np.__version__, *tools]
        return f"{instruction_set}-{digest(sources, compiler(), os.environ.get('CNNX_OPENMP', ''), versions)}"


def is_ours(root: Path) -> bool:
    """Whether a repository is cnnx's own, whose ops are compared."""
    return (root / "cnnx" / "optimized").is_dir() and (root / "setup.py").is_file()
