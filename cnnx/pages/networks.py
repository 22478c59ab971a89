"""Two whole networks: D19's for o and x, number by number, and CN's for digits, in pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from markupsafe import Markup

import cnnx

from .. import nn
from ..audit import explain
from ..lang import text
from . import ox, picture
from .formula import mathml

ONE = {"u": 1, "v": 1, "p_h": 0, "p_w": 0, "d_h": 1, "d_w": 1, "groups": 1}

CONVOLUTION = (
    r"Z_{ij}^{F_k} = w_{11}^{F_k} x_{ij} + w_{12}^{F_k} x_{i\,j+1} "
    r"+ w_{21}^{F_k} x_{i+1\,j} + w_{22}^{F_k} x_{i+1\,j+1} + b^{F_k}"
)
DELTA_F = r"\delta_{ij}^{F_k} = \delta^{P_k} \, [a_{ij}^{F_k} = a^{P_k}] \, a_{ij}^{F_k} (1 - a_{ij}^{F_k})"
GRADIENTS = r", \quad ".join(rf"\frac{{\partial C_T}}{{\partial {of}}}" for of in ("w^O", "b^O", "w^{F_k}", "b^{F_k}"))


@dataclass(frozen=True)
class Step:
    """One step of D19's network: its name, D19's formula, the equations that it is, and what comes out for o and x."""

    name: str
    formula: Markup
    keys: tuple[str, ...]
    o: list[Markup]
    x: list[Markup]
    example: str = ""


def _four(value: Any) -> str:
    """As D19 prints numbers: four places, whole ones without."""
    number = round(float(value), 4) + 0.0  # not -0
    written = f"{number:.0f}" if number == round(number) else f"{number:.4f}"
    return written.replace("-", "−")


def _grids(name: str, array: Any, lang: str) -> list[Markup]:
    """An array (channels, rows, columns), (rows, columns) or a row of numbers as pictures."""
    planes = array.reshape((1,) * (3 - array.ndim) + array.shape)
    found = []
    for k, plane in enumerate(planes):
        title = f"{name}[{k}]" if len(planes) > 1 else name
        said = "; ".join(", ".join(map(_four, row)) for row in plane)
        drawn = picture.svg(picture.Plane(title, (), plane), f"{title}: {said}", write=_four)
        found.append(Markup('<div><p class="name"><code>{}</code></p>{}</div>').format(title, drawn))
    return found


def d19(lang: str) -> list[tuple[str, list[Step]]]:
    """The steps of both images: forward, backward, and one update by the chain rule, with eta 0.1."""
    net, both = ox.start(), ox.run(ox.start(), ox.RING, ox.CROSS)
    updated = net.updated(both.gradients)
    after = ox.run(updated, ox.RING, ox.CROSS)

    def step(name: str, latex: str, keys: str, of: str, array: Any, example: str = "") -> Step:
        o, x = (_grids(of, one, lang) for one in array)
        return Step(text(f"pages_network.{name}", lang), mathml(latex, block=True), tuple(keys.split()), o, x, example)

    def same(name: str, latex: str, keys: str, arrays: dict[str, Any]) -> Step:
        grids = [grid for of, array in arrays.items() for grid in _grids(of, array, lang)]
        return Step(text(f"pages_network.{name}", lang), mathml(latex, block=True), tuple(keys.split()), grids, [])

    def worked(name: str, kernel: str, output: str, inputs: list[Any], index: tuple[int, ...], **numbers: Any) -> str:
        e = explain(kernel, output, inputs, index, numbers)
        sum_ = " + ".join(f"({t.numbers})" if t.numbers.startswith("-") else t.numbers for t in e.terms)
        at = ",".join(map(str, index[1:]))
        return f"{name}[{at}] = {sum_} = {_four(e.value)}".replace(" * ", " × ").replace("-", "−")

    flat = both.a_P.reshape(2, 2)
    forward = [
        same("filters", r"w^{F_k}, \quad b^{F_k}, \quad w^O, \quad b^O", "", {
            "F": net.F[:, 0], "b": net.b, "w": net.w, "b_O": net.b_O,
        }),
        step("image", r"x_{ij} \in \{0, 1\}", "", "x", both.image[:, 0]),
        step("convolution", CONVOLUTION,
             "C1", "Z_F", both.Z_F, worked("Z_F", "conv2d", "Y", [both.image, net.F, net.b], (0, 0, 0, 0), **ONE)),
        step("sigmoid", r"a_{ij}^{F_k} = \frac{1}{1 + \exp(-Z_{ij}^{F_k})}", "A1", "a_F", both.a_F),
        step("pooling", r"a^{P_k} = \max_{ij} a_{ij}^{F_k}", "P1", "a_P", flat[:, None]),
        step("affine", r"Z_n^O = w_{n1}^O a^{P_1} + w_{n2}^O a^{P_2} + b_n^O", "F1", "Z_O", both.Z_O[:, None],
             worked("Z_O", "affine", "Y", [flat, net.w, net.b_O], (0, 0))),
        step("output", r"a_n^O = \frac{1}{1 + \exp(-Z_n^O)}", "A1", "a_O", both.a_O[:, None]),
        step("cost", r"C = \frac{1}{2} \sum_n (t_n - a_n^O)^2", "E1 E2", "C", _costs(net)[:, None, None]),
    ]  # fmt: skip
    backward = [
        step("delta_O", r"\delta_n^O = (a_n^O - t_n) \, a_n^O (1 - a_n^O)", "E1 A2", "delta_O", both.delta_O[:, None]),
        step("delta_P", r"\delta^{P_k} = \delta_1^O w_{1k}^O + \delta_2^O w_{2k}^O", "F3", "delta_P",
             both.delta_P.reshape(2, 1, 2),
             worked("delta_P", "affine_grad_input", "dZ", [both.delta_O, net.w], (0, 0))),
        step("delta_F", DELTA_F, "P2 A2",
             "delta_F", both.delta_F),
        same("gradients", GRADIENTS,
             "F2 C3 C4 E2", {"dw": both.gradients.w, "db_O": both.gradients.b_O, "dF": both.gradients.F[:, 0],
                             "db": both.gradients.b}),
    ]  # fmt: skip
    update = [
        same("updated", r"w \leftarrow w - \eta \frac{\partial C_T}{\partial w}, \qquad \eta = 0.1", "G1", {
            "F": updated.F[:, 0], "b": updated.b, "w": updated.w, "b_O": updated.b_O,
        }),
        step("output_after", r"a_n^O = \frac{1}{1 + \exp(-Z_n^O)}", "A1", "a_O", after.a_O[:, None]),
        step("cost_after", r"C = \frac{1}{2} \sum_n (t_n - a_n^O)^2", "E1", "C", _costs(updated)[:, None, None]),
    ]  # fmt: skip
    return [("forward", forward), ("backward", backward), ("update", update)]


def _costs(net: ox.Net) -> Any:
    """Of each image by itself."""
    return np.array([ox.run(net, image).C for image in (ox.RING, ox.CROSS)])


# -------------------------------------------------------------------------------------------- CN's network

# Digits of five columns and seven rows, a row for each number: 14 is 01110.
FONT = {
    0: (14, 17, 19, 21, 25, 17, 14),
    1: (4, 12, 4, 4, 4, 4, 14),
    2: (14, 17, 1, 2, 4, 8, 31),
    3: (31, 2, 4, 2, 1, 17, 14),
    4: (2, 6, 10, 18, 31, 2, 2),
    5: (31, 16, 30, 1, 1, 17, 14),
    6: (6, 8, 16, 30, 17, 17, 14),
    7: (31, 1, 2, 4, 8, 8, 8),
    8: (14, 17, 17, 14, 17, 17, 14),
    9: (14, 17, 17, 15, 1, 2, 12),
}
SIDE = 12
SHOWN_DIGITS = (2, 5, 7)
UPDATES, BATCH, RATE = 400, 20, 0.1


def digit_images() -> tuple[Any, Any]:
    """All digits at nine places of an image of 12 x 12 pixels, and which they are."""
    images, labels = [], []
    for digit, rows in FONT.items():
        bits = np.array([[row >> (4 - column) & 1 for column in range(5)] for row in rows], "float32")
        for top in (1, 2, 3):
            for left in (2, 3, 4):
                image = np.zeros((SIDE, SIDE), "float32")
                image[top : top + 7, left : left + 5] = bits
                images.append(image)
                labels.append(digit)
    return np.stack(images)[:, None], np.array(labels)


@cache
def trained() -> tuple[nn.Sequential, list[float], float]:
    """CN's network, trained on the digits of `FONT`; its costs by epoch, and the share that it gets right."""
    images, labels = digit_images()
    model = nn.cn_network(image=(1, SIDE, SIDE), seed=0)
    history = nn.fit(model, nn.CrossEntropy(), nn.SGD(RATE), images, labels, batch_size=BATCH, updates=UPDATES, seed=0)
    model.eval()
    right = float((model.forward(images).argmax(axis=1) == labels).mean())
    return model, [float(epoch.loss) for epoch in history.epochs], right


