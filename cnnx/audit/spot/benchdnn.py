"""Problems in the notation of benchdnn, the tester of oneDNN, so that its lists of production shapes can be read.

    gXmbX_icXihXiwX_ocXohXowX_khXkwX_shXswX_phXpwX_dhXdwX_nS        a convolution
    mbX_icXihXiwX_ohXowX_khXkwX_shXswX_phXpwX_nS                    a pooling

X is a whole number and S a name, which ends the line and may stand in quotes. The order is free and underscores mean
nothing. A number given twice must be the same.

=============  ==================================================  =================================================
keys           meaning                                             left out
=============  ==================================================  =================================================
g              groups                                              1
mb             images in the batch                                 2
ic, oc         channels of the input and of the output,            not allowed (a pooling has no oc and no g)
               those of all groups together
ih, iw         rows and columns of the input                       see below
kh, kw         rows and columns of the kernel or window            see below
oh, ow         rows and columns of the output                      C2
sh, sw         strides                                             1
ph, pw         padding at the top and at the left                  0; if oh is given, half of what oh takes, rounded
                                                                   towards 0
dh, dw         dilation, counted from 0: dh1 leaves out every      0
               other row (`dilation=2` of `cnnx.conv2d`)
=============  ==================================================  =================================================

All that ends in w may be left out together: then it is what is given for h, the output too. All that ends in h may be
left out together as well: then the image, the kernel and the output have one row. Of what is not left out together, ih
and kh (iw and kw) must be given.

Padding at the bottom and at the right is not written: without oh it is ph; with oh it is what oh takes, as far as the
last window starts within the image. Three-dimensional problems (id, od, kd, sd, pd, dd) are not read.

Source: oneDNN, tests/benchdnn, doc/driver_conv.md, doc/driver_pool.md and the comments of conv/conv_aux.cpp.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...ops import Case
from ..data import shape_of

KEYS = ("g", "mb", "ic", "ih", "iw", "oc", "oh", "ow", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw")
DEPTH = ("id", "od", "kd", "sd", "pd", "dd")
LARGEST = 2**31 - 1
OPS = ("conv2d", "max_pool2d", "avg_pool2d")

_TOKEN = re.compile(r"([a-z]+)(\d*)")


class ShapeError(ValueError):
    """A problem that cannot be read; says which token is wrong."""


@dataclass(frozen=True)
class Problem:
    """A problem as a case of an op; the case has the problem's name, or else is called as the problem was written.

    text : all its numbers, in the order of the grammar.
    output : the output's shape.
    """

    text: str
    op: str
    case: Case
    output: tuple[int, int, int, int]

    @property
    def multiply_adds(self) -> int:
        """How many the equation of the output takes, terms in the padding counted, as papers do."""
        N, K, P, Q = self.output
        if "weight" not in self.case.arrays:
            return N * K * P * Q * self.longest_sum
        _, C, R, S = shape_of(self.case, "weight")
        return N * K * P * Q * C * R * S

    @property
    def longest_sum(self) -> int:
        """The most terms that an element of the output or of a gradient has."""
        N, K, P, Q = self.output
        if "weight" not in self.case.arrays:
            members: int = math.prod(self.case.options["kernel_size"])
            return members
        _, C, R, S = shape_of(self.case, "weight")
        groups: int = self.case.options["groups"]
        return max(C * R * S + 1, K // groups * R * S, N * P * Q)


@dataclass(frozen=True)
class _Axis:
    """Rows or columns of a problem."""

    extent: int
    kernel: int
    output: int
    stride: int
    padding: tuple[int, int]
    dilation: int

    @property
    def written(self) -> tuple[int, ...]:
        """The numbers of i, k, o, s, p and d."""
        return self.extent, self.kernel, self.output, self.stride, self.padding[0], self.dilation - 1


def parse(text: str, op: str = "conv2d", *, mb: int | None = None) -> Problem:
    """Read one problem.

    Parameters
    ----------
    text : str
    op : "conv2d", "max_pool2d" or "avg_pool2d"
    mb : int or None
        In the place of the problem's own batch size.

    Returns
    -------
    Problem

    Raises
    ------
    ShapeError
        The text is malformed, or no problem has these numbers.

    Examples
    --------
    >>> from cnnx.audit.spot.benchdnn import parse
    >>> problem = parse('ic3ih227oc96oh55_kh11sh4ph0_n"alexnet:conv1"')
    >>> problem.case.name, problem.output
    ('alexnet:conv1', (2, 96, 55, 55))
    >>> parse("g32ic32ih112oc32kh3sh2ph1").case.arrays["weight"]
    (32, 1, 3, 3)
    """
    if op not in OPS:
        raise ShapeError(f"shape: expected an op of {', '.join(OPS)}, got {op!r}")
    try:
        numbers, name = _read(text, op)
        return _problem(op, numbers | ({} if mb is None else {"mb": mb}), name or text.strip())
    except ShapeError as error:
        raise ShapeError(f"shape {text.strip()!r}: {error}") from None


def parse_file(path: str | Path, op: str = "conv2d", *, mb: int | None = None) -> list[Problem]:
    """Read a list of problems, one in a line; what follows a # is a comment.

    Raises
    ------
    ShapeError
        A line is no problem (says which), or no line is one.
    OSError
        The file cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ShapeError(f"{path}: expected a text file in UTF-8, got other bytes") from None
    problems = []
    for number, line in enumerate(lines, 1):
        if written := line.partition("#")[0].strip():
            try:
                problems.append(parse(written, op, mb=mb))
            except ShapeError as error:
                raise ShapeError(f"{path}, line {number}: {error}") from None
    if not problems:
        raise ShapeError(f"{path}: expected a problem in a line, got none")
    return problems


