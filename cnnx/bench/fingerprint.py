"""What has to be equal for two runs to be comparable, and what else is worth knowing of one."""

import os
import subprocess
import sys
from importlib import metadata

import cnnx

from .. import native

_GIT_OWN = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}  # within a hook they name its repository
COMPARED_WITH = ("numpy", "torch", "onnxruntime")  # packages whose version may explain a figure


def fingerprint() -> dict[str, str]:
    """What the kernels of this process run on and how they were built.

    Returns
    -------
    dict of str
        The processor, the instruction set in use, the number of processors that this process may use, the minor
        version of Python, and the compiler with what was asked of it.

    Raises
    ------
    ImportError
        There are no kernels.

    Examples
    --------
    >>> list(fingerprint())
    ['processor', 'instruction set', 'processors', 'python', 'compiler']
    """
    built = native.build_info()
    compiler = [built["compiler"], f"Cython {built['cython']}"]
    compiler += ["checked"] * built["checked"] + ["without OpenMP"] * (not built["openmp"])
    return {
        "processor": native.processor(),
        "instruction set": native.instruction_set(),
        "processors": str(usable_processors()),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "compiler": ", ".join(compiler),
    }


def usable_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """The versions of Python, cnnx and what it may be measured beside, without importing any.

    Examples
    --------
    >>> list(versions())[:3]
    ['python', 'cnnx', 'numpy']
    """
    found = {"python": sys.version.split()[0], "cnnx": cnnx.__version__}
    for name in COMPARED_WITH:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit_of(folder: str | os.PathLike[str]) -> str:
    """The commit of the sources in a folder, in 12 digits; with "+" behind it if tracked files were changed.

    "" where nobody knows: no git, no checkout, or a folder that lies in a checkout without being part of it, as an
    environment's site-packages do.
    """
    try:
        if not _git(folder, "ls-files", "--", "."):
            return ""
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        return commit + "+" * bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: str | os.PathLike[str], *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_OWN}
    done = subprocess.run(
        ["git", "--no-optional-locks", "-C", os.fspath(folder), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()
