"""What `kernel` is told, checked: dtypes, layouts, arguments, what a function is limited to."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..._text import expected_one_of
from .._signature import signature
from ..kinds import HALVES, numbers
from . import names
from .layout import Layout
from .names import Signature

DTYPES = ("float16", "bfloat16", "float32", "float64")
IN_INTS = "int("
MOST_VALUES = 4  # that are named


def name(value: str) -> str:
    return value[len(IN_INTS) : -1] if value.startswith(IN_INTS) and value.endswith(")") else value


def dtypes(
    dtype: Any, accumulator: str | None, arrays: Collection[str], outputs: Collection[str], *, indices: bool
) -> tuple[tuple[str, ...], dict[str, str], dict[str, str]]:
    """The dtypes that inputs may have, those of arrays that have one of their own, and the accumulators."""
    kinds: dict[str, str] = {}
    if isinstance(dtype, Mapping):
        for array in dtype:
            if array not in arrays:
                raise ValueError(f"dtype: {expected_one_of(arrays, array)}")
        first = next(iter(arrays))
        for array in (names.KINDS.keys() & dtype.keys()) - {None}:
            raise ValueError(f"dtype: expected none of {array!r}, which is of {names.KINDS[array]}")
        if first not in dtype:
            raise ValueError(f"dtype: expected that of {first!r} among them, got {', '.join(dtype)}")
        kinds, dtype = dict(dtype), dtype[first]
    dtypes = (dtype,) if isinstance(dtype, str) else tuple(dtype)
    said = [accumulator] if accumulator is not None else []
    real = [kind for array, kind in kinds.items() if not (array == "target" and indices and kind in names.INDICES)]
    for where, kind in [*(("dtype", d) for d in (*dtypes, *real)), *(("accumulator", a) for a in said)]:
        if kind not in DTYPES:
            raise ValueError(f"{where}: {expected_one_of(DTYPES, kind)}")
        numbers(kind)
    if not dtypes or (len(dtypes) > 1 and (set(dtypes) & set(HALVES) or kinds)):
        raise ValueError(f"dtype: expected one, or float32 and float64, got {dtype!r}")
    results = {kinds.get(output, dtypes[0]) for output in outputs}
    if len(results) > 1:
        raise ValueError(f"dtype: expected one for all results, got {', '.join(sorted(results))}")
    if accumulator is None and (set(dtypes) | results) & set(HALVES):
        raise ValueError(
            f"accumulator: expected the dtype in which a {dtypes[0]} kernel sums, such as 'float32': its error budget "
            "follows from it"
        )
    return dtypes, {k: v for k, v in kinds.items() if v != dtypes[0]}, {d: accumulator or d for d in dtypes}


def layouts(layouts: Mapping[str, str] | None, op: str, arrays: Sequence[str]) -> dict[str, Layout]:
    found = {}
    for array, word in (layouts or {}).items():
        axes = names.axes_of(op, array) if array in arrays else None
        if axes is None:
            known = [a for a in arrays if names.axes_of(op, a)]
            if not known:
                raise ValueError(f"layouts: expected none of {op}, got one of {array!r}")
            raise ValueError(f"layouts: {expected_one_of(known, array)}")
        found[array] = Layout.parse(word, axes, f"layouts[{array!r}]")
    return found


def arguments(
    arguments: Any, signatures: Sequence[Signature], inputs: Sequence[str], outputs: Sequence[str], op: str,
    returns: bool | None,
) -> dict[str | int, Any]:  # fmt: skip
    if arguments is None:
        needed = tuple(dict.fromkeys(i for s in signatures for i in s.inputs))
        arrays = needed + tuple(i for i in inputs if i not in needed and not outputs[0].startswith("grad_"))
        arguments = arrays if returns or returns is None else (*arrays, *outputs)
    if isinstance(arguments, str) or not isinstance(arguments, (Sequence, Mapping)):
        raise TypeError(f"arguments: expected a sequence or a mapping, got {type(arguments).__name__}")
    found = dict(arguments.items() if isinstance(arguments, Mapping) else enumerate(arguments))
    numbers_ = {n for s in signatures for n in s.numbers}
    pairs = {p for p, own in names.PAIRS.items() if set(own) <= {*numbers_, *("R", "S")}}
    more = {names.PADS, names.CEIL_MODE} if "p_h" in numbers_ else set()
    more |= {names.OUTPUT_PADDING} if op == "conv_transpose2d" else set()
    letters = set(names.SPOKEN.get(op, "NCHWKRSPQ"))
    more |= {"upsample2d": {names.SIZE}, "group_norm": {names.NUM_GROUPS}}.get(op, set())
    singles = {public for public, own in names.SINGLE.items() if own in numbers_}
    known = (*inputs, *outputs, *sorted(numbers_ | pairs | more | singles | (letters - numbers_)))
    for value in found.values():
        if isinstance(value, str) and name(value) not in known:
            raise ValueError(f"arguments: {expected_one_of(known, value)}; a string is Constant({value!r})")
    return found


def fixed(op: str, only: Mapping[str, Any] | None, spoken: set[str]) -> dict[str, tuple[Any, ...]]:
    """By option the values that the function takes, where not all."""
    known_options = options(op)
    known = (*known_options, *names.LIMITED.get(op, ()))
    found: dict[str, tuple[Any, ...]] = {}
    for option, values in (only or {}).items():
        if option not in known:
            raise ValueError(f"only: {expected_one_of(known, option)}")
        found[option] = tuple(values) if isinstance(values, (list, set, frozenset, range)) else (values,)
        if not found[option]:
            raise ValueError(f"only: expected some value of {option!r}, got none")
    handed = {option for option in known_options if spoken & (names.SAID.get(option, set()) | {option})}
    for option, default in known_options.items():
        if option not in handed and option not in found:
            if default is signature(names.op_of(op).forward).empty:
                raise ValueError(f"arguments: expected {option!r} among them, or its value in `only`")
            found[option] = (default,)
    return found


def variant(op: str, kinds: Mapping[str, Any], only: Mapping[str, Any]) -> str:
    """Which of an op's forward kernels a contract is about."""
    if op == "cross_entropy":
        return names.INDEX if kinds.get("target") in names.INDICES else ""
    if op != "upsample2d":
        return ""
    mode = only.get(names.MODE, "nearest")
    modes = tuple(mode) if isinstance(mode, (list, set, frozenset, tuple)) else (mode,)
    if len(modes) != 1 or modes[0] not in ("nearest", "bilinear"):
        raise ValueError(f"only: expected one mode, nearest or bilinear, got {mode!r}")
    return str(modes[0])


def options(op: str) -> dict[str, Any]:
    """An op's options that make another equation, with their defaults."""
    base = names.op_of(op)
    arrays = {
        *base.differentiable,
        *names.GIVEN,
        names.NORMALIZED,
        "x",
        "backend",
        "algorithm",
        "return_winners",
        "return_statistics",
    }
    found = {n: p.default for n, p in signature(base.forward).parameters.items() if n not in arrays}
    if op in names.ROWWISE:
        found["axis"] = -1  # their functions are handed rows
    if "kernel_size" in found and "stride" in found:
        found["stride"] = None
    return found


def listed(values: Sequence[Any], between: str = ", ") -> str:
    """Values in words; of many the first and the last."""
    if len(values) > MOST_VALUES:
        return f"{values[0]}, {values[1]}, ..., {values[-1]}"
    return between.join(map(str, values))


def is_default(op: str, option: str, values: tuple[Any, ...]) -> bool:
    return values == (options(op).get(option, ()),)
