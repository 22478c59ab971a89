"""A git repository: its commits, and the files of each or of the working tree, without a worktree or another index."""

import contextlib
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class BuildError(RuntimeError):
    """A commit cannot be found or built.

    output : all that the command said that failed.
    """

    output = ""


@dataclass(frozen=True)
class Tree:
    """Files that git knows by a name, and the environment in which it does."""

    name: str
    environment: Mapping[str, str]


class Checkout:
    """The git repository around a folder.

    Raises
    ------
    BuildError
        There is none, or no git.
    """

    WHAT = "a git repository"
    SOURCES: tuple[str, ...] = ()  # what a build depends on; all of it where none are named

    def __init__(self, start: Path | None = None) -> None:
        start = start or Path.cwd()
        try:
            self.root = Path(run(["git", "rev-parse", "--show-toplevel"], start).strip())
        except (BuildError, OSError) as error:
            raise BuildError(f"expected to be in {self.WHAT}, got {start} ({error})") from None

    def git(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """What git says here, without the white space around it."""
        return run(["git", *arguments], self.root, environment).strip()

    def commit(self, revision: str) -> str:
        """The commit that a revision names.

        Raises
        ------
        BuildError
            There is none of that name.
        """
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
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
            return self.git("describe", "--tags", "--abbrev=0")
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
        found: list[str | None] = [*self.between(revision, "HEAD")]
        if self.git("status", "--porcelain", "--", *self.SOURCES):
            found.append(None)
        return found

    def between(self, revision: str, last: str) -> list[str]:
        """Commits behind a revision up to another one that may build otherwise, likewise.

        Raises
        ------
        BuildError
            There is no such revision.
        """
        between = f"{self.commit(revision)}..{self.commit(last)}"
        listed = self.git("rev-list", "--reverse", "--first-parent", between, "--", *self.SOURCES)
        return [line[:12] for line in listed.split()]

    def title(self, revision: str) -> str:
        """The first line of a commit's message."""
        return self.git("show", "--no-patch", "--format=%s", revision)

    def name(self, revision: str | None) -> str:
        """What a build of it is called."""
        return "working tree" if revision is None else self.commit(revision)[:12]

    @contextmanager
    def tree(self, revision: str | None) -> Iterator[Tree]:
        """The files of a commit, or those of the working tree (None) that git does not ignore."""
        if revision is not None:
            yield Tree(self.git("rev-parse", f"{self.commit(revision)}^{{tree}}"), os.environ)
            return
        with tempfile.TemporaryDirectory() as objects:
            environment = self._apart(Path(objects))
            self.git("add", "--all", environment=environment)
            yield Tree(self.git("write-tree", environment=environment), environment)

    def _apart(self, folder: Path) -> dict[str, str]:
        """An environment in which git leaves the repository's index and objects as they are."""
        git = Path(self.git("rev-parse", "--absolute-git-dir"))
        (folder / "objects").mkdir()
        common = Path(self.git("rev-parse", "--path-format=absolute", "--git-common-dir"))
        if (git / "index").exists():
            shutil.copy(git / "index", folder / "index")
        return {
            **os.environ,
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(common / "objects"),
        }

    def export(self, tree: Tree, folder: Path) -> None:
        """Write a tree's files into an empty folder."""
        archive = folder / "sources.tar"
        self.git("archive", "--output", str(archive), tree.name, environment=tree.environment)
        with tarfile.open(archive) as file:
            if hasattr(tarfile, "data_filter"):  # since Python 3.11.4; it is git's own archive
                file.extraction_filter = tarfile.data_filter
            archive.unlink()  # which is open; a tree may have a file of this name
            file.extractall(folder)


def run(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
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
        failed = BuildError(f"{' '.join(command[:3])} failed: {said[-1] if said else f'code {process.returncode}'}")
        failed.output = out + err
        raise failed
    return out
