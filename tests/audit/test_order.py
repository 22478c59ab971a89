"""In which order black boxes sum: kernels whose order is known, in NumPy, and that nothing is said of what has none.

Each kernel adds in its own order; only what it is, not how the audit finds it, is written here.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import cnnx
import cnnx.cli
from cnnx.audit.mutants._mutant import right
from cnnx.audit.order import summation_order
from cnnx.audit.order.simulate import rounded
from cnnx.audit.order.tree import NoTreeError, common, revealed
from cnnx.audit.order.words import described, written

pytestmark = pytest.mark.once

TERMS = 40


def affine(total: Callable[[Any, Any], Any]) -> dict[str, Any]:
    """A back end whose sums of products over the last axis are `total`'s; the bias comes last, but in double."""

    def kernel(Z: Any, W: Any, b: Any, /, Y: Any) -> None:
        products = Z[:, None, :] * W[None]
        Y[...] = total(products, b) if total is in_double else total(products, None) + b

    return {"affine": kernel}


def chain(products: Any, b: Any) -> Any:
    total = products[..., 0] if b is None else b + products[..., 0]
    for j in range(1, products.shape[-1]):
        total = total + products[..., j]
    return total


def backwards(products: Any, b: Any) -> Any:
    return chain(products[..., ::-1], b)


