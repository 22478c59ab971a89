"""Which layer takes what: the lines of a Graph, checked and put in order."""

import heapq
import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, dropwhile, islice
from typing import Any, NamedTuple

from .. import _check
from ._layer import Layer, counted

Line = tuple[str, Layer, tuple[str, ...]]

_PLAIN = re.compile(r"[\w./:-]+")


# How a line is computed. Arrays stand in numbered slots, which are used again once no line needs what is there. Here:
# the slot of what it takes, or -1 of several; their slots; the slot of what it gives; slots that nothing needs then.
Step = tuple[int, tuple[int, ...], int, tuple[int, ...]]


class Wiring(NamedTuple):
    """Values are numbered: the inputs first, then what each line gives, in the order in which they are computed."""

    inputs: tuple[str, ...]
    names: tuple[str, ...]  # of the lines
    sources: tuple[tuple[int, ...], ...]  # which values each line takes
    alone: tuple[int, ...]  # of each line, the one value that it takes, if no other takes it; or -1
    narrow: tuple[bool, ...]  # of each line, whether those behind it take nothing that was there before it
    steps: tuple[Step, ...]
    slots: int  # how many

    @property
    def values(self) -> tuple[str, ...]:
        """Their names."""
        return self.inputs + self.names

    @property
    def output(self) -> int:
        """The value that no line takes."""
        return len(self.inputs) + len(self.names) - 1


def chain(count: int) -> Wiring:
    """So many layers one behind the other: what `planned` comes to, in less time and memory."""
    values, step = tuple(range(count)), (0, (0,), 0, ())
    return Wiring(
        ("x",), tuple(map(str, values)), tuple((i,) for i in values), values, (True,) * count, (step,) * count, 1
    )


def planned(inputs: tuple[str, ...], names: tuple[str, ...], sources: tuple[tuple[int, ...], ...]) -> Wiring:
    """How lines in their order are computed."""
    last = {value: k for k, some in enumerate(sources) for value in some}
    slot = {value: value for value in range(len(inputs))}
    free: list[int] = []
    slots, steps = len(inputs), []
    for k, some in enumerate(sources):
        taken = tuple(slot[value] for value in some)
        over = [slot[value] for value in dict.fromkeys(some) if last[value] == k]
        free += over
        if free:
            target = free.pop()
        else:
            target, slots = slots, slots + 1
        slot[len(inputs) + k] = target
        clear = tuple(one for one in over if one != target)
        steps.append((taken[0] if len(taken) == 1 else -1, taken, target, clear))
    uses = Counter(value for some in sources for value in some)
    alone = tuple(some[0] if len(some) == 1 == uses[some[0]] else -1 for some in sources)
    last_uses = accumulate((last.get(value, -1) for value in range(len(inputs) + len(names))), max)
    narrow = tuple(k >= use for k, use in enumerate(islice(last_uses, len(inputs) - 1, None)) if k < len(names))
    return Wiring(inputs, names, sources, alone, narrow, tuple(steps), slots)


def input_names(inputs: object) -> tuple[str, ...]:
    """The inputs of a Graph, checked one by one."""
    if isinstance(inputs, str):
        return (check_name("inputs", inputs),)
    if not isinstance(inputs, (tuple, list)):
        raise TypeError(f"inputs: expected a name or a tuple of names, got {type(inputs).__name__}")
    return tuple(check_name(f"inputs[{i}]", name) for i, name in enumerate(inputs))


def completed(lines: tuple[Any, ...], inputs: tuple[str, ...]) -> list[Line]:
    """The lines, checked one by one, with the inputs of those that name none."""
    done: list[Line] = []
    for i, line in enumerate(lines):
        where = f"lines[{i}]"
        if not isinstance(line, (tuple, list)) or len(line) < 2:
            raise TypeError(f"{where}: expected (name, layer, *inputs), got {type(line).__name__} {_check.shown(line)}")
        name, layer = check_name(where, line[0]), line[1]
        if not isinstance(layer, Layer):
            raise TypeError(f"{where}, {cut(name)}: expected a layer, got {type(layer).__name__} {_check.shown(layer)}")
        taken = tuple(check_name(f"{where}, {cut(name)}: inputs", one) for one in line[2:])
        before = (done[-1][0],) if done else inputs
        done.append((name, layer, taken or before))
    return done


