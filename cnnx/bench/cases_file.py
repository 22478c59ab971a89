"""Reads a file of cases: TOML, checked key by key."""

import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Any, get_args

from .._files import reading
from ..ops import Case, Draw, Op
from ..ops._spec import Kind
from .cases import NETWORK, UPDATE, Cases, Entry, Group, Targets
from .figures import BY_NAME, DIRECTIONS, TOLERANCE
from .record import LIMIT, PEERS

ISAS = ("v2", "v3", "v4", "baseline")
DTYPES = ("float32", "float64")
_OWN = ("op", "direction", "shape", "dtype", "tolerance", "target_ratio")  # a case's keys beside arrays and options
_OF_A_GROUP = ("beside", "target_mean", "cases")


def read(path: str | os.PathLike[str]) -> Cases:
    """The cases of a file.

    Parameters
    ----------
    path : path
        TOML: a table `groups`, by name, each with a table `cases`, by name. A case has what the table `shapes` has
        under its name, or under the one that it gives as `shape`; over that what its group says; over that its own:
        `op`, `direction`, `dtype`, `tolerance` (how far results may be apart, as a share of the largest number),
        `target_ratio`, and the op's arrays and options by name. An array is its shape, or a table of `shape`, `kind`
        and `high` as `cnnx.ops.Draw` has them. A group has also `beside` (whom the targets are about: "torch", another
        peer, or "limit") and `target_mean`, that of the geometric mean. Both targets are tables: by instruction set a
        list, for 1 thread, 2 threads, ....

    Raises
    ------
    ValueError
        It is not TOML, or something in it is not as it has to be: file, key, what was expected and what came.
    OSError
        It cannot be read.
    """
    with reading(path) as file:
        try:
            found = tomllib.loads(file.read().decode())
        except ValueError as error:  # of the text or of its encoding
            raise ValueError(f"{path}: expected TOML, got none ({error})") from None
    source = os.fspath(path)
    _keys(source, found, ("shapes", "groups"))
    shapes = _tables(f"{source}: shapes", found.get("shapes", {}))
    groups = _tables(f"{source}: groups", found.get("groups", {}))
    if not groups:
        raise ValueError(f"{source}: groups: expected at least one table [groups.NAME], got none")
    found_groups = [_group(source, name, table, shapes) for name, table in groups.items()]
    for key, count in Counter(entry.key for group in found_groups for entry in group.entries).items():
        if count > 1:
            raise ValueError(f'{source}: groups: expected each "group case" once, got {key!r} {count} times')
    return Cases(source, found_groups)


def _group(source: str, name: str, table: dict[str, Any], shapes: dict[str, dict[str, Any]]) -> Group:
    where = f"{source}: groups.{name}"
    beside = _one_of(f"{where}.beside", table.get("beside", PEERS[0]), (*PEERS, LIMIT))
    cases = _tables(f"{where}.cases", table.get("cases", {}))
    if not cases:
        raise ValueError(f"{where}.cases: expected at least one case, got none")
    common = {key: value for key, value in table.items() if key not in _OF_A_GROUP}
    entries = []
    for case, own in cases.items():
        shape = own.get("shape", case)
        if "shape" in own:
            _one_of(f"{where}.cases.{case}.shape", shape, shapes)
        merged = {**shapes.get(shape, {}), **common, **own}
        layers = [layer["target_ratio"] for layer in (common, own) if "target_ratio" in layer]
        targets = [_targets(f"{where}.cases.{case}.target_ratio", layer) for layer in layers]
        merged["target_ratio"] = {isa: numbers for each in targets for isa, numbers in each.items()}
        entries.append(_entry(f"{where}.cases.{case}", name, case, merged))
    return Group(name, beside, _targets(f"{where}.target_mean", table.get("target_mean", {})), tuple(entries))