def _read(text: str, op: str) -> tuple[dict[str, int], str]:
    """The numbers by their keys, and the name."""
    known = KEYS if op == "conv2d" else tuple(key for key in KEYS if key not in ("g", "oc"))
    numbers: dict[str, int] = {}
    rest = text.strip()
    while rest := rest.lstrip("_"):
        if rest.startswith("n"):
            return numbers, rest[1:].strip("\"'")
        if rest.startswith("--"):
            raise ShapeError(f"{rest.split()[0]}: options of benchdnn are not read, only problems")
        token = _TOKEN.match(rest)
        key, digits = token.groups() if token else (rest, "")
        if key in DEPTH:
            raise ShapeError(f"{key}{digits}: three-dimensional problems are not read, only rows and columns")
        if token is None or key not in known:
            raise ShapeError(f"{(token[0] if token else rest)!r}: expected one of {', '.join(known)} or n and a name")
        if not digits:
            raise ShapeError(f"{key}: expected a whole number after it, got {rest[len(key) :][:1] or 'the end'!r}")
        number = int(digits) if len(digits) < 12 else LARGEST + 1
        if number > LARGEST:
            raise ShapeError(f"{key}{digits}: expected at most {LARGEST}")
        if numbers.setdefault(key, number) != number:
            raise ShapeError(f"{key}{number}: {key}{numbers[key]} was given before")
        rest = rest[token.end() :]
    return numbers, ""


