"""Conventions: what a kernel is to compute where libraries differ, so that a kernel of others is judged by its own.

=============================  ==================  ====================  ==================  ==================
.                              "" (cnnx's own)     "paper"               "torch"             "onnx"
=============================  ==================  ====================  ==================  ==================
ties of a maximum (P2)         as the case says    to all, as printed    to the first        to the first
divisor of an average (P3)     as the case says    members in the image  with the padding    members in the image
Lp pooling's 1/|R| (P4)        as the case says    divides               left out            left out
last window (`ceil_mode`)      as the case says    never beyond (C2)     as the case says    as the case says
NaN and infinities             everywhere          everywhere            forward, no costs   not judged
results below normal numbers   rounded             rounded               may be 0            may be 0
=============================  ==================  ====================  ==================  ==================

"as the case says": the cases have both, and the option tells the kernel which. In all of them a last window starts
inside the image or its top or left padding, and padding never wins a maximum. "paper" is what the sources print, errata
applied; all other columns come from the table of conventions (`cnnx.audit.field`), "onnx" being onnxruntime's, and each
engine there has one by its name. A case that a preset cannot have is left out, and the report says so.

The sign of a zero no equation gives (max(0, -0) is either), so in no column is it held against the reference: relu(-0)
is -0 in some libraries and 0 in others. It has to be the same wherever a number stands: `batch`, `layout`, `alignment`,
`threads` and `repeat` compare bits, on data with zeros of both signs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .. import backend as _backend
from ..ops import Case, Op
from ._signature import signature
from .field import TABLE


@dataclass(frozen=True)
class Compat:
    """One column of the table.

    options : by op, the options that hold in every case.
    ceil_mode : whether windows may reach beyond the padded image.
    nonfinite : where NaN and infinities have to come out as the equations have them.
    flushed : whether numbers below the smallest normal one may be 0.
    """

    name: str = ""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ceil_mode: bool = True
    nonfinite: Literal["everywhere", "forward", "nowhere"] = "everywhere"
    flushed: bool = False

    def adapted(self, op: Op, case: Case) -> Case | None:
        """The case by these conventions, under its name; None where they do not have it."""
        forced = self.options.get(op.name, {})
        options = {**case.options, **forced}
        if options.get("ceil_mode") and not self.ceil_mode:
            return None
        if options.get("return_winners") and options.get("ties") == "all":
            return None
        if not forced:
            return case
        parameters = {**signature(op.forward).parameters, **signature(op.backward).parameters}
        before = {name: case.options.get(name, parameters[name].default) for name in forced}
        if before == forced:
            return case
        # Integers are exact where the case's author says so; of another divisor nobody does.
        return replace(case, options=options, exact=case.exact and op.name == "max_pool2d")


def _answered(question: str, engine: str, meaning: Mapping[str, Any]) -> Any:
    return meaning.get(TABLE.answers[question][engine])


def of_engine(engine: str, name: str = "") -> Compat:
    """The conventions of an engine in the table: those that are an option of cnnx's; for others the case says it."""
    options = {
        "max_pool2d": ("ties", _answered("ties", engine, {"the first": "first", ALL: "all"})),
        "avg_pool2d": (
            "count_include_pad",
            _answered("average_divisor", engine, {"padding counts": True, "padding does not count": False}),
        ),
        "lp_pool2d": ("normalize", _answered("lp_division", engine, {"yes": True, "no": False})),
    }
    keeps = all(TABLE.answers[f"nan_{place}"][engine] == "NaN" for place in ("first", "middle", "last"))
    return Compat(
        name or engine,
        {op: {option: value} for op, (option, value) in options.items() if value is not None},
        nonfinite="forward" if keeps else "nowhere",
        flushed=True,  # whether numbers below the normal ones are kept depends on what else a process has loaded
    )


ALL = "all, the whole to each"
PAPER = Compat(
    "paper",
    {"max_pool2d": {"ties": "all"}, "avg_pool2d": {"count_include_pad": False}, "lp_pool2d": {"normalize": True}},
    ceil_mode=False,
)
COMPAT: dict[str, Compat] = {
    preset.name: preset
    for preset in (
        Compat(),
        PAPER,
        of_engine("torch"),
        of_engine("onnxruntime", "onnx"),
        *(of_engine(engine) for engine in TABLE.engines if engine not in ("cnnx", "torch")),
    )
}


def conventions(backend: str, name: str | None) -> Compat:
    """The preset of that name or, with None, the one that the back end's kernels name; ValueError if there is none."""
    try:
        return preset(_backend.compat(backend) if name is None else name)
    except TypeError as error:  # the back end is none
        raise ValueError(str(error)) from None


def preset(name: str) -> Compat:
    """The preset of that name."""
    if name not in COMPAT:
        raise ValueError(f"compat: expected one of {', '.join(filter(None, COMPAT))}, got {name!r}")
    return COMPAT[name]
