"""A project that is not cnnx, for `cnnx bench --against`: pure Python, flat, with a build backend of its own."""

import subprocess

BACKEND = """
import pathlib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    if "broken" in pathlib.Path("toy/__init__.py").read_text():
        raise SystemExit("error: toy/__init__.py: it is broken")
    name, info = "toy-1.0-py3-none-any.whl", "toy-1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as file:
        for path in pathlib.Path("toy").glob("*.py"):
            file.write(path)
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: toy\\nVersion: 1.0\\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr(f"{info}/RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def git(folder, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def toy(folder, settings=""):
    """An empty repository of a project, whose sources are still to be written."""
    (folder / "toy").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    folder.joinpath("backend.py").write_text(BACKEND)
    folder.joinpath("pyproject.toml").write_text(f"{PYPROJECT}\n[tool.cnnx.bench]\n{settings}")
    return folder


def commit(folder, source, words="commit"):
    """A commit with this source, and its name."""
    folder.joinpath("toy/__init__.py").write_text(source)
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", words)
    return git(folder, "rev-parse", "HEAD")[:12]
