"""Arguments of layers, costs and optimisers, checked once."""

from collections.abc import Callable

import numpy as np

from .. import _check, use_backend

Seed = int | np.random.SeedSequence | np.random.Generator | None


def generator(seed: Seed) -> np.random.Generator:
    """The random numbers that `seed` starts: those of an integer, of a SeedSequence, a Generator's next ones."""
    if seed is None or isinstance(seed, (np.random.Generator, np.random.SeedSequence)):
        return np.random.default_rng(seed)
    return np.random.default_rng(natural("seed", seed))


def natural(name: str, value: object) -> int:
    """An integer of at least 0, however large, as seeds are."""
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__} {_check.shown(value)}")
    found = _check.exact(value)
    if found < 0:
        raise ValueError(f"{name}: expected an integer of at least 0, got {_check.shown(found)}")
    return found


def instance(name: str, value: object, kind: type) -> None:
    """Raise unless `value` is one of cnnx.nn's `kind`."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a {kind.__name__} of cnnx.nn, got {type(value).__name__}")


def back_end(name: str | None) -> str | None:
    """The name of a back end that there is, or None."""
    if name is not None:
        with use_backend(name):  # raises where there is none
            pass
    return name


def number(name: str, value: object, expected: str, holds: Callable[[float], bool]) -> float:
    """A finite number for which `holds`, as `expected` says in words."""
    found = _check.real(name, value)
    if not holds(found):
        raise ValueError(f"{name}: expected {expected}, got {_check.shown(value)}")
    return found


def not_negative(name: str, value: object) -> float:
    return number(name, value, "a number of at least 0", lambda v: v >= 0)


def below_one(name: str, value: object) -> float:
    return number(name, value, "a number from 0 to below 1", lambda v: 0 <= v < 1)
