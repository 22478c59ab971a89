"""Draw README's three pictures, and print their names: python .images/draw.py

Each number in them is computed here by cnnx (use.svg, audit.svg), or read from what `cnnx bench` printed (speed.svg:
docs/bench.md). tests/project/test_pictures.py holds the files to what this draws.
"""

import re
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

import numpy as np

import cnnx
from cnnx.audit import Report, audit

HERE = Path(__file__).resolve().parent
STYLE = """
svg { font: 13px ui-monospace, Menlo, Consolas, monospace; }
.back { fill: #ffffff; stroke: #d5dae0; } text { fill: #1f2328; } .soft { fill: #57606a; }
.cell { fill: #f5f7f9; stroke: #8b949e; } .win { fill: #d6e8fa; stroke: #0860c4; }
.bad { fill: #fbdcd9; stroke: #a40e26; }
.pad { fill: none; stroke: #8b949e; stroke-dasharray: 3 3; } .line { stroke: #57606a; fill: none; }
.good { fill: #d6e8fa; stroke: #0860c4; } .wrong { fill: #a40e26; font-weight: bold; }
@media (prefers-color-scheme: dark) {
  .back { fill: #14181d; stroke: #3a424b; } text { fill: #e6e9ed; } .soft { fill: #a3acb6; }
  .cell { fill: #1d232a; stroke: #8b949e; } .win { fill: #143a63; stroke: #7ab8ff; }
  .bad { fill: #4d1f24; stroke: #ff938a; }
  .line { stroke: #a3acb6; } .good { fill: #143a63; stroke: #7ab8ff; } .wrong { fill: #ff938a; }
}
"""
CELL = 54, 28
MINUS = "\N{MINUS SIGN}"
Kind = Callable[[int, int], str]