def pairwise(products: Any, b: Any) -> Any:
    n = products.shape[-1]
    if n == 1:
        return products[..., 0]
    return pairwise(products[..., : n // 2], b) + pairwise(products[..., n // 2 :], b)


def lanes(products: Any, b: Any) -> Any:
    return chain(np.stack([chain(products[..., lane::8], None) for lane in range(8)], -1), b)


def halved_lanes(products: Any, b: Any) -> Any:
    sums = np.stack([chain(products[..., lane::8], None) for lane in range(8)], -1)
    while sums.shape[-1] > 1:
        half = sums.shape[-1] // 2
        sums = sums[..., :half] + sums[..., half:]
    return sums[..., 0]


def blocks(products: Any, b: Any) -> Any:
    return chain(np.stack([chain(products[..., i : i + 16], None) for i in range(0, TERMS, 16)], -1), b)


def in_double(products: Any, b: Any) -> Any:
    return chain(products.astype(float), b).astype(products.dtype)


def kahan(products: Any, b: Any) -> Any:
    total = lost = np.zeros(products.shape[:-1], products.dtype)
    for j in range(products.shape[-1]):
        y = products[..., j] - lost
        new = total + y
        lost = (new - total) - y
        total = new
    return total


def two_sum(products: Any, b: Any) -> Any:
    """Neumaier's: what is lost of either is kept, and added at last."""
    total = lost = np.zeros(products.shape[:-1], products.dtype)
    for j in range(products.shape[-1]):
        p = products[..., j]
        new = total + p
        lost = lost + np.where(np.abs(total) >= np.abs(p), (total - new) + p, (p - new) + total)
        total = new
    return total + lost


def order(kernels: dict[str, Any], op: str = "affine", **options: Any) -> Any:
    cnnx.register_backend("theirs", kernels)
    return summation_order(op, "theirs", **{"terms": TERMS, **options})


PLAIN = ", bias last, accumulator float32, no fused multiply-add"


@pytest.mark.parametrize(
    ("total", "words"),
    [
        (chain, f"sequential{PLAIN}"),
        (backwards, f"sequential, last first{PLAIN}"),
        (pairwise, f"pairwise{PLAIN}"),
        (lanes, f"8 partial sums by stride, joined one after another{PLAIN}"),
        (halved_lanes, f"8 partial sums by stride, joined by halves{PLAIN}"),
        (blocks, f"blocks of 16 and one of 8, joined one after another{PLAIN}"),
        (in_double, "sequential, bias first, accumulator float64, no fused multiply-add"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_orders_that_are_known(total: Any, words: str) -> None:
    found = order(affine(total))
    assert found.words() == words
    assert found.orders[0].determined
    assert found.orders[0].explained == 16


def test_sums_and_products_in_double() -> None:
    def kernel(Z: Any, W: Any, b: Any, /, Y: Any) -> None:
        Y[...] = chain(Z.astype(float)[:, None] * W.astype(float)[None], b.astype(float))

    assert order({"affine": kernel}).words() == "sequential, bias first, accumulator float64, products exact"


def test_double_precision() -> None:
    words = order(affine(pairwise), dtype="float64").words()
    assert words == "pairwise, bias last, accumulator float64, no fused multiply-add"


def test_fused_multiply_adds_emulated_in_double() -> None:
    """In double a product of two floats is exact, and the sum is rounded once more: to float32."""

    def kernel(Z: Any, W: Any, b: Any, /, Y: Any) -> None:
        total = np.broadcast_to(b, Y.shape).astype("float32")
        for j in range(Z.shape[1]):
            total = (total.astype(float) + Z[:, None, j].astype(float) * W[None, :, j].astype(float)).astype("float32")
        Y[...] = total

    assert order({"affine": kernel}).words() == "sequential, bias first, accumulator float32, fused multiply-add"


def to_bfloat16(a: Any) -> Any:
    bits = np.ascontiguousarray(a, "float32").view(np.uint32).astype(np.uint64)
    return (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16).astype(np.uint32).view("float32")


def to_tf32(a: Any) -> Any:
    bits = np.ascontiguousarray(a, "float32").view(np.uint32).astype(np.uint64)
    return (((bits + 0xFFF + ((bits >> 13) & 1)) >> 13) << 13).astype(np.uint32).view("float32")


@pytest.mark.parametrize(("cut", "kind"), [(to_bfloat16, "bfloat16"), (to_tf32, "float16 or TF32")])
def test_inputs_that_are_rounded(cut: Any, kind: str) -> None:
    def kernel(Z: Any, W: Any, b: Any, /, Y: Any) -> None:
        Y[...] = chain(cut(Z)[:, None] * cut(W)[None], None) + b

    words = order({"affine": kernel}).words()
    assert words == f"sequential, bias last, inputs rounded to {kind}, accumulator float32"


@pytest.mark.parametrize("total", [kahan, two_sum])
def test_compensated_sums_are_not_determined(total: Any) -> None:
    found = order(affine(total))
    assert not found.orders[0].determined
    assert found.words().startswith("not determined: ")


def test_an_order_that_has_no_name_is_a_tree() -> None:
    """Of four: 0 and 3, then 2 with 1."""
    found = order(affine(lambda p, b: (p[..., 0] + p[..., 3]) + (p[..., 1] + p[..., 2])), terms=4)
    assert found.words() == f"another tree, 2 additions deep{PLAIN}"
    assert found.trees() == ["(((j0 + j3) + (j1 + j2)) + b)"]


def test_sums_that_depend_on_their_place() -> None:
    def kernel(Z: Any, W: Any, b: Any, /, Y: Any) -> None:
        products = Z[:, None, :] * W[None]
        Y[:4] = chain(products[:4], None) + b
        Y[4:] = pairwise(products[4:], None) + b

    words = order({"affine": kernel}).words()
    assert words == f"at 4 of 5 places: sequential{PLAIN}; at 1 of 5 places: pairwise, bias last"


def test_sums_that_depend_on_their_channel() -> None:
    def kernel(Z: Any, W: Any, b: Any, /, Y: Any) -> None:
        products = Z[:, None, :] * W[None]
        Y[:, ::2] = chain(products[:, ::2], None) + b[::2]
        Y[:, 1::2] = pairwise(products[:, 1::2], None) + b[1::2]

    found = order({"affine": kernel}, terms=8)
    assert found.words() == f"sequential{PLAIN}; other sums in other channels"


def conv_direct(Z: Any, F: Any, b: Any, Y: Any, order: str) -> None:
    """Sums over all taps with loops nested as `order` has it, for 3 x 3 at stride 1 without padding."""
    P, Q = Y.shape[2:]
    extents = {"c": Z.shape[1], "r": 3, "s": 3}
    total = np.broadcast_to(b[None, :, None, None], Y.shape).copy()
    for index in np.ndindex(*(extents[axis] for axis in order)):
        at = dict(zip(order, index, strict=True))
        image = Z[:, at["c"], at["r"] : at["r"] + P, at["s"] : at["s"] + Q]
        total = total + image[:, None] * F[None, :, at["c"], at["r"], at["s"], None, None]
    Y[...] = total


@pytest.mark.parametrize("loops", ["crs", "rsc", "src"])
def test_loops_of_a_convolution(loops: str) -> None:
    def conv2d(Z: Any, F: Any, b: Any, /, Y: Any, **numbers: int) -> None:
        conv_direct(Z, F, b, Y, loops)

    words = order({"conv2d": conv2d}, "conv2d", terms=36).words()
    assert words == f"sequential over {', '.join(loops)}, bias first, accumulator float32, no fused multiply-add"


def winograd(Z: Any, F: Any, b: Any, Y: Any) -> None:
    """F(2x2, 3x3) as Lavin and Gray print it: 2 x 2 outputs of 4 x 4 inputs; what is beyond the image is 0."""
    BT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], Z.dtype)
    G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], Z.dtype)
    AT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], Z.dtype)
    P, Q = Y.shape[2:]
    padded = np.pad(Z, ((0, 0), (0, 0), (0, 3), (0, 3)))
    U = np.einsum("ir,kcrs,js->kcij", G, F, G)
    for p in range(0, P, 2):
        for q in range(0, Q, 2):
            V = np.einsum("ir,ncrs,js->ncij", BT, padded[:, :, p : p + 4, q : q + 4], BT)
            tile = np.einsum("ui,nkij,vj->nkuv", AT, np.einsum("kcij,ncij->nkij", U, V), AT)
            Y[:, :, p : p + 2, q : q + 2] = tile[:, :, : P - p, : Q - q] + b[:, None, None]


