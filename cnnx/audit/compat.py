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
applied. A case that a preset cannot have is left out, and the report says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .. import backend as _backend
from ..ops import Case, Op
from ._signature import signature


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


FIRST = {"ties": "first"}
COMPAT: dict[str, Compat] = {
    preset.name: preset
    for preset in (
        Compat(),
        Compat(
            "paper",
            {
                "max_pool2d": {"ties": "all"},
                "avg_pool2d": {"count_include_pad": False},
                "lp_pool2d": {"normalize": True},
            },
            ceil_mode=False,
        ),
        Compat(
            "torch",
            {"max_pool2d": FIRST, "avg_pool2d": {"count_include_pad": True}, "lp_pool2d": {"normalize": False}},
            nonfinite="forward",
            flushed=True,
        ),
        Compat(
            "onnx",
            {"max_pool2d": FIRST, "avg_pool2d": {"count_include_pad": False}, "lp_pool2d": {"normalize": False}},
            nonfinite="nowhere",
            flushed=True,
        ),
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
