"""In which order an op of a back end sums, in what arithmetic, and whether that explains its sums of random numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ... import backend as _backend
from ..contract import Kernel, in_force
from ..data import Array
from .arithmetic import LARGEST_TILE, Numbers, numbers, transform
from .probe import OPS, Sums, fits, masked, sums
from .simulate import DRAWS, explained
from .tree import NoTreeError, Pair, Tree, revealed
from .words import SHORT, described, written

PLACES = 3  # kinds of places whose trees are revealed


@dataclass(frozen=True)
class Order:
    """How sums are computed, at some of their places.

    tree : None where there is none; `why` says why.
    places : how many outputs of a call are summed so; of how many.
    explained : of how many sums of random numbers tree and arithmetic give the bits; of `DRAWS`. -1: not asked.
    """

    tree: Tree | None
    why: str
    places: tuple[int, int]
    numbers: Numbers | None = None
    explained: int = -1

    @property
    def determined(self) -> bool:
        """There is a tree, and it explains all sums of random numbers, if they were asked for."""
        return self.tree is not None and self.explained in (-1, DRAWS)


@dataclass(frozen=True)
class SummationOrder:
    """What was revealed of one op in one dtype.

    orders : by kinds of places, that of the first output first.
    tile : rows and columns of outputs that share a transform, or None.
    channels_alike : whether it does not matter in which output channel a sum stands.
    lacking : why the back end could not be asked, or "".
    """

    op: str
    backend: str
    dtype: str
    axes: Mapping[str, int]
    options: Mapping[str, Any]
    bias: bool
    orders: tuple[Order, ...] = ()
    tile: tuple[int, int] | None = None
    channels_alike: bool = True
    calls: int = 0
    lacking: str = ""

    def words(self) -> str:
        """In a line."""
        if self.lacking:
            return f"not there: {self.lacking}"
        found = []
        if self.tile is not None:
            found.append(_transform(self.tile))
        for order in self.orders:
            at = "" if len(self.orders) == 1 and order.places[0] == order.places[1] else _at(order.places)
            found.append(f"{at}{self._of(order)}")
        if not self.channels_alike:
            found.append("other sums in other channels")
        return "; ".join(found)

    def _of(self, order: Order) -> str:
        if order.tree is None:
            return f"not determined: {order.why}"
        words = described(order.tree, self.axes, self.bias)
        if order.numbers is not None:
            words = ", ".join([words, *order.numbers.words(self.dtype)])
        if not order.determined:
            words = (
                f"not determined: additions meet as in {words}, which gives the bits of {order.explained} of {DRAWS} "
                "sums of random numbers"
            )
        return words

    def trees(self) -> list[str]:
        """The trees of few summands, in brackets."""
        asked = Sums(self.op, self.backend, self.dtype, self.axes, with_bias=self.bias)
        if asked.summands > SHORT:
            return []
        return [written(o.tree, asked.names) for o in self.orders if o.tree is not None]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "op": self.op,
            "backend": self.backend,
            "dtype": self.dtype,
            "axes": dict(self.axes),
            "options": dict(self.options),
            "words": self.words(),
            "lacking": self.lacking,
            "transform_tile": None if self.tile is None else list(self.tile),
            "channels_alike": self.channels_alike,
            "calls": self.calls,
            "orders": [
                {
                    "determined": order.determined,
                    "why": order.why,
                    "places": list(order.places),
                    "tree": order.tree,
                    "input_bits": None if order.numbers is None else list(order.numbers.inputs),
                    "accumulator_bits": None if order.numbers is None else order.numbers.accumulator,
                    "products": None if order.numbers is None else order.numbers.products,
                    "explained": order.explained,
                    "of_random_sums": DRAWS,
                }
                for order in self.orders
            ],
        }


def _transform(tile: tuple[int, int]) -> str:
    if max(tile) <= LARGEST_TILE:
        return f"inputs are transformed for tiles of outputs, as Winograd's F({tile[0]}x{tile[1]}, 3x3)"
    return "inputs are transformed over many outputs, as by a Fourier transform"


def _at(places: tuple[int, int]) -> str:
    return f"at {places[0]} of {places[1]} places: "


def summation_order(
    op: str,
    backend: str | Kernel = "optimized",
    *,
    dtype: str | None = None,
    terms: int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> SummationOrder:
    """Reveal in which order an op of a back end sums.

    Ones are summed, of which two are M and -M: as many survive as are added after the two met. From many such sums the
    tree of additions follows, or that there is none. Others say how many bits the accumulator and the inputs have, and
    whether products are rounded; and a simulation whether all of that explains sums of random numbers, bit by bit.
    What it does not explain (a compensated sum, a transform) is said to be not determined.

    Parameters
    ----------
    op : str
        "conv2d" (3 x 3, stride 1), "affine" or "avg_pool2d" (a mean).
    backend : str or Kernel
        Whose; or somebody's function by contract, of float16 or bfloat16 too.
    dtype : "float32", "float64" or None
        None is float32, and of a contract its own.
    terms : int or None
        About how many products a sum has; None: 72, 96 and 49. Libraries cut long sums into blocks.
    options : mapping or None
        Further ones of `cnnx.conv2d`: {"algorithm": "winograd"}.
    seed : int
        For the order in which pairs are asked.

    Returns
    -------
    SummationOrder
        `words()` says it in a line.

    Raises
    ------
    ValueError
        Another op, or no back end of that name; a contract of another op, with a tail, or of gradients.

    Examples
    --------
    >>> from cnnx.audit.order import summation_order
    >>> summation_order("affine", "reference", terms=8).words()
    'sequential, bias first, accumulator float64, products exact'
    """
    if op not in OPS:
        raise ValueError(f"op: expected one of {', '.join(OPS)}, got {op!r}")
    if isinstance(backend, Kernel):
        return of_contract(op, backend, dtype, terms, dict(options or {}), seed)
    return _revealed(sums(op, backend, dtype or "float32", terms, dict(options or {})), seed)


def of_contract(
    op: str, kernel: Kernel, dtype: str | None, terms: int | None, options: dict[str, Any], seed: int
) -> SummationOrder:
    """That of a function by contract, on arrays of its dtype."""
    if kernel.op != op or kernel.tail or kernel.gradients:
        raise ValueError(f"backend: expected a kernel of {op} and nothing fused, got {kernel!r}")
    dtype = kernel.dtypes[0] if dtype is None else dtype
    if dtype not in kernel.dtypes:
        raise ValueError(f"dtype: expected {' or '.join(kernel.dtypes)}, as the contract says, got {dtype!r}")
    with_bias = "bias" in kernel.arguments.values()
    with in_force(kernel) as name:
        asked = sums(op, name, dtype, terms, options, with_bias=with_bias)
        about = SummationOrder(op, name, dtype, asked.axes, asked.options, asked.bias)
        if asked.mean and dtype == "float16":
            return replace(about, lacking="float16 has no numbers between which a mean of ones would show")
        if (why := fits(kernel, asked)) is not None:
            return replace(about, lacking=why)
        return _revealed(asked, seed)


def _revealed(asked: Sums, seed: int) -> SummationOrder:
    rng = np.random.default_rng(seed)
    op, backend, dtype = asked.op, asked.backend, asked.dtype
    about = SummationOrder(op, backend, dtype, asked.axes, asked.options, asked.bias)
    try:
        asked.look_at_channels(rng)
        orders = _orders(asked, rng)
        tile = transform(backend, dtype, asked.axes["c"], asked.options) if op == "conv2d" else None
    except _backend.MissingKernelError as error:
        return replace(about, lacking=error.why or error.what)
    return replace(about, orders=orders, tile=tile, channels_alike=not asked.apart, calls=asked.calls)


def _orders(asked: Sums, rng: np.random.Generator) -> tuple[Order, ...]:
    """That of the first place, and of places where the same sums come to something else."""
    seen: list[Array] = []

    def sizes_at(place: int) -> Any:
        def sizes(pairs: Sequence[Pair]) -> list[int]:
            found = asked.everywhere(masked(asked.summands, pairs, asked.dtype))
            seen.append(found)
            left = found[:, place].astype(float) / asked.unit * (asked.count if asked.mean else 1)
            whole = np.rint(left)
            wrong = ~(np.abs(left - whole) < 1e-3) | (whole < 0) | (whole > asked.summands - 2)
            if wrong.any():
                raise NoTreeError(f"of {asked.summands - 2} ones and a pair that cancels {left[wrong][0]:g} is left")
            return [asked.summands - int(n) for n in whole]

        return sizes

    orders: list[Order] = []
    todo, total = np.zeros(0, bool), 0
    while len(orders) < PLACES and (not orders or todo.any()):
        place = int(np.flatnonzero(todo)[0]) if orders else 0
        seen.clear()
        tree, why = None, ""
        try:
            tree = revealed(asked.summands, sizes_at(place), rng)
        except NoTreeError as error:
            why = str(error)
        every = np.concatenate(seen)
        alike = (every == every[:, place : place + 1]).all(axis=0)
        total = alike.size
        todo = ~alike if not orders else todo & ~alike
        here = (int(alike.sum()), total)
        if tree is None or place:
            orders.append(Order(tree, why, here))
            continue
        known = numbers(asked, tree)
        orders.append(Order(tree, why, here, known, explained(asked, tree, known, rng)))
    return tuple(orders)