def test_winograd_is_recognised_and_has_no_order() -> None:
    def conv2d(Z: Any, F: Any, b: Any, /, Y: Any, **numbers: int) -> None:
        winograd(Z, F, b, Y)

    found = order({"conv2d": conv2d}, "conv2d", terms=18)
    assert found.tile == (2, 2)
    assert not found.orders[0].determined
    assert found.words().startswith(
        "inputs are transformed for tiles of outputs, as Winograd's F(2x2, 3x3); not determined: "
    )
    ours = summation_order("conv2d", options={"algorithm": "winograd"}, terms=18)
    assert ours.tile == (4, 4)  # as cnnx.conv2d says
    assert not ours.orders[0].determined


@pytest.mark.parametrize("scaled", ["sum divided", "sum times 1/n", "each times 1/n"])
def test_means(scaled: str) -> None:
    def avg_pool2d(Z: Any, /, Y: Any, *, R: int, S: int, **numbers: int) -> None:
        N, C, P, Q = Y.shape
        windows = Z.reshape(N, C, P, R, Q, S).transpose(0, 1, 2, 4, 3, 5).reshape(N, C, P, Q, R * S)
        n = Z.dtype.type(R * S)
        if scaled == "sum divided":
            Y[...] = chain(windows, None) / n
        elif scaled == "sum times 1/n":
            Y[...] = chain(windows, None) * (1 / n)
        else:
            Y[...] = chain(windows * (1 / n), None)

    assert (
        order({"avg_pool2d": avg_pool2d}, "avg_pool2d", terms=49).words() == "sequential over r, s, accumulator float32"
    )


def test_our_own() -> None:
    """What cnnx/optimized promises: sums in the reference's order, which is that of memory; ARCHITECTURE.md."""
    assert summation_order("conv2d").words().startswith("sequential over c, r, s, bias first, accumulator float32")
    assert summation_order("affine", dtype="float64").words().startswith("sequential, bias first, accumulator float64")
    assert summation_order("avg_pool2d", "reference", terms=9).words() == "sequential over r, s, accumulator float64"


def test_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    found = order({"affine": right("affine")}, "conv2d")
    assert found.words() == "not there: conv2d"
    assert cnnx.cli.main(["audit", "--order", "--backend", "theirs", "--op", "conv2d"]) == 3
    with pytest.raises(ValueError, match="op: expected one of conv2d, affine, avg_pool2d, got 'relu'"):
        summation_order("relu")


# ------------------------------------------------------------------------------------------- trees by sizes


