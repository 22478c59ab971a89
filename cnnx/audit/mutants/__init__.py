"""Real bugs, put into a correct back end one at a time: what the audit has to catch (`cnnx audit --self-test`)."""

from . import (
    activation,
    cheats,
    cheats_by_contract,
    convolution,
    cost,
    layer,
    pooling,
    reproducible,
    resizing,
    shared,
    sizes,
    transposed,
    winograd,
)
from ._mutant import Mutant as Mutant
from ._mutant import installed as installed
from .cases import CASES as CASES

_FILES = (convolution, transposed, winograd, pooling, resizing, activation, layer, cost, reproducible, sizes, shared)

_CHEATS = (
    Mutant(name, cheat.op, cheat.bug, cheat.seen, {cheat.op: cheat.kernel}, f"{cheats.__file__}:{name}")
    for name, cheat in cheats.CHEATS.items()
)

_BY_CONTRACT = (
    Mutant(
        name, op, bug, seen, {op: getattr(cheats_by_contract, name).function},
        f"{cheats_by_contract.__file__}:{name}", by_contract=True,
    )
    for name, (op, bug, seen) in cheats_by_contract.BUGS.items()
)  # fmt: skip

MUTANTS: tuple[Mutant, ...] = tuple(
    sorted(
        (*(mutant for file in _FILES for mutant in file.BUGS.all), *_CHEATS, *_BY_CONTRACT),
        key=lambda mutant: list(CASES).index(mutant.op),
    )
)
