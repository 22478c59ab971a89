"""Early stopping: when to end, and which weights to keep."""

from .. import nn
from .._check import Array
from ..nn.checkpoint import learnt


class Best:
    """The weights (and running statistics) with the highest accuracy on the validation images so far."""

    def __init__(self, model: nn.Layer, patience: int) -> None:
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
            self._weights = {name: w.copy() for name, w in learnt(self._model).items()}
            self._waited = 0
        else:
            self._waited += 1
        self.scores.append(score)
        return self._waited >= self._patience

    def restore(self) -> None:
        for name, w in learnt(self._model).items():
            if name in self._weights:
                w[...] = self._weights[name]