def picture(width: int, height: int, title: str, parts: Iterator[str]) -> str:
    """A whole SVG file: its style for light and dark, a back, its parts."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><title>{escape(title)}</title><style>{STYLE}</style>\n'
        f'<rect class="back" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(said)}</text>'


def number(value: float) -> str:
    """A number in a cell."""
    return (f"{value:.0f}" if value == int(value) else f"{value:.4f}").replace("-", MINUS)


def grid(x: float, y: float, values: np.ndarray, kind: Kind = lambda r, c: "cell") -> Iterator[str]:
    """An array of two axes as cells with numbers."""
    wide, high = CELL
    for (r, c), value in np.ndenumerate(values):
        place = f'x="{x + c * wide}" y="{y + r * high}" width="{wide}" height="{high}"'
        yield f'<rect class="{kind(r, c)}" {place}/>'
        yield text(x + (c + 0.5) * wide, y + (r + 0.66) * high, number(value), anchor="middle")


def arrow(x: float, y: float) -> str:
    """From one array to the next."""
    return f'<path class="line" d="M{x:g} {y:g}h20m-5-4l5 4l-5 4"/>'


# ------------------------------------------------------------------------------------------------ import it


def use() -> str:
    """README's ten lines: D19's image of an o, and its two features."""
    o = np.array([[[[1, 1, 1], [1, 0, 1], [1, 1, 1]]]], dtype="float32")
    filters = np.array([[[[1, 1], [1, -1]]], [[[1, -1], [-1, 1]]]], dtype="float32")
    z = cnnx.conv2d(o, filters, np.ones(2, dtype="float32"))
    a = cnnx.sigmoid(z)
    y = cnnx.max_pool2d(a, 2)

    def parts() -> Iterator[str]:
        heads = ((18, "o"), (216, "filters"), (360, "conv2d, bias 1"), (504, "sigmoid"), (648, "max_pool2d"))
        yield from (text(x, 28, head, "soft") for x, head in heads)
        yield from grid(18, 74, o[0, 0], lambda r, c: "win" if r < 2 and c < 2 else "cell")
        for k in range(2):
            top = 44 + 84 * k
            yield arrow(187, top + 28)
            yield from grid(216, top, filters[k, 0], lambda r, c: "win")
            for x, plane in ((360, z), (504, a), (648, y)):
                yield arrow(x - 29, top + 28)
                low = top + 14 if plane is y else top
                first = "win" if plane is z else "cell"
                yield from grid(x, low, plane[0, k], lambda r, c, first=first: "cell" if r or c else first)

    return picture(760, 216, "An image of an o through a convolution, a sigmoid and max pooling: two features", parts())


# ------------------------------------------------------------------------------------------------ audit


def max_pool2d(Z, /, Y, *, R, S, u, v, p_h, p_w):
    """The kernel of docs/kernels.md, which pads a maximum with zeros."""
    padded = np.pad(Z, ((0, 0), (0, 0), (p_h, R), (p_w, S)))
    for p, q in np.ndindex(Y.shape[2:]):
        Y[:, :, p, q] = padded[:, :, u * p : u * p + R, v * q : v * q + S].max(axis=(2, 3))


def judged() -> Report:
    """What an audit says of it."""
    cnnx.register_backend("mine", {"max_pool2d": max_pool2d})
    checks = ["exact", "bound", "layout", "special", "worked", "search"]
    return audit(["max_pool2d"], backend="mine", checks=checks, shrink=5.0, measure=False)


def found() -> str:
    """The checks of a wrong kernel, and the smallest case that shows it."""
    report = judged()
    first = next(report.discrepancies())
    x, (*_, p, q), numbers = first.arrays["Z"][0, 0], first.index, first.numbers
    top, left = (numbers[s] * i - numbers[pad] for s, i, pad in (("u", p, "p_h"), ("v", q, "p_w")))
    rows, columns = range(top, top + numbers["R"]), range(left, left + numbers["S"])

    def parts() -> Iterator[str]:
        yield text(18, 30, "a max_pool2d that pads with zeros: its cases", "soft")
        for i, result in enumerate(report.results):
            y, share = 62 + 28 * i, result.passed / result.asked
            yield text(18, y, result.check)
            yield f'<rect class="bad" x="92" y="{y - 14}" width="160" height="19"/>'
            yield f'<rect class="good" x="92" y="{y - 14}" width="{160 * share:.1f}" height="19"/>'
            said, kind = (": FAIL", "wrong") if share < 1 else ("", "")
            yield text(262, y, f"{result.passed} of {result.asked}{said}", kind)
        yield text(400, 30, "the smallest one that fails", "soft")
        wide, high = CELL
        for r in range(min(top, 0), max(rows[-1] + 1, len(x))):
            for c in range(min(left, 0), max(columns[-1] + 1, x.shape[1])):
                inside, at = 0 <= r < len(x) and 0 <= c < x.shape[1], (400 + (c - left) * wide, 76 + (r + 1) * high)
                kind = "cell" if inside else "pad"
                yield f'<rect class="{kind}" x="{at[0]}" y="{at[1]}" width="{wide}" height="{high}"/>'
                if inside:
                    yield text(at[0] + wide / 2, at[1] + 0.66 * high, number(x[r, c]), anchor="middle")
        place = f'x="400" y="{76 + (top + 1) * high}" width="{len(columns) * wide}" height="{len(rows) * high}"'
        yield f'<rect class="line" stroke-width="2.5" {place}/>'
        yield text(400, 58, str(first.shrunk))
        name = f"{first.output}[{','.join(map(str, first.index))}]"
        yield text(520, 130, f"{name}, a maximum")
        yield text(520, 154, f"expected {number(first.expected)}")
        yield text(520, 178, f"got {number(first.got)}", "wrong")

    return picture(760, 226, "Checks of a kernel that pads a maximum with zeros, and the smallest case", parts())


# ------------------------------------------------------------------------------------------------ performance

ROW = re.compile(r"^speed:(\S+) +(-?[\d.]+) % +(\d+) % +(.*?) +(SLOWER|same)$", re.M)
INTERVAL = re.compile(r"([\d.]+) \[([\d.]+), ([\d.]+)\]")


def speed() -> str:
    """Two commits of a package, one function slowed on purpose: the speeds that docs/bench.md has."""
    printed = (HERE.parent / "docs" / "bench.md").read_text(encoding="utf-8")
    rows = ROW.findall(printed)

    def at(ratio: float) -> float:
        return 230 + (ratio - 0.8) / 0.25 * 330

    def parts() -> Iterator[str]:
        yield text(18, 30, "cnnx bench --against v10.7: speed beside the older commit's", "soft")
        bottom = 70 + 44 * len(rows)
        for tick in (0.8, 0.85, 0.9, 0.95, 1.0, 1.05):
            yield f'<path class="pad" d="M{at(tick):.1f} 46V{bottom}"/>'
            yield text(at(tick), bottom + 18, f"{tick:g}", "soft", "middle")
        least = 1 - float(rows[0][2]) / 100
        place = f'x="{at(least):.1f}" y="46" width="{at(1) - at(least):.1f}" height="{bottom - 46}"'
        yield f'<rect class="good" fill-opacity=".5" {place}/>'
        yield text(at((least + 1) / 2), 62, "budget", "soft", "middle")
        for i, (name, change, _, rounds, verdict) in enumerate(rows):
            y, bad = 90 + 44 * i, verdict == "SLOWER"
            yield text(18, y + 4, name)
            for j, (middle, low, high) in enumerate(INTERVAL.findall(rounds)):
                d = y - 7 + 14 * j if len(INTERVAL.findall(rounds)) > 1 else y
                yield f'<path class="line" stroke-width="2" d="M{at(float(low)):.1f} {d}H{at(float(high)):.1f}"/>'
                yield f'<circle class="{"bad" if bad else "good"}" cx="{at(float(middle)):.1f}" cy="{d}" r="5"/>'
            yield text(580, y + 4, f"{change.replace('-', MINUS)} %, {verdict}", "wrong" if bad else "")

    return picture(760, 236, "Three functions' speeds beside an older commit's: one is slower than its budget", parts())


DRAWN = {"use.svg": use, "audit.svg": found, "speed.svg": speed}

if __name__ == "__main__":
    for name, draw in DRAWN.items():
        (HERE / name).write_text(draw(), encoding="utf-8", newline="\n")
        print(HERE / name)
