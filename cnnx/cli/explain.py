"""Explain one element of an op's output or gradient: its equation, with this element's indices and numbers.

Exit code 0: explained; 2: usage.
"""

import argparse
import ast
import inspect
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np

from cnnx import backend
from cnnx._text import expected_one_of
from cnnx.audit import DTYPES, explain
from cnnx.audit.data import draw, draw_like, shape_of
from cnnx.audit.spot.benchdnn import OPS as WITH_NOTATION
from cnnx.audit.spot.benchdnn import parse
from cnnx.audit.trace import KernelCall, address, backward_arguments, first, forward_arguments, traced
from cnnx.lang import text
from cnnx.ops import OPS, Case, Draw, Op

from ._language import add_language

ARRAYS = tuple(dict.fromkeys(name for op in OPS for case in op.cases for name in case.arrays))
OPTIONS = tuple(dict.fromkeys(name for op in OPS for case in op.cases for name in case.options))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx explain`."""
    add = parser.add_argument
    add("op", metavar="OP", help=f"one of {', '.join(op.name for op in OPS)}")
    add("--at", metavar="I,J,...", help="the element's index (default: the first)")
    add("--of", metavar="NAME", help="what it is an element of: Y (the default), dZ, dF, db, ...")
    add("--case", metavar="NAME", help="one of the op's cases (default: the first of more than one element)")
    add("--shape", metavar="TEXT", help=f"in benchdnn's notation, for {', '.join(WITH_NOTATION)}")
    add("--data", choices=("integer", "real"), default="integer", help="what numbers are drawn (default integer)")
    add("--dtype", choices=DTYPES, default="float64", help="of the arrays (default float64)")
    add("--seed", type=int, default=0, metavar="N", help="every random number comes from it (default 0)")
    add("--backend", default="optimized", metavar="NAME", help="whose number is shown beside (default optimized)")
    add("--all", action="store_true", help="write out every term")
    add("--json", action="store_true", help="print JSON")
    add_language(parser)
    shapes = parser.add_argument_group("shapes of arrays", "as 1,1,5,5; the op's own, in the place of the case's")
    for name in ARRAYS:
        shapes.add_argument(f"--{name.replace('_', '-')}", dest=f"array_{name}", metavar="N,...")
    options = parser.add_argument_group("options of the op", "as its function takes them: 2, (1,2), same, True")
    for name in OPTIONS:
        options.add_argument(f"--{name.replace('_', '-')}", dest=f"option_{name}", metavar="VALUE")


def run(arguments: argparse.Namespace) -> int:
    """Explain, print, and return the exit code."""
    if arguments.seed < 0:
        raise ValueError(f"--seed: expected an integer of at least 0, got {arguments.seed}")
    op = next((op for op in OPS if op.name == arguments.op), None)
    if op is None:
        raise ValueError(f"OP: {expected_one_of((op.name for op in OPS), arguments.op)}")
    if not op.kernels:
        raise ValueError(
            f"{op.name}: it computes nothing to be explained, it only moves numbers; see cnnx equations {op.name}"
        )
    case = _case(op, arguments)
    call, output, public = _asked(_calls(op, case, arguments), op, arguments.of)
    array = call.outputs[list(backend.equations(call.kernel)).index(output)]
    index = _index(arguments.at, output, array, public)
    explanation = explain(call.kernel, output, call.inputs, index, call.numbers)
    got = float(array[index])
    shapes = {name: shape_of(case, name) for name in case.arrays}
    if arguments.json:
        head = {"schema": 1, "op": op.name, "case": case.name, "arrays": shapes, "options": dict(case.options)}
        head |= {name: getattr(arguments, name) for name in ("data", "seed", "dtype", "backend")}
        print(json.dumps(_finite({**head, "got": got, **explanation.as_dict()}), indent=2))
        return 0
    words = [f"{name} {shape}" for name, shape in shapes.items()]
    words += [f"{name} {value}" for name, value in case.options.items()]
    drawn = text(f"explain.numbers.{arguments.data}")
    print(
        text(
            "explain.head",
            op=op.name,
            words=", ".join(words),
            numbers=drawn,
            dtype=arguments.dtype,
            seed=arguments.seed,
        )
    )
    print(explanation.text(every=arguments.all))
    value = float(explanation.value)
    print("\n  " + text("explain.beside", backend=arguments.backend, got=repr(got), value=repr(value)))
    return 0


# -------------------------------------------------------------------------------- what is asked for


def _case(op: Op, arguments: argparse.Namespace) -> Case:
    """The case of the command line: a problem, or one of the op's with other shapes and options."""
    arrays = _given(op, arguments, "array", ARRAYS, {name for case in op.cases for name in case.arrays})
    options = _given(op, arguments, "option", OPTIONS, {name for case in op.cases for name in case.options})
    if arguments.shape is not None:
        if arrays or options or arguments.case:
            raise ValueError("--shape: expected no case, array or option beside it")
        if op.name not in WITH_NOTATION:
            raise ValueError(f"--shape: expected one of {', '.join(WITH_NOTATION)}, got {op.name}; give --x instead")
        return parse(arguments.shape, op.name).case
    cases = {case.name: case for case in reversed(op.cases)}
    if arguments.case is None:
        case = next(c for c in op.cases if max(math.prod(shape_of(c, name)) for name in c.arrays) > 1)
    elif arguments.case in cases:
        case = cases[arguments.case]
    else:
        raise ValueError(f"--case: {expected_one_of((c.name for c in op.cases), arguments.case)}")
    if not arrays and not options:
        return case
    specs = dict(case.arrays)
    optional = {name for name, p in inspect.signature(op.forward).parameters.items() if p.default is not p.empty}
    if arrays:  # a bias of the case's own shape would not fit
        specs = {name: spec for name, spec in specs.items() if name in arrays or name not in optional}
    for name, value in arrays.items():
        specs[name] = _respec(op, name, case, _shape(name, value))
    return replace(case, arrays=specs, options={**case.options, **{name: _value(v) for name, v in options.items()}})


def _given(op: Op, arguments: argparse.Namespace, kind: str, names: tuple[str, ...], known: set[str]) -> dict[str, str]:
    given = {name: value for name in names if (value := getattr(arguments, f"{kind}_{name}")) is not None}
    for name in given:
        if name not in known:
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise ValueError(f"--{name.replace('_', '-')}: {op.name} has no such {kind}; {has}")
    return given


def _shape(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in text.strip("()").split(",") if n.strip())
    except ValueError:
        raise ValueError(f"--{name}: expected a shape such as 1,1,5,5, got {text!r}") from None


def _respec(op: Op, name: str, case: Case, shape: tuple[int, ...]) -> Draw | tuple[int, ...]:
    """The same kind of numbers in another shape."""
    if any(n < 0 for n in shape):
        raise ValueError(f"--{name}: expected extents of at least 0, got {shape}")
    spec = next(c.arrays[name] for c in (case, *op.cases) if name in c.arrays)
    return replace(spec, shape=shape) if isinstance(spec, Draw) else shape


def _value(text: str) -> Any:
    """An option as Python has it; what is no literal is a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _calls(op: Op, case: Case, arguments: argparse.Namespace) -> list[tuple[KernelCall, Any]]:
    """The kernel calls of the case, forward and backward, each with what its public function returned."""
    rng, dtype, mode = np.random.default_rng(arguments.seed), arguments.dtype, arguments.data
    try:
        arrays = draw(op, case, dtype, mode, rng)
        forward = traced(op.forward, forward_arguments(op, case, arrays), arguments.backend)
        delta = np.ones(1) if op.cost else draw_like(first(forward.result), dtype, mode, rng)
        saved = backward_arguments(op, case, arrays, delta, forward.result)
        backward = traced(op.backward, saved, arguments.backend)
    except (ValueError, NotImplementedError, ImportError):
        raise
    except Exception as error:  # the command line is to blame, or a back end
        raise ValueError(f"{op.name}: {type(error).__name__}: {error}") from None
    return [(call, trace.result) for trace in (forward, backward) for call in trace.calls]


def _asked(calls: list[tuple[KernelCall, Any]], op: Op, of: str | None) -> tuple[KernelCall, str, tuple[int, ...]]:
    """The call that computes what is asked for, its output's name and the shape in which the public function has it."""
    outputs: dict[str, tuple[KernelCall, str, tuple[int, ...]]] = {}
    for call, result in calls:
        for name, array in zip(backend.equations(call.kernel), call.outputs, strict=True):
            given = [r for r in (result if isinstance(result, tuple) else (result,)) if isinstance(r, np.ndarray)]
            same = [r.shape for r in given if r.size and address(r) == address(array)]
            outputs.setdefault(name, (call, name, same[0] if same else array.shape))
    # The output proper is what the op's last forward kernel writes first: batch norm's Y, after mean and var.
    wanted = of or ("Y" if "Y" in outputs else next(iter(outputs)))
    if wanted not in outputs:
        raise ValueError(f"--of: expected one of {', '.join(outputs)} for this case of {op.name}, got {of!r}")
    return outputs[wanted]


def _index(text: str | None, output: str, array: np.ndarray[Any, Any], public: tuple[int, ...]) -> tuple[int, ...]:
    """The element's index in the kernel's array: kernels of activations see flat arrays, softmax's three axes."""
    if array.size == 0:
        raise ValueError(f"{output} of shape {public} has no elements")
    if text is None:
        return (0,) * array.ndim
    try:
        index = tuple(int(i) for i in text.strip("()[]").split(",") if i.strip())
    except ValueError:
        raise ValueError(f"--at: expected whole numbers such as 0,0,1,2, got {text!r}") from None
    if len(index) != len(public) or not all(0 <= i < n for i, n in zip(index, public, strict=True)):
        raise ValueError(f"--at: expected an index within {output} of shape {public}, got {index}")
    flat = int(np.ravel_multi_index(index, public)) if public else 0
    return tuple(int(i) for i in np.unravel_index(flat, array.shape))


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinities: their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value
