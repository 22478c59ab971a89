"""What numbers have that compare as the value does that they carry."""

from typing import Any


class ByValue:
    """A number that compares as its `value` does."""

    __slots__ = ()
    value: Any

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < value_of(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= value_of(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > value_of(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= value_of(other))

    def __eq__(self, other: object) -> bool:
        return bool(self.value == value_of(other))

    __hash__ = None  # type: ignore[assignment]


def value_of(x: Any) -> Any:
    """The value of such a number; any other number is its own."""
    return x.value if isinstance(x, ByValue) else x
