"""The command `cnnx`: one module per subcommand.

A subcommand's module has a docstring whose first line is its help, `add_arguments(parser)` and
`run(arguments) -> exit code`. Exit codes: 0 all is well, 1 a problem was found, 2 the command could
not do what was asked, 3 nothing ran, 130 interrupted by Ctrl-C, 141 nobody reads the output.
"""

import argparse
import importlib
import io
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import cnnx
from cnnx.lang import speaking, text, translated

from ._language import asked_language

COMMANDS = (
    "audit",
    "check",
    "compat",
    "explain",
    "equations",
    "pages",
    "train",
    "experiment",
    "bench",
    "digest",
    "doctor",
)
IN_LANGUAGES = "check", "explain", "equations", "train"  # those with --lang


class _Parser(argparse.ArgumentParser):
    """Wrong arguments are one line, as all errors are, and no option is taken for another that begins like it."""

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if argv is None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # escape what its encoding lacks, as in LANG=C
                stream.reconfigure(errors="backslashreplace")
    try:
        with speaking(_language(arguments)):
            return _spoken(arguments)
    except ValueError as error:  # --lang
        print(f"cnnx: error: {_one_line(error)}", file=sys.stderr)
        return 2


def _language(arguments: Sequence[str]) -> str | None:
    """What --lang asks for; only of a command that has it, as others may hand it on."""
    return asked_language(list(arguments)) if any(a in IN_LANGUAGES for a in arguments[:1]) else None


def _spoken(arguments: Sequence[str]) -> int:
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a closed pipe can still be handled
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Python flushes once more when it exits, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, NotImplementedError, ImportError, RuntimeError) as error:
        words = translated(_one_line(error), "errors")
        print(f"cnnx: {text('errors.error')}: {words}", file=sys.stderr)
        return 2


def _run(arguments: Sequence[str]) -> int:
    try:
        parsed = _parser(arguments).parse_args(arguments)
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    parsed.command = shlex.join(["cnnx", *arguments])  # for reports
    code: int = parsed.run(parsed)
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="cnnx", description=cnnx.__doc__)
    parser.add_argument("--version", action="version", version=f"cnnx {cnnx.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    # Only what is asked for is imported: `cnnx doctor` has to work where another command's imports fail.
    asked = next((a for a in arguments if not a.startswith("-")), None)
    for name in (asked,) if asked in COMMANDS else COMMANDS:
        try:
            module = importlib.import_module(f"cnnx.cli.{name}")
        except ImportError as error:
            if name == asked:
                raise
            commands.add_parser(name, help=f"not available: {error}")
            continue
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