@dataclass(frozen=True)
class Shown:
    """A layer's output for one digit, as pictures."""

    name: str
    keys: tuple[str, ...]
    pictures: list[Markup]
    shape: str


KEYS = {"Conv2d": ("C1",), "ReLU": ("A1",), "MaxPool2d": ("P1",), "Affine": ("F1",)}


def cn(lang: str) -> Iterator[tuple[int, list[Shown]]]:
    """What comes out of every layer for some digits."""
    model, _, _ = trained()
    images, labels = digit_images()
    for digit in SHOWN_DIGITS:
        x = images[labels == digit][4:5]
        shown = [Shown(text("pages_network.input", lang), (), _maps("x", x, lang), _shape(x))]
        for layer in model.layers:
            x = layer.forward(x)
            name = type(layer).__name__
            if name != "Flatten":
                shown.append(Shown(repr(layer), KEYS[name], _maps("y", x, lang), _shape(x)))
        shares = cnnx.softmax(x)
        shown.append(Shown("softmax", ("A3", "E3"), _maps("y", shares, lang), _shape(shares)))
        yield digit, shown


def filters(lang: str) -> list[tuple[str, list[Markup]]]:
    """What both convolutions have learnt."""
    convolutions = [layer for layer in trained()[0].layers if isinstance(layer, nn.Conv2d)]
    return [
        (repr(layer), [picture.heat(plane, _heat_words(f"F[{k},{c}]", plane, lang), 14)
                       for k, kernel in enumerate(layer.parameters["weight"]) for c, plane in enumerate(kernel)])
        for layer in convolutions
    ]  # fmt: skip


def _shape(x: Any) -> str:
    return " × ".join(map(str, x.shape[1:]))


def _maps(name: str, x: Any, lang: str) -> list[Markup]:
    planes = x[0] if x.ndim == 4 else x[0][None, None]
    side = {12: 9, 6: 12, 3: 16}.get(planes.shape[-2], 22)
    return [picture.heat(plane, _heat_words(f"{name}[{k}]", plane, lang), side) for k, plane in enumerate(planes)]


def _heat_words(name: str, plane: Any, lang: str) -> str:
    least, most = picture.short(plane.min()), picture.short(plane.max())
    rows, columns = plane.shape
    return text("pages_network.heat", lang, name=name, rows=rows, columns=columns, least=least, most=most)