def _entry(where: str, group: str, name: str, found: dict[str, Any]) -> Entry:
    op_name = _one_of(f"{where}.op", found.get("op"), (*BY_NAME, NETWORK))
    op = BY_NAME.get(op_name)
    directions = (UPDATE,) if op is None else _directions(op)
    direction = _one_of(f"{where}.direction", found.get("direction", directions[0]), directions)
    tolerance = found.get("tolerance", TOLERANCE)
    if not isinstance(tolerance, float) or not 0 < tolerance < 1:
        raise ValueError(f"{where}.tolerance: expected a number between 0 and 1, as 1e-4, got {tolerance!r}")
    known_arrays, known_options = _arguments(op)
    _keys(where, found, (*_OWN, *known_arrays, *known_options))
    arrays = {key: _array(f"{where}.{key}", value) for key, value in found.items() if key in known_arrays}
    options = {key: _tuples(value) for key, value in found.items() if key in known_options}
    for key in ["x"] if op is None else _needed(op):
        if key not in arrays:
            raise ValueError(f"{where}.{key}: expected the shape of an array of {op_name}, got none")
    dtype = _one_of(f"{where}.dtype", found.get("dtype", DTYPES[0]), DTYPES)
    return Entry(group, name, op_name, direction, Case(name, arrays, options), dtype, tolerance, found["target_ratio"])


def _directions(op: Op) -> tuple[str, ...]:
    """Public calls, gradients that have a kernel of their own, and for a cost both calls in one."""
    gradients = (kernel.removeprefix(f"{op.name}_") for kernel in op.kernels if kernel.startswith(f"{op.name}_grad_"))
    return (*DIRECTIONS, *gradients, *(["both"] if op.cost else []))


def _arguments(op: Op | None) -> tuple[list[str], list[str]]:
    """The names of an op's arrays and of its options."""
    if op is None:
        return ["x"], []
    arrays = list(dict.fromkeys(name for case in (*op.cases, *op.bench) for name in case.arrays))
    options = {name for function in (op.forward, op.backward) for name in signature(function).parameters}
    return arrays, sorted(options - {*arrays, "grad_output", "winners", "return_winners", "backend"})


def _needed(op: Op) -> list[str]:
    """The arrays that its forward function has no default for."""
    arrays, _ = _arguments(op)
    parameters = signature(op.forward).parameters
    return [name for name in arrays if name in parameters and parameters[name].default is parameters[name].empty]


def _array(where: str, value: Any) -> tuple[int, ...] | Draw:
    if not isinstance(value, dict):
        return _extents(where, value)
    _keys(where, value, ("shape", "kind", "high"))
    kind = _one_of(f"{where}.kind", value.get("kind", "number"), get_args(Kind))
    high = value.get("high", 0)
    if type(high) is not int or high < (kind == "index"):
        raise ValueError(f"{where}.high: expected an integer of at least {int(kind == 'index')}, got {high!r}")
    return Draw(_extents(f"{where}.shape", value.get("shape")), kind, high)


def _extents(where: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(type(n) is int and n > 0 for n in value):
        raise ValueError(f"{where}: expected a shape, as [8, 64, 56, 56], got {value!r}")
    return tuple(value)


def _targets(where: str, value: Any) -> Targets:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a table, as {{ v4 = [1.5, 1.2] }}, got {value!r}")
    _keys(where, value, ISAS)
    for isa, numbers in value.items():
        if not isinstance(numbers, list) or not numbers or not all(type(n) is float and n > 0 for n in numbers):
            raise ValueError(f"{where}.{isa}: expected ratios on 1 thread, 2, ..., as [1.5, 1.2], got {numbers!r}")
    return {isa: tuple(numbers) for isa, numbers in value.items()}


def _tables(where: str, value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise ValueError(f"{where}: expected a table of tables, got {value!r}")
    return value


def _one_of(where: str, value: Any, allowed: Iterable[str]) -> Any:
    if value not in (allowed := list(allowed)):
        raise ValueError(
            f"{where}: expected one of {', '.join(allowed)}, got {'none' if value is None else repr(value)}"
        )
    return value


def _keys(where: str, found: Mapping[str, Any], allowed: Iterable[str]) -> None:
    for key in found:
        if key not in (allowed := list(allowed)):
            raise ValueError(f"{where}: expected some of {', '.join(allowed)}, got {key!r}")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
