"""The tree that sizes of common parts belong to, or that there is none."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np

# A leaf is the number of a summand; an inner node the two parts that are added.
Tree = int | tuple["Tree", "Tree"]
Pair = tuple[int, int]
Sizes = Callable[[Sequence[Pair]], list[int]]  # of pairs: of how many summands their smallest common part is

ALL_PAIRS = 64  # summands up to which all pairs are asked at last; of more so many for each summand
ASKED = 4


T = TypeVar("T")


class NoTreeError(Exception):
    """No tree has these sizes; the message says why."""


def folded(tree: Tree, of_leaf: Callable[[int], T], of_node: Callable[[T, T], T]) -> T:
    """What a tree comes to, from its leaves on; a chain may be longer than Python calls itself."""
    done: list[T] = []
    todo: list[Tree | None] = [tree]
    while todo:
        node = todo.pop()
        if node is None:
            b, a = done.pop(), done.pop()
            done.append(of_node(a, b))
        elif isinstance(node, int):
            done.append(of_leaf(node))
        else:
            todo += [None, node[1], node[0]]
    return done[0]


def leaves(tree: Tree) -> list[int]:
    """The summands, in the tree's order."""
    found: list[int] = []
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, int):
            found.append(node)
        else:
            todo += reversed(node)
    return found


def common(tree: Tree, pairs: Sequence[Pair]) -> list[int]:
    """The size of the smallest common part of each pair."""
    above: dict[int, list[int]] = {}  # by summand, the nodes above it from the root on
    size: list[int] = []
    todo: list[tuple[Tree, list[int]]] = [(tree, [])]
    while todo:
        node, path = todo.pop()
        if isinstance(node, int):
            above[node] = path
        else:
            path = [*path, len(size)]
            size.append(len(leaves(node)))
            todo += [(child, path) for child in node]
    return [size[max(set(above[i]) & set(above[j]))] for i, j in pairs]


def revealed(count: int, sizes: Sizes, rng: np.random.Generator) -> Tree:
    """The tree of a sum of so many, by asking for sizes: of one summand with all others, then within the parts.

    At last all pairs are asked, or many, since what is no tree may look like one.

    Raises
    ------
    NoTreeError
    """
    tree = _of(list(range(count)), sizes, rng)
    pairs = list(combinations(range(count), 2))
    if count > ALL_PAIRS:
        pairs = [pairs[i] for i in rng.choice(len(pairs), ASKED * count, replace=False)]
    for pair, size, expected in zip(pairs, sizes(pairs), common(tree, pairs), strict=True):
        if size != expected:
            raise NoTreeError(
                f"summands {pair[0]} and {pair[1]} meet in a part of {size}, by those of others in one of {expected}"
            )
    return tree


def _of(part: list[int], sizes: Sizes, rng: np.random.Generator) -> Tree:
    """The tree of a part: what joins one of its summands, chosen at random, from its neighbour up to the root."""
    if len(part) == 1:
        return part[0]
    first = part[int(rng.integers(len(part)))]
    others = [i for i in part if i != first]
    joined: dict[int, list[int]] = {}
    for other, size in zip(others, sizes([(first, i) for i in others]), strict=True):
        joined.setdefault(size, []).append(other)
    tree: Tree = first
    so_far = 1
    for size in sorted(joined):
        so_far += len(joined[size])
        if size != so_far:
            raise NoTreeError(
                f"summand {first} meets {len(joined[size])} others in a part of {size}, where {so_far} were expected"
            )
        tree = (tree, _of(joined[size], sizes, rng))
    return tree
