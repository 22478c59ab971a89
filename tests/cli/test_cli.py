"""The frame of the command line: exit codes, one line per error, no tracebacks."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import cnnx
from cnnx import cli

pytestmark = pytest.mark.once


def run(*arguments, code=None, **environment):
    """`python -m cnnx arguments` in a process of its own; `code` is run before, to put a command in place."""
    program = textwrap.dedent(code) if code else ""
    program += "\nimport sys, cnnx.cli; sys.exit(cnnx.cli.main())"
    return subprocess.run(
        [sys.executable, *(["-c", program] if code else ["-m", "cnnx"]), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


# A command that does what a test needs, in the place of `cnnx train`.
FAKE = """
    import sys, types
    module = types.ModuleType("cnnx.cli.train", "A fake command.")
    module.add_arguments = lambda parser: parser.add_argument("--number", type=int, default=0)
    def run(arguments):
        {body}
        return arguments.number
    module.run = run
    sys.modules["cnnx.cli.train"] = module
"""


def fake(body, *arguments):
    return run("train", *arguments, code=FAKE.format(body=body))


def assert_one_line(done, *, says):
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cnnx: error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("doctor",),
        ("audit", "--op", "step", "--no-speed"),
        ("train", "ox", "--updates", "5"),
        ("digest", "--op", "step"),
    ],
)
def test_no_connection_is_opened(arguments):
    code = """
    import socket, sys

    def hook(event, arguments):
        if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
            raise RuntimeError(f"a connection: {event}")

    sys.addaudithook(hook)
    """
    done = run(*arguments, code=code)
    assert done.returncode == 0, done.stderr
    done = run(*arguments, code=f"{code}\n    socket.create_connection(('127.0.0.1', 9))")
    assert "a connection: socket.getaddrinfo" in done.stderr


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"cnnx {cnnx.__version__}\n", "")


def test_help_names_every_command():
    done = run("--help")
    assert done.returncode == 0
    for name in cli.COMMANDS:
        assert re.search(rf"^    {name}\s", done.stdout, re.MULTILINE)  # behind a long name its help takes a new line
    assert "not available" not in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command(name):
    done = run(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: cnnx {name} ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "COMMAND"),
        (("nosuch",), "nosuch"),
        (("doctor", "--nosuch"), "--nosuch"),
        (("--nosuch", "doctor"), "--nosuch"),
        (("doctor", "more"), "more"),
    ],
)
def test_wrong_usage(arguments, says):
    assert_one_line(run(*arguments), says=says)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_exit_code_is_the_commands(code):
    assert fake("pass", "--number", str(code)).returncode == code


def test_wrong_option_of_a_command():
    assert_one_line(fake("pass", "--number", "one"), says="--number: invalid int value: 'one'; see cnnx train --help")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('raise ValueError("expected this,\\n got that")', "expected this, got that\n"),
        ('raise NotImplementedError("no kernel")', "no kernel\n"),
        ('raise ImportError("pip install cnnx[plot]")', "pip install cnnx[plot]\n"),
        ('raise RuntimeError("no OpenMP")', "no OpenMP\n"),
        ('open("/no/such/file")', "/no/such/file: No such file or directory\n"),
        ("raise ValueError", "ValueError\n"),
    ],
)
def test_expected_errors_are_one_line(body, says):
    assert_one_line(fake(body), says=says)


def test_a_mistake_of_ours_keeps_its_traceback():
    done = fake("None.nothing")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_control_c_is_quiet():
    done = fake("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")


@pytest.mark.parametrize(("start", "quiet"), [("-m", True), ("cnnx", True), ("program.py", False)])
def test_control_c_while_numpy_is_imported(tmp_path, start, quiet):
    """Of the command it is quiet; a program that imports cnnx hears of it."""
    (tmp_path / "numpy.py").write_text("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(30)")
    (tmp_path / start).write_text("import cnnx.cli")
    program = ["-m", "cnnx"] if start == "-m" else [str(tmp_path / start)]
    path = os.pathsep.join([str(tmp_path), str(Path(cnnx.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, *program, "doctor"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert (done.returncode, done.stderr == "") == ((130, True) if quiet else (-signal.SIGINT, False))


def test_closed_pipe_is_quiet():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        command = [sys.executable, "-m", "cnnx", "doctor"]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_characters_that_the_terminal_lacks_are_escaped(encoding):
    """M17's title is Japanese; LANG=C and Windows' code pages lack it."""
    done = run("equations", "M17", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("M17: \\u7573\\u307f")
    assert run("equations", "M17", PYTHONIOENCODING="utf-8").stdout.startswith("M17: \u7573\u307f")


@pytest.mark.parametrize("op", ["affine", "sigmoid"])
def test_explain_without_docstrings_says_so(op):
    command = [sys.executable, "-OO", "-m", "cnnx", "explain", op]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -OO removes those" in done.stdout
    assert "None" not in done.stdout
    assert "the equation in doubles: " in done.stdout


def test_only_the_command_asked_for_is_imported():
    code = 'import sys; sys.modules["cnnx.cli.audit"] = sys.modules["cnnx.cli.train"] = None'  # import fails
    assert run("doctor", "--help", code=code).returncode == 0
    assert_one_line(run("train", code=code), says="cnnx.cli.train")
    listing = run("--help", code=code)
    assert listing.returncode == 0
    assert listing.stdout.count("not available") == 2


def test_main_returns_the_code(capsys):
    assert cli.main(["--version"]) == 0
    assert cli.main(["nosuch"]) == 2
    assert capsys.readouterr().err.startswith("cnnx: error: ")


def test_options_are_not_abbreviated():
    done = run("explain", "conv2d", "--pad", "3")
    assert done.returncode == 2
    assert "--pad" in done.stderr
