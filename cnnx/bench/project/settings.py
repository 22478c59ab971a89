"""What a project says of its benchmarks: `[tool.cnnx.bench]` of its pyproject.toml, checked key by key."""

import itertools
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..._files import reading
from ..record import BASE, LIMIT, REFERENCE

FILE = "pyproject.toml"
BUDGET = 0.05  # of figures that the file says nothing of
_KEYS = ("functions", "pytest", "pytest_options", "build", "python", "dependencies", "inherit", "budget", "budgets")
_OF_A_FUNCTION = ("call", "name", "parameters", "setup", "setup_each_call", "yardsticks")
SIDES = ("tree", BASE)
_CALL = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_EXAMPLE = '"module:function"'


@dataclass(frozen=True)
class Function:
    """A figure: a function with one choice of its parameters.

    call, setup : "module:function". What `setup(**parameters)` returns is what `call` gets: a tuple by position, a
        dict by name, anything else alone, None nothing. Without a setup `call` gets the parameters.
    each : the setup is called again, and not timed, before each call.
    yardsticks : by name, what takes turns with it in place of `call`: another function, or a copy of so many bytes.
    """

    name: str
    call: str | int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    setup: str | None = None
    each: bool = False
    yardsticks: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What is measured of a project, and how it is built.

    pytest : a folder or file of tests that use the fixture `benchmark`.
    pytest_options : for pytest, as the project's own `addopts` are left out.
    build : the command that writes one wheel into {wheels}; {python} is the interpreter. "": pip wheel.
    python : the interpreter; "": the one that runs cnnx.
    dependencies : what benchmarks need beside the project's own.
    inherit : packages of the environment that runs cnnx can be imported too.
    budget, budgets : how much slower counts: of all figures, and of some by name.
    """

    functions: tuple[Function, ...] = ()
    pytest: str = ""
    pytest_options: tuple[str, ...] = ()
    build: str = ""
    python: str = ""
    dependencies: tuple[str, ...] = ()
    inherit: bool = False
    budget: float = BUDGET
    budgets: Mapping[str, float] = field(default_factory=dict)


def read(root: Path) -> Settings:
    """The settings of the project in a folder; the defaults where its file has none.

    Raises
    ------
    ValueError
        The file is not TOML, or something in it is not as it has to be: key, what was expected and what came.
    """
    path = root / FILE
    if not path.exists():
        return Settings()
    with reading(path) as file:
        try:
            found = tomllib.loads(file.read().decode())
        except ValueError as error:  # of the text or of its encoding
            raise ValueError(f"{path}: expected TOML, got none ({error})") from None
    where = f"{path}: tool.cnnx.bench"
    table: Any = found
    for name in ("tool", "cnnx", "bench"):
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise ValueError(f"{where}: expected a table, got {table!r}")
    return _settings(where, table)


def _settings(where: str, table: dict[str, Any]) -> Settings:
    _keys(where, table, _KEYS)
    functions = table.get("functions", [])
    if not isinstance(functions, list):
        raise ValueError(f"{where}.functions: expected a list of {_EXAMPLE} and tables, got {functions!r}")
    found = [one for i, each in enumerate(functions) for one in _functions(f"{where}.functions[{i}]", each)]
    for name, count in Counter(one.name for one in found).items():
        if count > 1:
            raise ValueError(f"{where}.functions: expected each name once, got {name!r} {count} times: give a name")
    inherit = table.get("inherit", False)
    if not isinstance(inherit, bool):
        raise ValueError(f"{where}.inherit: expected true or false, got {inherit!r}")
    budgets = table.get("budgets", {})
    if not isinstance(budgets, dict):
        raise ValueError(f"{where}.budgets: expected a table of numbers by figure, got {budgets!r}")
    return Settings(
        functions=tuple(found),
        pytest=_word(f"{where}.pytest", table.get("pytest", "")),
        pytest_options=_words(f"{where}.pytest_options", table.get("pytest_options", [])),
        build=_command(f"{where}.build", table.get("build", "")),
        python=_word(f"{where}.python", table.get("python", "")),
        dependencies=_words(f"{where}.dependencies", table.get("dependencies", [])),
        inherit=inherit,
        budget=_share(f"{where}.budget", table.get("budget", BUDGET)),
        budgets={name: _share(f"{where}.budgets.{name}", number) for name, number in budgets.items()},
    )


def _functions(where: str, found: Any) -> list[Function]:
    """One for each choice of the parameters."""
    if isinstance(found, str):
        found = {"call": found}
    if not isinstance(found, dict):
        raise ValueError(f"{where}: expected {_EXAMPLE} or a table, got {found!r}")
    _keys(where, found, _OF_A_FUNCTION)
    call = _call(f"{where}.call", found.get("call"))
    setup = found.get("setup")
    if setup is not None:
        _call(f"{where}.setup", setup)
    each = found.get("setup_each_call", False)
    if not isinstance(each, bool) or (each and setup is None):
        raise ValueError(f"{where}.setup_each_call: expected true or false, and a setup, got {each!r}")
    parameters = found.get("parameters", {})
    if not isinstance(parameters, dict):
        raise ValueError(f"{where}.parameters: expected a table, got {parameters!r}")
    choices = {name: value if isinstance(value, list) else [value] for name, value in parameters.items()}
    for name, values in choices.items():
        if not values:
            raise ValueError(f"{where}.parameters.{name}: expected a value or a list of some, got an empty one")
    yardsticks = _yardsticks(f"{where}.yardsticks", found.get("yardsticks", {}))
    name = _word(f"{where}.name", found.get("name", call))
    if not name:
        raise ValueError(f"{where}.name: expected a name, got none")
    made = []
    for choice in itertools.product(*choices.values()):
        chosen = dict(zip(choices, choice, strict=True))
        shown = ", ".join(f"{key}={value!r}" for key, value in chosen.items())
        made.append(Function(f"{name}[{shown}]" if shown else name, call, chosen, setup, each, yardsticks))
    return made


def _yardsticks(where: str, found: Any) -> dict[str, str | int]:
    if not isinstance(found, dict):
        raise ValueError(f"{where}: expected a table, got {found!r}")
    for name, value in found.items():
        if name in (*SIDES, LIMIT, REFERENCE):
            raise ValueError(f"{where}: expected another name than {name!r}, which has a meaning of its own")
        if isinstance(value, bool) or not isinstance(value, int):
            _call(f"{where}.{name}", value)
        elif value <= 0:
            raise ValueError(f"{where}.{name}: expected a number of bytes above 0, got {value}")
    return found


def _call(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _CALL.fullmatch(value):
        raise ValueError(f"{where}: expected {_EXAMPLE}, got {'none' if value is None else repr(value)}")
    return value


def _command(where: str, value: Any) -> str:
    build = _word(where, value)
    if build and "{wheels}" not in build:
        raise ValueError(f"{where}: expected a command with {{wheels}}, where the wheel has to be, got {build!r}")
    try:
        shlex.split(build)
    except ValueError as error:
        raise ValueError(f"{where}: expected a command, quoted as for a shell, got {build!r} ({error})") from None
    return build


def _word(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected text, got {value!r}")
    return value


def _words(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{where}: expected a list of text, got {value!r}")
    return tuple(value)


def _share(where: str, value: Any) -> float:
    if not isinstance(value, float) or not 0 < value < 1:
        raise ValueError(f"{where}: expected a number between 0 and 1, as 0.05, got {value!r}")
    return value


def _keys(where: str, found: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for key in found:
        if key not in allowed:
            raise ValueError(f"{where}: expected some of {', '.join(allowed)}, got {key!r}")