def random_tree(count: int, rng: np.random.Generator) -> Any:
    parts: list[Any] = list(range(count))
    while len(parts) > 1:
        i, j = sorted(rng.choice(len(parts), 2, replace=False))
        parts.append((parts.pop(j), parts.pop(i)))
    return parts[0]


def shape(tree: Any) -> Any:
    """A tree without the order of its parts."""
    return tree if isinstance(tree, int) else frozenset(map(shape, tree))


@pytest.mark.parametrize("seed", range(20))
def test_any_tree_follows_from_its_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 90))
    tree = random_tree(count, rng)
    assert shape(revealed(count, lambda pairs: common(tree, pairs), rng)) == shape(tree)


def test_sizes_of_no_tree_are_refused() -> None:
    """Of four summands: each pair meets in a part of two."""
    with pytest.raises(NoTreeError, match="meets 3 others in a part of 2, where 4 were expected"):
        revealed(4, lambda pairs: [2] * len(pairs), np.random.default_rng(0))


def test_words_for_trees_by_hand() -> None:
    two = ((0, 2), (1, 3))
    assert described(two, {"j": 4}, bias=False) == "2 partial sums by stride, joined one after another"
    four = ((((0, 2), 4), 6), (((1, 3), 5), 7))
    loops = "for each s a sum over r, joined one after another"
    assert described(four, {"r": 4, "s": 2}, bias=False) == loops
    assert described((((0, 4), 1), (2, 3)), {"j": 4}, bias=True) == "pairwise, bias first"
    assert written((3, ((2, 1), 0)), "abcd") == "(((b + c) + a) + d)"
    rows = [((i, i + 1), i + 2) for i in (0, 3, 6)]
    loops = "for each r a sum over s, joined one after another"
    assert described(((rows[0], rows[1]), rows[2]), {"r": 3, "s": 3}, bias=False) == loops


@pytest.mark.parametrize("bits", [8, 24])
def test_rounding_is_to_the_nearest(bits: int) -> None:
    unit = Fraction(1, 2 ** (bits - 1))
    assert rounded(1 + unit / 2, bits) == 1  # a tie: to even
    assert rounded(1 + unit * 3 / 2, bits) == 1 + 2 * unit
    assert rounded(-(1 + unit * 2 / 3), bits) == -(1 + unit)
    values = np.random.default_rng(0).standard_normal(100)
    assert all(float(rounded(Fraction(float(v)), 24)) == float(np.float32(v)) for v in values)


# --------------------------------------------------------------------------------------------- command line


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", "--order", "--op", "affine", "--dtype", "float32", "--terms", "8", "--backend"]
    assert cnnx.cli.main([*arguments, "reference,numpy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "affine, float32: sums over j 8 and a bias"
    assert lines[1].startswith(f"  cnnx {cnnx.__version__}")
    assert lines[1].endswith("  sequential, bias first, accumulator float64, products exact")
    assert lines[2].startswith(f"  numpy {np.__version__}")
    assert lines[3] == "  reference: ((((((((j0 + b) + j1) + j2) + j3) + j4) + j5) + j6) + j7)"
    assert cnnx.cli.main([*arguments, "reference", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["version"], found["lacking"]) == (f"cnnx {cnnx.__version__}", "")
    (one,) = found["orders"]
    assert (one["determined"], one["places"], one["explained"]) == (True, [5, 5], 16)
    assert (one["input_bits"], one["accumulator_bits"], one["products"]) == ([24, 24], 53, "exact")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--order", "--check", "bound"], "--check: expected none with --order, which judges nothing"),
        (["--order", "--kernel", "mine.py"], "--kernel: expected a Python file, or FILE.py:NAME, got 'mine.py'"),
        (["--order", "--isolated"], "--isolated: expected none with --order"),
        (["--order", "--jobs", "2"], "--jobs: expected none with --order"),
        (["--order", "--backend", "numpy,nobody"], "no back end is called 'nobody'"),
        (["--order", "--terms", "1"], "--terms: expected at least 2, got 1"),
        (["--order", "--op", "relu"], "op: expected one of conv2d, affine, avg_pool2d, got 'relu'"),
        (["--terms", "9"], "--terms: expected --order with it"),
    ],
)
def test_what_does_not_fit(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert cnnx.cli.main(["audit", *arguments]) == 2
    assert message in capsys.readouterr().err
