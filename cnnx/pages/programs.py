"""One small program for each erratum: what is printed, computed literally, beside what cnnx does.

They are read as well as run: a page has the lines of a function and what they print. Nothing of the package calls them.
"""

import math

import numpy as np

import cnnx
from cnnx.pages import ox


def m17_table_1() -> None:
    H, W, R, S, u, v = 7, 9, 3, 3, 2, 3
    print("P as printed, by v:", math.ceil((H - R + 1) / v))
    print("P by u:            ", math.ceil((H - R + 1) / u))
    y = cnnx.conv2d(np.zeros((1, 1, H, W)), np.zeros((1, 1, R, S)), stride=(u, v))
    print("rows of the output:", y.shape[2])


def m17_4_6() -> None:
    Delta = np.array([[[[1.0, 2.0]], [[30.0, 40.0]]]])  # one image, two output channels
    x, weight = np.ones((1, 1, 1, 2)), np.ones((2, 1, 1, 1))
    print("one b for all, as (4): ", Delta.sum())
    print("k left free, as (6):   ", Delta[:, 0].sum(), "or", Delta[:, 1].sum())
    print("one b[k] for each:     ", cnnx.conv2d_backward(Delta, x, weight)[2])


def m17_one_over_n() -> None:
    x, weight, target = np.array([[1.0], [3.0]]), np.array([[2.0]]), np.array([[0.0], [0.0]])
    y = cnnx.affine(x, weight)
    mean = cnnx.squared_error_backward(y, target, reduction="mean")  # the cost has divided by N already
    print("the layer sums:         ", cnnx.affine_backward(mean, x, weight)[1])
    print("1/N once more, as (18): ", cnnx.affine_backward(mean, x, weight)[1] / len(x))
    step = 1e-6
    costs = [cnnx.squared_error(cnnx.affine(x, weight + t), target, reduction="mean") for t in (-step, step)]
    print("central difference:      [[%.4f]]" % ((costs[1] - costs[0]) / (2 * step)))


def m17_10_11() -> None:
    h, R, u, p_h, p_w = 3, 3, 2, 1, 0
    for name, padding in (("p_w, as printed", p_w), ("p_h", p_h)):
        p = [p for p in range(1, 4) if (p - 1) * u + 1 - padding <= h <= (p - 1) * u + R - padding]
        print(f"{name}: outputs {p} with kernel rows {[h - (i - 1) * u + p_h for i in p]} of {R}")


def m17_13() -> None:
    x = np.array([[[[-4.0, -3.0], [-2.0, -1.0]]]])
    print("padding as zeros:  ", cnnx.max_pool2d(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), 2).tolist())
    print("padding never wins:", cnnx.max_pool2d(x, 2, padding=1).tolist())


def ties() -> None:
    x, Delta = np.full((1, 1, 2, 2), 7.0), np.array([[[[5.0]]]])
    print('ties="all", as printed:', cnnx.max_pool2d_backward(Delta, x, 2, ties="all").tolist())
    print('ties="first":          ', cnnx.max_pool2d_backward(Delta, x, 2).tolist())
    before, after = np.asarray(cnnx.max_pool2d(x, 2)), np.asarray(cnnx.max_pool2d(x + 1, 2))
    print("raise all pixels by 1: ", 5 * (after - before).item(), "of cost")


def w15_bounds() -> None:
    H, R = 3, 2
    for i in range(H):
        rows = [i - s for s in range(R)]
        print(f"i = {i}: i - s = {rows}; within the map of {H - R + 1}: {[r for r in rows if 0 <= r < H - R + 1]}")


