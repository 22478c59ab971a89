"""An answer in the reader's words."""

from collections.abc import Iterator

import numpy as np

from ..._text import aligned
from ...lang import ENGLISH, language, text, translated
from ..data import Array
from ..explain.expression import written
from .answer import OPEN, WRONG, Answer, Example, Result
from .mistakes import DIGITS
from .roles import OP_NAMES
from .unit import OPTIONS, Unit

# Where each result's equation stands: its key in the sheet, and what of the sources has it; "" none.
EQUATIONS = {
    ("conv2d", "Y"): ("C1", "M17 (4)"),
    ("conv2d", "dZ"): ("C5", "M17 (7)"),
    ("conv2d", "dF"): ("C3", "M17 (5)"),
    ("conv2d", "db"): ("C4", "M17 (6)"),
    ("max_pool2d", "Y"): ("P1", "M17 (13)"),
    ("max_pool2d", "dZ"): ("P2", "M17 (14)"),
    ("avg_pool2d", "Y"): ("P3", "CN (3)"),
    ("avg_pool2d", "dZ"): ("P3", "CN (4)"),
    ("affine", "Y"): ("F1", "M17 (17)"),
    ("affine", "dZ"): ("F3", "M17 (20)"),
    ("affine", "dw"): ("F2", "M17 (18)"),
    ("affine", "db"): ("F2", "M17 (19)"),
    ("softmax", "Y"): ("A3", "U19"),
    ("softmax", "dZ"): ("A3", "U19"),
    **{("dropout", output): ("D1", "") for output in ("Y", "mask", "inference", "dZ")},
    **{("batch_norm2d", output): ("N2", "") for output in ("Y", "inference")},
    **{("batch_norm2d", output): ("N3", "") for output in ("dg", "db")},
    ("batch_norm2d", "dZ"): ("N4", ""),
    ("batch_norm2d", "running"): ("N1", ""),
    ("cross_entropy", "E"): ("E3", "U19"),
    ("cross_entropy", "dZ"): ("E3", "U19"),
    ("squared_error", "E"): ("E1", "D19"),
    ("squared_error", "dA"): ("E1", "D19 (1)"),
}
_ACTIVATION = {"Y": ("A1", "M17 (15)"), "dZ": ("A2", "M17 (16)")}
SHORT = "Y", "dZ", "dA", "dF", "dw", "dg", "db", "E"  # results that have a name in the equations
MOST = 40  # numbers of an array that is printed


def said(answer: Answer) -> Iterator[str]:
    """The answer's lines, in the language that is spoken."""
    if not answer.units:
        yield text("check.nothing", file=answer.path)
        return
    yield text("check.runs", file=answer.path)
    for unit, results in answer.units:
        yield ""
        op = text(f"check.op.{unit.op}")
        known = {"name": unit.name, "op": op}
        yield text("check.head", line=unit.line, **known) if unit.line else text("check.head_mapped", **known)
        yield from (f"  {line}" for line in _table(results))
        if unit.planar:
            yield f"  {text('check.planar')}"
        if unit.only_training:
            yield f"  {text('check.only_training')}"
        lacking = [name for name in OPTIONS.get(unit.op, ()) if name not in unit.options]
        if lacking:
            yield f"  {text('check.not_asked', options=', '.join(lacking))}"
    seen: set[str] = set()
    for unit, results in answer.units:
        for result in results:
            if result.status in (*WRONG, *OPEN, "convention"):
                lines = [*_block(unit, result)]
                if lines[1:] and "\n".join(lines[1:]) not in seen:  # one exception of all results is told once
                    seen.add("\n".join(lines[1:]))
                    yield ""
                    yield from lines
    yield ""
    rest = [name for name in OP_NAMES if name not in {unit.op for unit, _ in answer.units}]
    if rest:
        yield text("check.not_found", names=", ".join(text(f"check.op.{name}") for name in rest))
    states = [result.status for _, results in answer.units for result in results]
    counts = {"wrong": sum(s in WRONG for s in states), "open": sum(s in OPEN for s in states)}
    if not any(counts.values()):
        yield text("check.all_right")
    yield from (text(f"check.some_{kind}", count=count) for kind, count in counts.items() if count)