def _problem(op: str, numbers: dict[str, int], name: str) -> Problem:
    for key in ("g", "mb", "ic", "oc", "ih", "iw", "kh", "kw", "oh", "ow", "sh", "sw"):
        if numbers.get(key, 1) < 1:
            raise ShapeError(f"{key}{numbers[key]}: expected at least 1")
    for key in ("ic", "oc") if op == "conv2d" else ("ic",):
        if key not in numbers:
            raise ShapeError(f"{key}: missing")
    rows, columns = _axes(numbers)
    N, C = numbers.get("mb", 2), numbers["ic"]
    x = (N, C, rows.extent, columns.extent)
    pair = {
        letter: f"{letter}h{h}{letter}w{w}"
        for letter, h, w in zip("ikospd", rows.written, columns.written, strict=True)
    }
    options: dict[str, Any] = dict(stride=(rows.stride, columns.stride), padding=(rows.padding, columns.padding))
    if op == "conv2d":
        K, groups = numbers["oc"], numbers.get("g", 1)
        if C % groups or K % groups:
            raise ShapeError(f"g{groups}: expected a divisor of ic{C} and oc{K}")
        weight = (K, C // groups, rows.kernel, columns.kernel)
        options |= dict(dilation=(rows.dilation, columns.dilation), groups=groups)
        case = Case(name, {"x": x, "weight": weight, "bias": (K,)}, options, exact=True)
        text = f"g{groups}mb{N}ic{C}{pair['i']}oc{K}{pair['o']}{pair['k']}{pair['s']}{pair['p']}{pair['d']}"
        return Problem(text, op, case, (N, K, rows.output, columns.output))
    for key, axis in (("dh", rows), ("dw", columns)):
        if axis.dilation != 1:
            raise ShapeError(f"{key}{axis.dilation - 1}: a pooling window has no dilation here, expected {key}0")
        before, start = axis.padding[0], (axis.output - 1) * axis.stride - axis.padding[0]
        if axis.kernel <= before or start >= axis.extent:
            raise ShapeError(f"p{key[1]}{before}: a window lies wholly in padding, and has no maximum and no average")
    options |= dict(kernel_size=(rows.kernel, columns.kernel))
    case = Case(name, {"x": x}, options, exact=op == "max_pool2d")
    text = f"mb{N}ic{C}{pair['i']}{pair['o']}{pair['k']}{pair['s']}{pair['p']}"
    return Problem(text, op, case, (N, C, rows.output, columns.output))


def _axes(numbers: dict[str, int]) -> tuple[_Axis, _Axis]:
    """Rows and columns; what is given of one alone stands for both, or for a single row."""
    given = {end: {key[0]: n for key, n in numbers.items() if key.endswith(end)} for end in "hw"}
    if not given["h"] and not given["w"]:
        raise ShapeError("ih: missing")
    if not given["w"]:
        rows = _axis("h", given["h"])
        return rows, rows
    return _axis("h", given["h"] or dict(i=1, k=1, o=1)), _axis("w", given["w"])


def _axis(end: str, given: dict[str, int]) -> _Axis:
    for key in "ik":
        if key not in given:
            raise ShapeError(f"{key}{end}: missing")
    extent, kernel, stride, dilation = given["i"], given["k"], given.get("s", 1), given.get("d", 0) + 1
    span = dilation * (kernel - 1) + 1
    output = given.get("o")
    before = given.get("p")
    if before is None:
        before = 0 if output is None else max(0, int(((output - 1) * stride + span - extent) / 2))
    if extent + 2 * before < span and output is None:
        raise ShapeError(f"k{end}{kernel}: it spans {span}, more than i{end}{extent} and twice p{end}{before}")
    symmetric = (extent + 2 * before - span) // stride + 1
    if output is None or output == symmetric:
        return _Axis(extent, kernel, symmetric, stride, (before, before), dilation)
    after = max(0, (output - 1) * stride + span - extent - before)
    first, last = (max(0, extent + before - span) // stride + 1), (extent + before - 1) // stride + 1
    if (extent + before + after - span) // stride + 1 != output or output > last:
        others = f" (or {first} to {last}, with other padding at the end)" if first < last else ""
        raise ShapeError(
            f"o{end}{output}: expected {symmetric} for i{end}{extent} k{end}{kernel} s{end}{stride} p{end}{before} "
            f"d{end}{dilation - 1}{others}"
        )
    return _Axis(extent, kernel, output, stride, (before, after), dilation)