def u19_stride() -> None:
    W, H, beta = 8, 3, 2
    print("as printed:", (W - H) / beta)
    print("floor + 1: ", (W - H) // beta + 1)
    print("cnnx:      ", cnnx.conv2d(np.zeros((1, 1, W, W)), np.zeros((1, 1, H, H)), stride=beta).shape[2])


def u19_uij() -> None:
    beta, H = 1, 2
    print("rows of the first window:   ", [beta * (1 - 1) + p for p in range(1, H + 1)])
    print("columns of it, as printed:  ", [beta * (1 - 1) + q - 1 for q in range(1, H + 1)])


def lp() -> None:
    z = np.array([[[[1.0, -3.0]]]])
    mean = float((z**3).mean())
    print("mean of z^3:", mean, "and its third root as a power:", mean ** (1 / 3))
    print("mean of |z|^3:", cnnx.lp_pool2d(z, 3, (1, 2)).item())


def d19_zfk() -> None:
    image, F2 = np.array([[[[1.0, 1, 1], [1, 0, 1], [1, 1, 1]]]]), np.array([[[[1.0, -1], [-1, 1]]]])
    print("every weight w_11: ", cnnx.conv2d(image, np.full_like(F2, F2[0, 0, 0, 0])).tolist())
    print("each its own:      ", cnnx.conv2d(image, F2).tolist())


def d19_sigmoid_twice() -> None:
    once = ox.run(ox.start(), ox.RING, ox.CROSS)
    twice = ox.run(ox.start(), ox.RING, ox.CROSS, squared=True)
    for name, found in (("once", once), ("twice, as printed", twice)):
        o, x = found.delta_F
        print(f"{name}: o {o[0, 0, 0]:.4e}, {o[1, 0, 1]:.4e}; x {x[0, 0, 1]:.4e}, {x[1, 0, 0]:.4e}")


def d19_4() -> None:
    found, w = ox.run(ox.start(), ox.RING), ox.start().w
    d1, d2 = found.delta_O[0]
    print("delta_1 w_1j + delta_2 w_2j:", (d1 * w[0] + d2 * w[1]).round(4).tolist())
    print("cnnx:                       ", found.delta_P[0].ravel().round(4).tolist())


def d19_last_slide() -> None:
    found = ox.run(ox.start(), ox.RING, ox.CROSS)
    print("delta^O of the o:", found.delta_O[0].round(4).tolist())
    print("delta^O of the x:", found.delta_O[1].round(4).tolist())


def d19_output_layer() -> None:
    o, x = ox.run(ox.start(), ox.RING, ox.CROSS).Z_O - 1  # without the biases of 1
    print("weighted inputs of the o:", o.round(4).tolist())
    print("weighted inputs of the x:", x.round(4).tolist())


def d19_after() -> None:
    for output, target in (((0.2447, 0.8080), (1, 0)), ((0.1859, 0.8542), (0, 1))):
        C = sum((t - a) ** 2 for t, a in zip(target, output, strict=True)) / 2
        print(f"outputs {output}: C = {C:.4f}")


def d19_filter() -> None:
    found = ox.run(ox.start(), ox.RING)
    print("(9), by C3:       ", found.gradients.F[0, 0].round(5).tolist())
    print("delta^O a, as if: ", (found.delta_O[0][0] * found.a_P[0].ravel()).round(5).tolist())


def u19_fc() -> None:
    x, weight = np.array([[1.0]]), np.array([[2.0], [3.0]])
    print("one v_0 for all:", cnnx.affine(x, weight, np.array([5.0, 5.0])).tolist())
    print("one b[i] each:  ", cnnx.affine(x, weight, np.array([5.0, -5.0])).tolist())


def d19_ct() -> None:
    o, x = ox.run(ox.start(), ox.RING).C, ox.run(ox.start(), ox.CROSS).C
    print(f"one o and one x: {o + x:.4f}; three of each: {3 * (o + x):.4f}")


def cn_3() -> None:
    H, H_P, i = 6, 2, 1
    print("rows as printed, to i H_P + H:  ", list(range(i * H_P, i * H_P + H)), f"of {H}")
    print("rows of the window, i H_P + H_P:", list(range(i * H_P, i * H_P + H_P)))


def cn_1() -> None:
    H, FH, S = 8, 3, 2
    print("without a floor:", (H - FH) / S + 1)
    print("cnnx:           ", cnnx.conv2d(np.zeros((1, 1, H, H)), np.zeros((1, 1, FH, FH)), stride=S).shape[2])


def cn_epoch() -> None:
    images, batch = 9_000, 10
    print("10,000 passes over all images:", f"{10_000 * images // batch:,} updates")
    print("10,000 updates:               ", f"{10_000 * batch / images:.1f} passes")
