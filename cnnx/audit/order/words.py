"""A tree in a line: sequential, pairwise, partial sums by stride, blocks, and how these are joined."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, permutations, product
from math import prod

from .tree import Tree, folded, leaves

SHORT = 16  # summands up to which a tree is written out
MOST_BLOCKS = 64
WHOLE = {
    "one after another": "sequential",
    "from the last to the first": "sequential, last first",
    "pairwise": "pairwise",
}  # what joins single summands


def described(tree: Tree, axes: Mapping[str, int], bias: bool) -> str:
    """The order of a sum over these axes, outermost first in memory; `bias`: a last summand stands for it."""
    where = ""
    if bias:
        tree, where = _without(tree, prod(axes.values()))
    long = [name for name, extent in axes.items() if extent > 1]

    def over(order: Sequence[str]) -> str:
        return f" over {', '.join(order)}" if len(long) > 1 else ""

    found: dict[tuple[str, ...], str] = {}
    for kind in (_simple, _pattern):
        for order in permutations(axes):
            words = kind(_renumbered(tree, _places(axes, order)))
            if words.startswith("sequential"):
                return f"{words}{over(order)}{where}"
            if words:
                found[order] = words
        if found:
            break
    for order, words in found.items():
        loops = _loops(words, [name for name in order if name in long], axes) if words.startswith("blocks of ") else ""
        if loops:
            return f"{loops}{where}"
    for order, words in found.items():
        return f"{words}{over(order)}{where}"
    return f"another tree, {_depth(tree)} additions deep{where}"


def _loops(words: str, order: Sequence[str], axes: Mapping[str, int]) -> str:
    """Blocks that are the inner loops, by the loops' names; or ""."""
    size, join = words.removeprefix("blocks of ").split(", joined ", 1)
    size, _, kind = size.partition(" ")
    for inner in range(1, len(order)):
        if size == str(prod(axes[name] for name in order[inner:])):
            loops = f"for each {', '.join(order[:inner])} a sum over {', '.join(order[inner:])}"
            return f"{loops}{' ' * bool(kind)}{kind}, joined {join}"
    return ""


def written(tree: Tree, names: Sequence[str]) -> str:
    """The tree in brackets, parts with lower summands first, and parts before single summands."""
    words: tuple[str, int, bool] = folded(
        tree,
        lambda leaf: (names[leaf], leaf, True),
        lambda a, b: _bracket(*((a, b) if (a[2], a[1]) < (b[2], b[1]) else (b, a))),
    )
    return words[0]


def _bracket(a: tuple[str, int, bool], b: tuple[str, int, bool]) -> tuple[str, int, bool]:
    return f"({a[0]} + {b[0]})", min(a[1], b[1]), False


def _places(axes: Mapping[str, int], order: Sequence[str]) -> dict[int, int]:
    """By a summand's number in memory, its number where loops are nested in this order."""
    numbers = {index: i for i, index in enumerate(product(*(range(n) for n in axes.values())))}
    found = {}
    for i, index in enumerate(product(*(range(axes[name]) for name in order))):
        at = dict(zip(order, index, strict=True))
        found[numbers[tuple(at[name] for name in axes)]] = i
    return found


def _renumbered(tree: Tree, place: Mapping[int, int]) -> Tree:
    def number(leaf: int) -> Tree:
        return place[leaf]

    def node(a: Tree, b: Tree) -> Tree:
        return (a, b)

    return folded(tree, number, node)


def _without(tree: Tree, leaf: int) -> tuple[Tree, str]:
    """The tree without the bias, and where that comes in: first, if it meets a single summand that others then join."""
    met: list[Tree] = []

    def joined(a: Tree | None, b: Tree | None) -> Tree | None:
        if a is None or b is None:
            met.append(b if a is None else a)  # type: ignore[arg-type]
            return met[0]
        return (a, b)

    rest: Tree | None = folded(tree, lambda one: None if one == leaf else one, joined)
    assert rest is not None
    if isinstance(met[0], int):
        return rest, ", bias first"
    return rest, ", bias last" if isinstance(tree, tuple) and leaf in tree else ", bias within"


def _depth(tree: Tree) -> int:
    depth: int = folded(tree, lambda leaf: 0, lambda a, b: 1 + max(a, b))
    return depth


# ---------------------------------------------------------------------------------------------- patterns


def run(tree: Tree) -> list[int] | None:
    """The summands of a chain in the order in which they come in, the first two by number; None: it is no chain."""
    found: list[int] = []
    while isinstance(tree, tuple):
        a, b = tree
        if isinstance(a, int) and isinstance(b, int):
            return [min(a, b), max(a, b), *reversed(found)]
        if isinstance(a, int):
            a, b = b, a
        if not isinstance(b, int):
            return None
        found.append(b)
        tree = a
    return [tree]


def step(chain: Sequence[int]) -> int | None:
    """By how much a chain goes on, if always by as much; else None. Which of its first two came first is not known."""
    for order in (chain, [*chain[1::-1], *chain[2:]]):
        steps = {b - a for a, b in pairwise(order)}
        if len(steps) == 1:
            return steps.pop()
    return None


def _pattern(tree: Tree) -> str:
    """The kind of a tree over 0, 1, ... that is none of the simple ones, or ""."""
    return _with_rest(tree) or _of_alike(tree)


def _simple(tree: Tree) -> str:
    """Sequential, pairwise, partial sums by stride, blocks of neighbours; or ""."""
    if isinstance(tree, int):
        return "one summand"
    joined = _joined(tree)
    if joined in WHOLE:
        return WHOLE[joined]
    chains: list[list[int]] = []
    top = _cut(tree, chains)
    return _of_chains(top, chains)


