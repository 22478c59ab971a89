"""A layer of homework that computes one thing in training and another at inference: how it is told which."""

from collections.abc import Mapping
from typing import Any

from ..data import Array
from . import roles
from .unit import Unit

WORDS = {True: "train", False: "test"}  # for a parameter `mode`


class Modal:
    """One object of a unit's class."""

    def __init__(self, unit: Unit, given: Mapping[str, Any]):
        self.unit, self.given = unit, dict(given)
        self.layer = unit._make(self.given)
        self.told = ""  # how it was told: a parameter, an attribute, a method

    def forward(self, x: Array, *, training: bool) -> Any:
        """Its forward pass."""
        self._switch(training)
        given = {**self.given, "x": x, "training": training, "mode": WORDS[training]}
        returned, handed = self.unit._called(self.layer.forward, ("x",), given)
        if handed & {"training", "mode"}:
            self.told = "parameter"
        return returned[0] if isinstance(returned, tuple) else returned

    def backward(self, delta: Array) -> Any:
        """What its backward pass returns."""
        return self.unit._call(self.layer.backward, ("grad_output",), {**self.given, "grad_output": delta})

    def _switch(self, training: bool) -> None:
        for name, value in vars(self.layer).items():
            role = roles.role_of(name, self.unit.op)
            if role in ("training", "mode"):
                setattr(self.layer, name, WORDS[training] if isinstance(value, str) else training)
                self.told = "attribute"
        method = getattr(self.layer, "train" if training else "eval", None)
        if callable(method):
            self.unit._guarded(method)
            self.told = "method"