def wired(lines: Sequence[Line], inputs: tuple[str, ...]) -> tuple[Wiring, tuple[Layer, ...]]:
    """The lines in an order in which each finds what it takes (theirs, as far as that goes), with their layers."""
    known = _numbered(lines, inputs)
    taken = [_numbers(line, known) for line in lines]
    first = len(inputs)
    order = _ordered(lines, taken, first)
    place = {value: value for value in range(first)} | {first + i: first + k for k, i in enumerate(order)}
    sources = tuple(tuple(place[value] for value in taken[i]) for i in order)
    names = tuple(lines[i][0] for i in order)
    _check_used(inputs, names, sources)
    return planned(inputs, names, sources), tuple(lines[i][1] for i in order)


def shown_name(name: str) -> str:
    """A name as it stands in a line: with quotes where it could be taken for something else."""
    return name if _PLAIN.fullmatch(name) else repr(name)


def cut(text: str) -> str:
    """A name, or some, for a message: names may be long, and many."""
    return text if len(text) <= 120 else f"{text[:117]}..."


def check_name(where: str, name: object) -> str:
    """A text that can be printed, as files and messages take it."""
    if not isinstance(name, str):
        raise TypeError(f"{where}: expected a name, a str, got {type(name).__name__} {_check.shown(name)}")
    if not name or not name.isprintable():
        raise ValueError(f"{where}: expected a name of characters that can be printed, got {_check.shown(name)}")
    return name


def _numbered(lines: Sequence[Line], inputs: tuple[str, ...]) -> dict[str, int]:
    """The number of each value, in the order of the lines as they came."""
    if not lines:
        raise ValueError("lines: expected at least one line, (name, layer, *inputs), got none")
    if not inputs:
        raise ValueError("inputs: expected at least one name, got none")
    known: dict[str, int] = {}
    for name in (*inputs, *(line[0] for line in lines)):
        if name in known:
            other = "an input" if known[name] < len(inputs) else f"line {known[name] - len(inputs)}"
            raise ValueError(
                f"lines: expected a name of its own for each value, got {_check.shown(name)} again, which is {other}"
            )
        known[name] = len(known)
    return known


def _numbers(line: Line, known: dict[str, int]) -> tuple[int, ...]:
    """The numbers of what a line takes."""
    name, layer, inputs = line
    least, most = layer._inputs()
    for one in inputs:
        if one not in known:
            names = _check.shown(list(known))
            raise ValueError(
                f"{cut(name)}: expected the name of an input or of a line, of {names}, got {_check.shown(one)}"
            )
    if len(inputs) < least or (most is not None and len(inputs) > most):
        got = f"{len(inputs)}: {cut(', '.join(inputs))}" if inputs else "none"
        raise ValueError(f"{cut(name)}: expected {counted(least, most)} for {type(layer).__name__}, got {got}")
    return tuple(known[one] for one in inputs)


def _ordered(lines: Sequence[Line], taken: list[tuple[int, ...]], first: int) -> list[int]:
    """The lines' numbers: of those that have all they take, always the first comes next."""
    waits, takers = [], dict[int, list[int]]()
    for i, values in enumerate(taken):
        missing = {value for value in values if value >= first}
        waits.append(len(missing))
        for value in missing:
            takers.setdefault(value, []).append(i)
    ready = [i for i, count in enumerate(waits) if not count]  # ascending, which is a heap
    order: list[int] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for taker in takers.get(first + i, ()):
            waits[taker] -= 1
            if not waits[taker]:
                heapq.heappush(ready, taker)
    if len(order) < len(lines):
        raise ValueError(f"lines: expected none that needs its own value, got {_cycle(lines, taken, waits, first)}")
    return order


def _cycle(lines: Sequence[Line], taken: list[tuple[int, ...]], waits: list[int], first: int) -> str:
    """One cycle, in words: from any line that waits for ever, back to others that do, until one comes again."""
    i = next(i for i, count in enumerate(waits) if count)
    path = dict[int, None]()  # a set in order
    while i not in path:
        path[i] = None
        i = next(value - first for value in taken[i] if value >= first and waits[value - first])
    return cut(" <- ".join(lines[k][0] for k in (*dropwhile(lambda k: k != i, path), i)))


def _check_used(inputs: tuple[str, ...], names: tuple[str, ...], sources: tuple[tuple[int, ...], ...]) -> None:
    """Every value has a line that takes it, but for the last, the output."""
    values, taken = inputs + names, {value for some in sources for value in some}
    *others, output = (i for i in range(len(values)) if i not in taken)  # without a cycle the last is among them
    if others:
        which = " and ".join(f"{'the input ' if i < len(inputs) else ''}{values[i]!r}" for i in others)
        raise ValueError(
            f"lines: expected every value to be used, but for one, the output; got {cut(which)} beside "
            f"{_check.shown(values[output])}"
        )
