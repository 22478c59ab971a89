"""A project's builds: a wheel for each tree of files, in an environment of its own with what it depends on."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import site
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..builds import Build, compiler, digest, kept
from ..git import BuildError, Checkout, Tree, run
from .settings import Settings

KEPT_WHEELS, KEPT_ENVIRONMENTS = 40, 8
OLDEST = 9  # Python 3.9: what runs in an environment is written for it
ABOUT = "cnnx-bench.json"  # in an environment: what the wheel brought
FOR_PYTEST = ("pytest", "pytest-benchmark")
_NEVER = {"tests", "test", "benchmarks"}  # which some wheels bring by mistake, and the tree has too
_VERSION = re.compile(r"v?(\d+(\.\d+)*)")


class Environments:
    """Builds of a project's commits and of its working tree, kept in the user's cache.

    Parameters
    ----------
    checkout : Checkout
    settings : Settings
    say : callable
        Told what is built.
    """

    def __init__(self, checkout: Checkout, settings: Settings, say: Callable[[str], None]) -> None:
        self._checkout, self._settings, self._say = checkout, settings, say
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        name = f"{checkout.root.name}-{digest(str(checkout.root))}"
        self.folder = Path(cache).expanduser() / "cnnx" / "bench" / name
        self._python = self._interpreter()

    def build(self, revision: str | None) -> Build:
        """The environment of a commit, or of the working tree as it is now (None), made if it is not there yet.

        Raises
        ------
        BuildError
            The project or what it depends on cannot be built or installed.
        """
        name = self._checkout.name(revision)
        with self._checkout.tree(revision) as tree:
            of_wheel = digest(tree.name, self._settings.build, self._version(), compiler())
            wheels = self.folder / "wheels" / of_wheel

            def make_wheel(folder: Path) -> None:
                self._say(f"building {name}")
                self._wheel(tree, folder, name)

            def make_environment(folder: Path) -> None:
                wheel = _only_wheel(kept(wheels, make_wheel, KEPT_WHEELS))
                self._say(f"installing {name}")
                self._install(wheel, folder, name)

            needed = self._needed()
            key = digest(of_wheel, needed, self._settings.inherit and sys.prefix)
            return Build(name, kept(self.folder / "environments" / key, make_environment, KEPT_ENVIRONMENTS))

    def _needed(self) -> list[str]:
        """What is installed beside the wheel, where it is not inherited."""
        settings = self._settings
        named = {re.split(r"[^\w.-]", one, maxsplit=1)[0].lower() for one in settings.dependencies}
        tools = [one for one in FOR_PYTEST if settings.pytest and one not in named]
        return [*settings.dependencies, *tools]

    def _interpreter(self) -> str:
        python = self._settings.python
        if not python:
            return sys.executable
        found = shutil.which(os.path.expanduser(python))
        if found is None:
            raise BuildError(f"python: expected an interpreter, got {python!r}, which is not there")
        return found

    def _version(self) -> str:
        found = run([self._python, "-VV"], self._checkout.root).strip()
        numbers = re.match(r"Python 3\.(\d+)", found)
        if numbers is None or int(numbers[1]) < OLDEST:
            raise BuildError(f"python: expected Python 3.{OLDEST} or newer, got {found!r} of {self._python}")
        return found

    def _wheel(self, tree: Tree, folder: Path, name: str) -> None:
        with tempfile.TemporaryDirectory() as sources:
            self._checkout.export(tree, Path(sources))
            if self._settings.build:
                command = [
                    word.replace("{python}", self._python).replace("{wheels}", str(folder))
                    for word in shlex.split(self._settings.build)
                ]
            else:
                command = [*self._pip(self._python), "wheel", "--no-deps", "--wheel-dir", str(folder), "."]
            self._run(command, Path(sources), f"{name} cannot be built")
        _only_wheel(folder)

    def _install(self, wheel: Path, folder: Path, name: str) -> None:
        self._run([self._python, "-m", "venv", "--without-pip", str(folder)], folder, "no environment can be made")
        python = folder / "bin" / "python"
        where = run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
        if self._settings.inherit:
            lines = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
            Path(where, "_inherited.pth").write_text("\n".join(lines) + "\n")
        command = [*self._pip(str(python)), "install", "--no-warn-script-location", str(wheel), *self._needed()]
        self._run(command, folder, f"{name} cannot be installed")
        about = {"wheel": wheel.name, "packages": packages(wheel), "site": os.path.relpath(where, folder)}
        Path(folder, ABOUT).write_text(json.dumps(about))

    def _pip(self, python: str) -> list[str]:
        """pip, of this environment, for an interpreter."""
        if importlib.util.find_spec("pip") is None:
            raise BuildError("building needs pip: python -m ensurepip")
        return [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--no-input"]

    def _run(self, command: Sequence[str], folder: Path, what: str) -> None:
        """Raise a BuildError with the line that tells most, and where all the others are."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment.setdefault("SETUPTOOLS_SCM_PRETEND_VERSION", self._pretended())  # the sources are without git
        try:
            with tempfile.TemporaryDirectory() as temporary:  # pip that is killed by Ctrl-C leaves folders behind
                run(list(command), folder, {**environment, "TMPDIR": temporary})
        except OSError as error:
            raise BuildError(f"{what}: {error}") from None
        except BuildError as error:
            log = self.folder / "build.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(error.output)
            lines = [line.strip() for line in error.output.splitlines() if line.strip()]
            telling = [line for line in lines if "error" in line.lower()] or lines or [str(error)]
            raise BuildError(f"{what}: {telling[-1]} (all that was said: {log})") from None

    def _pretended(self) -> str:
        """A version for build tools that would ask git."""
        try:
            found = _VERSION.search(self._checkout.git("describe", "--tags", "--abbrev=0"))
        except BuildError:
            found = None
        return found[1] if found else "0"


def packages(wheel: Path) -> list[str]:
    """The top-level modules that a wheel brings."""
    with zipfile.ZipFile(wheel) as file:
        names = [re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", name) for name in file.namelist()]
    tops = {name.split("/")[0] for name in names if not re.match(r"[^/]+\.(dist-info|data)/", name)}
    found = {top.split(".")[0] for top in tops if "." not in top or top.endswith((".py", ".so", ".pyd"))}
    return sorted(found - _NEVER)


def _only_wheel(folder: Path) -> Path:
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise BuildError(f"build: expected one wheel in {{wheels}}, got {names}")
    return found[0]
