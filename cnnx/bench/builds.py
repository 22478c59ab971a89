"""Builds of cnnx out of its repository, to be measured beside each other: a commit's, and the working tree's."""

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

FOLDER = Path("build", "against")  # in the repository, where git does not look; may be deleted at any time
KEPT = 6  # builds
SOURCES = ("cnnx", "setup.py", "pyproject.toml")  # what a build depends on


class BuildError(RuntimeError):
    """A commit cannot be found or built."""


@dataclass(frozen=True)
class Build:
    """Built sources.

    name : of the commit, or "working tree".
    folder : what cnnx is imported from.
    """

    name: str
    folder: Path


class Repository:
    """The repository of cnnx around a folder.

    Raises
    ------
    BuildError
        There is none, or no git.
    """

    def __init__(self, start: Path | None = None) -> None:
        start = start or Path.cwd()
        try:
            self.root = Path(_run(["git", "rev-parse", "--show-toplevel"], start).strip())
        except (BuildError, OSError) as error:
            raise BuildError(f"expected to be in a git repository of cnnx, got {start} ({error})") from None
        if not (self.root / "cnnx" / "optimized").is_dir() or not (self.root / "setup.py").is_file():
            raise BuildError(f"expected to be in a git repository of cnnx, got {self.root}")

    def commit(self, revision: str) -> str:
        """The commit that a revision names.

        Raises
        ------
        BuildError
            There is none of that name.
        """
        try:
            return _run(["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"], self.root).strip()
        except BuildError:
            raise BuildError(f"expected a commit, branch or tag of {self.root}, got {revision!r}") from None

    def last(self) -> str:
        """The last tag before this commit, or without one the branch main.

        Raises
        ------
        BuildError
            There is neither.
        """
        try:
            return _run(["git", "describe", "--tags", "--abbrev=0"], self.root).strip()
        except BuildError:
            pass
        for name in ("main", "origin/main"):
            try:
                self.commit(name)
            except BuildError:
                continue
            return name
        raise BuildError(f"{self.root} has neither a tag nor a branch main; say a commit: --against REV")

    def behind(self, revision: str) -> list[str | None]:
        """Commits behind a revision up to the working tree (None, where it is no commit) that may build otherwise.

        Oldest first, of a merge its first parents alone.

        Raises
        ------
        BuildError
            There is no such revision.
        """
        between = f"{self.commit(revision)}..HEAD"
        command = ["git", "rev-list", "--reverse", "--first-parent", between, "--", *SOURCES]
        found: list[str | None] = [line[:12] for line in _run(command, self.root).split()]
        if _run(["git", "status", "--porcelain", "--", *SOURCES], self.root).strip():
            found.append(None)
        return found

    def title(self, revision: str) -> str:
        """The first line of a commit's message."""
        return _run(["git", "show", "--no-patch", "--format=%s", revision], self.root).strip()

    def build(self, revision: str | None, instruction_set: str, say: Callable[[str], None]) -> Build:
        """The build of a commit, or of the working tree as it is now (None), made if it is not there yet.

        Raises
        ------
        BuildError
            It cannot be built.
        """
        name = "working tree" if revision is None else self.commit(revision)[:12]
        with tempfile.TemporaryDirectory() as objects:
            environment = os.environ if revision is not None else self._apart(Path(objects))
            tree = self._tree(revision, environment)
            target = self.root / FOLDER / self._key(tree, instruction_set, environment)
            if not target.exists():
                self._prune()
                say(f"building {name}, for {instruction_set}")
                self._make(tree, target, instruction_set, environment)
        os.utime(target)  # it was used now
        return Build(name, target)

    def _prune(self) -> None:
        """Delete all but the builds that were used last, and what a killed build left a day ago."""
        found = sorted(Path(self.root, FOLDER).glob("*"), key=lambda path: path.stat().st_mtime, reverse=True)
        stale = [path for path in found if path.name.startswith(".") and path.stat().st_mtime < time.time() - 86400]
        finished = [path for path in found if not path.name.startswith(".")]
        for path in (*stale, *finished[KEPT:]):
            shutil.rmtree(path, ignore_errors=True)

    def _apart(self, folder: Path) -> dict[str, str]:
        """An environment in which git leaves the repository's index and objects as they are."""
        git = Path(_run(["git", "rev-parse", "--absolute-git-dir"], self.root).strip())
        (folder / "objects").mkdir()
        common = Path(_run(["git", "rev-parse", "--path-format=absolute", "--git-common-dir"], self.root).strip())
        if (git / "index").exists():
            shutil.copy(git / "index", folder / "index")
        return {
            **os.environ,
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(common / "objects"),
        }

    def _tree(self, revision: str | None, environment: dict[str, str] | os._Environ[str]) -> str:
        """git's name for the files of a commit, or for those of the working tree that it does not ignore."""
        if revision is not None:
            return _run(["git", "rev-parse", f"{self.commit(revision)}^{{tree}}"], self.root).strip()
        _run(["git", "add", "--all"], self.root, environment)
        return _run(["git", "write-tree"], self.root, environment).strip()

    def _key(self, tree: str, instruction_set: str, environment: dict[str, str] | os._Environ[str]) -> str:
        """A name for what is built: it changes with all that the result depends on."""
        sources = [_run(["git", "rev-parse", f"{tree}:{name}"], self.root, environment) for name in SOURCES]
        settings = [os.environ.get(name, "") for name in ("CC", "CFLAGS", "LDFLAGS", "CNNX_OPENMP")]
        try:
            tools = [version(name) for name in ("cython", "setuptools")]
        except PackageNotFoundError as error:
            raise BuildError(f"building needs {error.name}: python -m pip install 'cnnx[bench]'") from None
        compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
        versions = [sys.version, np.__version__, *tools, _run([*shlex.split(compiler), "--version"], self.root)]
        text = repr((sources, settings, versions))
        return f"{instruction_set}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _make(
        self, tree: str, target: Path, instruction_set: str, environment: dict[str, str] | os._Environ[str]
    ) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            archive = Path(folder, "sources.tar")
            _run(["git", "archive", "--output", str(archive), tree], self.root, environment)
            with tarfile.open(archive) as file:
                if hasattr(tarfile, "data_filter"):  # since Python 3.11.4; it is git's own archive
                    file.extraction_filter = tarfile.data_filter
                file.extractall(folder)
            archive.unlink()
            building = {**os.environ, "CNNX_BUILD_ISA": instruction_set, "CNNX_CHECKED": "0"}
            _run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], Path(folder), building)
            shutil.rmtree(Path(folder, "build"), ignore_errors=True)
            try:
                Path(folder).rename(target)
            except OSError:
                if not target.exists():  # else another process has built the same
                    raise
            else:
                Path(folder).mkdir()  # so that there is something to be deleted


def _run(command: list[str], folder: Path, environment: dict[str, str] | os._Environ[str] | None = None) -> str:
    """What a command prints. Ctrl-C ends it with all that it started.

    Raises
    ------
    BuildError
        It fails; its last words.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,  # Cython's processes would wait for work for ever, were their parent alone to end
    )
    try:
        out, err = process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()  # until the last of them has closed its end: none writes into a folder that is deleted
        raise
    if process.returncode:
        said = (err or out).strip().splitlines()
        raise BuildError(f"{' '.join(command[:3])} failed: {said[-1] if said else f'code {process.returncode}'}")
    return out