def equation(unit: Unit, result: Result) -> tuple[str, str]:
    """The key of a result's equation in the sheet, and where a source has it."""
    known = EQUATIONS.get((unit.op, result.output)) or _ACTIVATION.get(result.output)
    if known is None:  # of what is asked of all results
        what = {"y": "Y", "x": "dZ"}.get(result.what, "dZ")
        known = EQUATIONS.get((unit.op, what)) or _ACTIVATION[what]
    return known


def pages_of(op: str) -> tuple[str, ...]:
    """The keys of the equations that an op's results are held against."""
    found = [key for (name, _), (key, _) in EQUATIONS.items() if name == op]
    return tuple(dict.fromkeys(found or [key for key, _ in _ACTIVATION.values()]))


def _table(results: list[Result]) -> Iterator[str]:
    rows = [
        (r.output if r.output in SHORT else "", text(f"check.output.{r.output}"), _status(r))
        for r in results
        if r.output
    ]
    yield from aligned(rows, left=3)
    yield from (_status(r) for r in results if not r.output)


def _status(result: Result) -> str:
    name = DIGITS if result.mistake == DIGITS else result.status
    return text(f"check.status.{name}", cases=result.cases)


def _block(unit: Unit, result: Result) -> Iterator[str]:
    """What is to be said of one result: the mistake, the example, where to read on."""
    key, source = equation(unit, result)
    status = _status(result) if result.status != "right" else ""
    if result.output in ("", "gradient", "layout"):
        yield text("check.wrong_of_all", name=unit.name, what=status)
    else:
        output = result.output if result.output in SHORT else text(f"check.output.{result.output}")
        source = source or text("check.standard")
        yield text("check.wrong_of", name=unit.name, output=output, what=status, equation=key, source=source)
    if result.status == "slow":
        yield f"  {text('check.slow', seconds=result.seconds)}"
        return
    if result.status == "unclear":
        yield f"  {text('check.unclear', words=result.words)}"
        return
    if result.mistake:
        words = text(f"check.mistake.{result.mistake}", ratio=result.ratio, words=result.words)
        yield f"  {text('check.note' if result.status == 'convention' else 'check.likely', words=words)}"
    elif result.output == "gradient":
        yield f"  {text('check.gradient_wrong', words=translated(result.words, 'gradient'))}"
    elif result.plain:
        yield f"  {text('check.suspect_plain')}"
    elif result.suspects:
        features = ", ".join(text(f"check.feature.{name or 'plain'}") for name in result.suspects)
        yield f"  {text('check.suspect', features=features)}"
    if result.words and result.output != "gradient" and result.mistake != "drop_share":
        yield f"  {text('check.raised', words=result.words)}"
    if result.shape:
        yield f"  {text('check.shape', got=result.shape[0], expected=result.shape[1])}"
    if result.example is not None and result.status != "convention":
        yield f"  {text('check.example')}"
        yield from (f"    {line}" if line else "" for line in _example(result.example))
    lang = language()
    command = f"cnnx equations {key}" + (f" --lang {lang}" if lang != ENGLISH else "")
    yield f"  {text('check.more', command=command, page=f'{lang}/{key.lower()}.html')}"


def _example(example: Example) -> Iterator[str]:
    """The arrays, the element's two values, and its terms."""
    for name, array in example.arrays.items():
        yield from _array(name, np.asarray(array))
    e = example.explanation
    yield from e.text().splitlines()
    yield text("check.your_element", name=e.name, got=written(example.got), expected=written(example.expected))


def _array(name: str, a: Array) -> Iterator[str]:
    """An array's shape and, where they are few, its numbers, a line for each row of the last two axes."""
    yield f"{name} {a.shape}" + (":" if a.size <= MOST else "")
    if a.size > MOST or a.size == 0:
        return
    rows = a.reshape(-1, a.shape[-1]) if a.ndim else a.reshape(1, 1)
    images = a.shape[-2] if a.ndim > 2 else len(rows)
    for i, line in enumerate(aligned([[written(float(v)) for v in row] for row in rows], left=0)):
        if i and i % images == 0:
            yield ""
        yield f"  {line}"
