"""Early stopping: when to end, and which weights to keep."""

from .. import nn
from .._check import Array


class Best:
    """The weights with the highest accuracy on the validation images so far."""

    def __init__(self, model: nn.Sequential, patience: int) -> None:
        self.scores: list[float] = []
        self._model, self._patience = model, patience
        self._weights: dict[str, Array] = {}
        self._waited = 0

    def enough(self, epoch: nn.Epoch) -> bool:
        """Whether so many passes in a row were no better."""
        score = epoch.validation_accuracy
        if score is None:  # Ctrl-C came before it was measured
            return False
        if score > max(self.scores, default=-1.0):
            self._weights = {name: w.copy() for name, w in self._model.parameters.items()}
            self._waited = 0
        else:
            self._waited += 1
        self.scores.append(score)
        return self._waited >= self._patience

    def restore(self) -> None:
        for name, w in self._weights.items():
            self._model.parameters[name][...] = w