def _with_rest(tree: Tree) -> str:
    """The kind of a tree whose last summands are added one after another to a part of another kind, or ""."""
    count, rest = len(leaves(tree)), 0
    while isinstance(tree, tuple) and count - 1 - rest in tree:
        tree = tree[tree[0] == count - 1 - rest]
        rest += 1
    inner = _simple(tree) if rest and isinstance(tree, tuple) else ""
    return f"{inner}, then the last {rest} one after another" if inner else ""


def _of_alike(tree: Tree) -> str:
    """The kind of a tree that joins neighbouring blocks of one kind, or ""."""
    blocks: list[Tree] = [tree]
    while len(blocks) < MOST_BLOCKS:  # the largest ones are cut until all are as large
        largest = max(len(leaves(block)) for block in blocks)
        if len(blocks) > 1 and len({len(leaves(block)) for block in blocks}) == 1:
            starts = sorted(min(leaves(block)) for block in blocks)
            kinds = {_kind_of(block) for block in blocks}
            if starts == list(range(0, len(blocks) * largest, largest)) and len(kinds) == 1 and (kind := kinds.pop()):
                join = _joined(_above(tree, largest))
                return f"blocks of {largest} ({kind}), joined {join}" if join else ""
        cut: list[Tree] = []
        for block in blocks:
            cut += block if isinstance(block, tuple) and len(leaves(block)) == largest else (block,)
        if any(isinstance(block, int) for block in cut):
            return ""
        blocks = cut
    return ""


def _kind_of(block: Tree) -> str:
    """The kind of a part of neighbours, or ""."""
    first = min(leaves(block))
    if max(leaves(block)) - first + 1 != len(leaves(block)):
        return ""
    moved = _renumbered(block, {leaf: leaf - first for leaf in leaves(block)})
    return _simple(moved) or _with_rest(moved)


def _above(tree: Tree, size: int) -> Tree:
    """The tree above its blocks of this size, numbered by where they begin."""
    if len(leaves(tree)) == size:
        return min(leaves(tree)) // size
    assert isinstance(tree, tuple)
    return (_above(tree[0], size), _above(tree[1], size))


def _of_chains(top: Tree, chains: list[list[int]]) -> str:
    """The kind of a tree that joins chains, or ""."""
    steps = [step(chain) if len(chain) > 1 else 0 for chain in chains]
    starts = [min(chain) for chain in chains]
    order = sorted(range(len(chains)), key=starts.__getitem__)
    renumber = {old: new for new, old in enumerate(order)}
    k, top = len(chains), _renumbered(top, renumber)
    join = _joined(top) or (f"as {written(top, list(map(str, range(k))))}" if k <= SHORT else "")
    if not join:
        return ""
    sizes = [len(chains[i]) for i in order]
    if sorted(starts) == list(range(k)) and all(s in (k, 0) for s in steps) and max(sizes) - min(sizes) <= 1:
        return f"{k} partial sums by stride, joined {join}"
    ends = [starts[i] + sizes[j] for j, i in enumerate(order)]
    whole = all(s in (1, 0) for s in steps) and ends[:-1] == sorted(starts)[1:]
    if whole and len({*sizes[:-1]}) == 1 and sizes[-1] <= sizes[0]:
        rest = f" and one of {sizes[-1]}" if sizes[-1] != sizes[0] else ""
        return f"blocks of {sizes[0]}{rest}, joined {join}"
    return ""


def _cut(tree: Tree, parts: list[list[int]]) -> Tree:
    """The tree above its largest chains of even steps, whose numbers are their places in `parts`."""

    def above(one: list[int] | tuple[Tree]) -> Tree:
        if isinstance(one, tuple):
            return one[0]
        parts.append(one)
        return len(parts) - 1

    def joined(a: list[int] | tuple[Tree], b: list[int] | tuple[Tree]) -> list[int] | tuple[Tree]:
        if isinstance(a, list) and isinstance(b, list) and 1 in (len(a), len(b)):
            longer, single = (a, b) if len(a) >= len(b) else (b, a)
            chain = sorted(longer + single) if len(longer) == 1 else longer + single
            if step(chain) is not None:
                return chain
        return ((above(a), above(b)),)

    start: Callable[[int], list[int] | tuple[Tree]] = lambda leaf: [leaf]  # noqa: E731
    return above(folded(tree, start, joined))


def _joined(tree: Tree) -> str:
    """How a tree joins 0, 1, ..., or ""."""
    chain = run(tree)
    if chain is not None:
        count = len(chain)
        if step(chain) == 1 or count < 3:
            return "one after another"
        return "from the last to the first" if step(chain) == -1 else ""
    if _halves(tree):
        return "pairwise"
    return "by halves" if _parity(tree) else ""


def _halves(tree: Tree) -> bool:
    """Whether each part is one of neighbours, cut in the middle or behind the largest power of two."""
    if isinstance(tree, int):
        return True
    a, b = sorted((sorted(leaves(child)) for child in tree), key=lambda part: part[0])
    n = len(a) + len(b)
    if [*a, *b] != list(range(a[0], a[0] + n)):
        return False
    if len(a) not in (n // 2, n - n // 2, 1 << (n - 1).bit_length() - 1):
        return False
    return _halves(tree[0]) and _halves(tree[1])


def _parity(tree: Tree) -> bool:
    """Whether the second half is added to the first, again and again: the last two are the even and the odd ones."""
    if isinstance(tree, int):
        return True
    every = sorted(leaves(tree))
    parts = [sorted(leaves(child)) for child in tree]
    return sorted(parts) == [every[0::2], every[1::2]] and _parity(tree[0]) and _parity(tree[1])
