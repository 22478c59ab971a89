"""What a training did, pass by pass."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images, or the part of it that was trained.

    Attributes
    ----------
    updates : int
        Updates done by its end, since `fit` began.
    images : int
        Images trained on in this pass.
    seconds : float
        What its updates took, without the validation.
    loss : float
        Of its batches, each before its update; per image, or their sum with reduction="sum".
    accuracy : float or None
        Likewise; None where outputs are no classes (see `cnnx.nn.accuracy`).
    validation_loss, validation_accuracy : float or None
        After its last update; None without validation images, and where Ctrl-C came before the end.
    """

    updates: int
    images: int
    seconds: float
    loss: float
    accuracy: float | None
    validation_loss: float | None = None
    validation_accuracy: float | None = None


@dataclass
class History:
    """What `cnnx.nn.fit` did.

    Attributes
    ----------
    epochs : list of Epoch
        One per pass; the last may be part of one.
    losses : list of float
        The cost of every batch, before its update.
    interrupted : bool
        Whether Ctrl-C left out updates or a validation.
    stopped : bool
        Whether `on_epoch` ended the training.
    resumed : int
        How many of the updates a checkpoint had; 0 without one.
    """

    epochs: list[Epoch] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    interrupted: bool = False
    stopped: bool = False
    resumed: int = 0

    @property
    def updates(self) -> int:
        """How many updates were done."""
        return len(self.losses)

    def __repr__(self) -> str:
        last = f", last {self.epochs[-1]!r}" if self.epochs else ""
        return f"History({self.updates} updates, {len(self.epochs)} passes, interrupted={self.interrupted}{last})"
