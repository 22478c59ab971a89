"""A finding as one line: what was judged, written as JSON, so that `cnnx audit --repro` judges just that again."""

import ast
import json
import shlex
from collections.abc import Mapping
from typing import Any, get_args

from .. import backend as _backend
from .._text import expected_one_of
from ..ops import Case, Draw, Op
from ..ops._spec import Kind
from . import known
from .sides import Sides, promised

_FIELDS = {"op": str, "check": str, "case": str, "dtype": str, "seed": int}
_SIZES = {"index": ("high",), "sets": ("length",)}  # what a kind of numbers has beside its shape


def command(op: Op, check: str, case: Case, dtype: str, seed: int, sides: Sides) -> str:
    """The command line that judges this case again; of a back end that this process alone knows, the line of Python."""
    own = known.own(sides.backend)
    if own is not None:
        options = {"against": sides.against} if sides.against != "reference" else {}
        options |= {"compat": sides.compat.name} if sides.compat.name else {}
        options |= {"require": check} if check in sides.required and check not in promised(sides.backend) else {}
        return own.command(text(op, check, case, dtype, seed), options)
    if {sides.name, sides.against} & {*_backend.registered_names()}:
        return _python(text(op, check, case, dtype, seed), check, sides)
    words = ["cnnx", "audit", "--backend", sides.name]
    if sides.isolated:
        words.append("--isolated")
    if sides.against != "reference":
        words += ["--against", sides.against]
    if sides.compat.name:
        words += ["--compat", sides.compat.name]
    if check in sides.required and check not in promised(sides.name):
        words += ["--require", check]
    return shlex.join([*words, "--repro", text(op, check, case, dtype, seed)])


def _python(words: str, check: str, sides: Sides) -> str:
    options = {"backend": sides.backend}
    if sides.against != "reference":
        options["against"] = sides.against
    if sides.compat.name:
        options["compat"] = sides.compat.name
    if check in sides.required and check not in promised(sides.backend):
        options["require"] = check
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return f"import cnnx.audit; print(cnnx.audit.again({words!r}, {given}))"


def text(op: Op, check: str, case: Case, dtype: str, seed: int) -> str:
    """What --repro takes. A case that the op has itself is named; any other is written out."""
    fields: dict[str, Any] = {"op": op.name, "check": check, "case": case.name, "dtype": dtype, "seed": seed}
    if case != _own(op, case.name):
        fields["arrays"] = {name: _array(spec) for name, spec in case.arrays.items()}
        fields["options"] = dict(case.options)
        fields["exact"] = case.exact
    return json.dumps(fields, separators=(",", ":"))


def parse(words: str, backend: str = "optimized") -> tuple[Op, str, Case, str, int]:
    """The op, check, case, dtype and seed of a text; ValueError with what is wrong with it."""
    try:
        fields = json.loads(words)
    except ValueError as error:
        raise ValueError(f"--repro: expected JSON as the audit prints it, got {words!r}: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"--repro: expected a JSON object, got {words!r}")
    for name, kind in _FIELDS.items():
        if not isinstance(fields.get(name), kind) or isinstance(fields[name], bool):
            raise ValueError(f"--repro: expected {name!r} to be of type {kind.__name__}, got {fields.get(name)!r}")
    if fields["seed"] < 0:
        raise ValueError(f"--repro: expected 'seed' to be at least 0, got {fields['seed']}")
    ops = known.ops_of(backend)
    op = ops.get(fields["op"])
    if op is None:
        raise ValueError(f"--repro: 'op': {expected_one_of(ops, fields['op'])}")
    return op, fields["check"], _case(op, fields), fields["dtype"], fields["seed"]


def _case(op: Op, fields: Mapping[str, Any]) -> Case:
    if "arrays" not in fields:
        case = _own(op, fields["case"])
        if case is None:
            own = (case.name for case in (*op.cases, *op.bench))
            raise ValueError(f"--repro: 'case' of {op.name}: {expected_one_of(own, fields['case'])}")
        return case
    arrays, options, exact = fields["arrays"], fields.get("options", {}), fields.get("exact", False)
    if not isinstance(arrays, dict) or not isinstance(options, dict) or not isinstance(exact, bool):
        raise ValueError("--repro: expected 'arrays' and 'options' to be objects and 'exact' to be true or false")
    return Case(
        fields["case"],
        {name: _parsed_array(name, spec) for name, spec in arrays.items()},
        {name: _tuples(value) for name, value in options.items()},
        exact,
    )


def _own(op: Op, name: str) -> Case | None:
    """The op's case of that name; those for benchmarks come last."""
    return next((case for case in (*op.cases, *op.bench) if case.name == name), None)


def _array(spec: Draw | tuple[int, ...]) -> Any:
    if not isinstance(spec, Draw):
        return list(spec)
    more = {name: getattr(spec, name) for name in _SIZES.get(spec.kind, ())}
    return {"shape": list(spec.shape), "kind": spec.kind, **more}


def _parsed_array(name: str, spec: Any) -> Draw | tuple[int, ...]:
    shape = spec.get("shape") if isinstance(spec, dict) else spec
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"--repro: expected the shape of {name!r} to be a list of integers of at least 0, got {shape}")
    if not isinstance(spec, dict):
        return tuple(shape)
    kind: Any = spec.get("kind")
    sizes: dict[str, Any] = {key: spec.get(key) for key in _SIZES.get(kind, ())} if kind in get_args(Kind) else {}
    if kind not in get_args(Kind) or any(type(size) is not int or size < 1 for size in sizes.values()):
        raise ValueError(f"--repro: expected a kind of numbers for {name!r} ({', '.join(get_args(Kind))}), got {spec}")
    return Draw(tuple(shape), kind, **sizes)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def words_of(line: str) -> str:
    """What --repro takes, of a line that `command` gave."""
    if line.startswith("import "):
        call = next(node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call) and len(node.args) == 1)
        inner = call.args[0]
        assert isinstance(inner, ast.Call)
        words = ast.literal_eval(inner.args[0])
    else:
        given = shlex.split(line)
        words = given[given.index("--repro") + 1]
    return str(words)
