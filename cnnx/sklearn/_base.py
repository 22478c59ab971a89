"""What both classifiers share: checks, training, prediction."""

import math
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import _check, nn, softmax
from .._check import Array
from ..data._dataset import floating
from ..nn._arguments import number
from ._best import Best
from ._cores import limited, most_threads

SOLVERS = "sgd", "momentum", "nesterov", "adam"

Shape = tuple[int, ...]


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A classifier around a network of cnnx.nn; a subclass has a constructor and says which network."""

    def _shape(self, features: int) -> Shape:
        """Of one row of so many features, as the network takes it."""
        raise NotImplementedError(f"{type(self).__name__}._shape")

    def _network(self, shape: Shape, classes: int, seed: np.random.Generator) -> nn.Graph:
        raise NotImplementedError(f"{type(self).__name__}._network")

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new network, or with `warm_start` go on with the last one.

        Ctrl-C ends it after the current update with a KeyboardInterrupt, a second one at once; the estimator is then
        fitted with what was learnt so far.

        Parameters
        ----------
        X : array-like (n_samples, n_features)
        y : array-like (n_samples,)
            Labels: integers, strings, ...

        Returns
        -------
        The estimator.

        Raises
        ------
        TypeError, ValueError
            An argument of the constructor, X or y is not what is expected; only one class in y.
        FloatingPointError
            The training diverged; the message says what to try.
        """
        if not self.warm_start:
            self.__dict__.pop("model_", None)  # a fit that fails leaves none that has other features than it says
        self._check_arguments()
        X, y = self._rows(X, y)
        classes, targets = np.unique(y, return_inverse=True)
        if self.early_stopping:
            self._check_share(targets)
        optimizer, schedule = self._optimizer(), self.learning_rate_schedule
        if self._is_new():
            self._start(X, classes)
        else:
            self._check_unchanged(classes)
        validation = None
        if self.early_stopping:
            X, held, targets, held_targets = train_test_split(
                X, targets, test_size=self.validation_fraction, stratify=targets, random_state=self._seed
            )
            validation = held.reshape(-1, *self.input_shape_), held_targets
        updates = self.max_updates
        if updates is None:
            updates = self.max_epochs * math.ceil(len(X) / self.batch_size)
        if schedule == "cosine":
            schedule = nn.CosineSchedule(updates)
        return self._train(X, targets, optimizer, validation=validation, schedule=schedule, updates=updates)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One pass over these rows, in batches; goes on from the last `fit` or `partial_fit`, momenta included.

        Parameters
        ----------
        X : array-like (n_samples, n_features)
        y : array-like (n_samples,)
        classes : array-like or None
            All classes that will ever come; needed at the first call.

        Returns
        -------
        The estimator.

        Raises
        ------
        TypeError, ValueError
            As `fit` raises them; no classes at the first call, others at a later one, a label that is none of
            them; `early_stopping`, and the schedule "cosine", which has to know the end of the training.
        FloatingPointError
            The training diverged; the message says what to try.
        """
        self._check_arguments()
        if self.early_stopping:
            raise ValueError("early_stopping: expected False with partial_fit, which makes one pass, got True")
        if self.learning_rate_schedule == "cosine":
            raise ValueError(
                "learning_rate_schedule: expected None or a function of updates with partial_fit, "
                "which does not know the end of the training, got 'cosine'"
            )
        if self._is_new() and classes is None:
            raise ValueError("classes: expected all classes at the first call of partial_fit, got None")
        X, y = self._rows(X, y)
        known = self.classes_ if classes is None else np.unique(np.asarray(classes))
        if not self._is_new():
            self._check_unchanged(known)
        unknown = np.setdiff1d(y, known)
        if len(unknown):
            raise ValueError(f"y: expected classes among {_listed(known)}, got {_listed(unknown)} too")
        optimizer = self._optimizer()
        if self._is_new():
            self._start(X, known)
        else:
            self._last_optimizer.learning_rate = optimizer.learning_rate
            if repr(self._last_optimizer) == repr(optimizer):  # another solver has other momenta
                optimizer = self._last_optimizer
        targets = np.searchsorted(known, y)
        return self._train(X, targets, optimizer, schedule=self.learning_rate_schedule, epochs=1)

    def predict_proba(self, X: Any) -> Array:
        """How probable each class is: the softmax of the network's outputs, computed in double.

        Parameters
        ----------
        X : array-like (n_samples, n_features)

        Returns
        -------
        array (n_samples, n_classes), float64
            Columns in the order of `classes_`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        TypeError, ValueError
            X has other features than at `fit`, or numbers that are not finite.
        """
        check_is_fitted(self, "model_")
        X = validate_data(self, X, dtype=next(iter(self.model_.parameters.values())).dtype, order="C", reset=False)
        with limited(self.n_jobs):
            outputs = nn.predict(self.model_, X.reshape(-1, *self.input_shape_))
            return softmax(outputs.astype(np.float64), backend=self.model_.layers[-1].backend)

    def predict(self, X: Any) -> Array:
        """The most probable class of each row (the first, where several are equally probable).

        Parameters, errors: see `predict_proba`.

        Returns
        -------
        array (n_samples,) of labels
        """
        best = self.predict_proba(X).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    def _is_new(self) -> bool:
        return not hasattr(self, "model_")

    def _check_arguments(self) -> None:
        """Raise where an argument is wrong that neither the network nor the optimiser looks at."""
        for name in "batch_size", "max_epochs", "n_iter_no_change":
            _check.integer(name, getattr(self, name), 1)
        if self.max_updates is not None:
            _check.integer("max_updates", self.max_updates, 1)
        if not isinstance(self.verbose, bool):
            _check.integer("verbose", self.verbose, 0)
        for name in "early_stopping", "warm_start":
            _check.flag(name, getattr(self, name))
        number("validation_fraction", self.validation_fraction, "a number between 0 and 1", lambda v: 0 < v < 1)
        schedule = self.learning_rate_schedule
        if not (schedule is None or callable(schedule) or schedule == "cosine"):
            got = _check.shown(schedule)
            raise ValueError(f"learning_rate_schedule: expected None, 'cosine' or a function of updates, got {got}")
        most_threads(self.n_jobs)

    def _check_share(self, targets: Array) -> None:
        """Raise unless each class can have a row on both sides of the split."""
        members = np.bincount(targets)
        if members.min() < 2:
            raise ValueError(f"early_stopping: expected at least two rows of each class, got {members.tolist()}")
        rows, held = len(targets), math.ceil(self.validation_fraction * len(targets))
        if min(held, rows - held) < len(members):
            raise ValueError(
                f"validation_fraction: expected at least one row of each of {len(members)} classes to hold back and to "
                f"train on, got {held} of {rows} rows"
            )

    def _rows(self, X: Any, y: Any) -> tuple[Array, Array]:
        """Rows and labels, checked."""
        X, y = validate_data(self, X, y, dtype=floating(self.dtype), order="C", reset=self._is_new())
        check_classification_targets(y)
        return X, y

    def _optimizer(self) -> nn.Optimizer:
        solver, rate = _check.choice("solver", self.solver, SOLVERS), self.learning_rate
        if solver == "adam":
            return nn.Adam(rate, backend=self.backend)
        if solver == "sgd":
            return nn.SGD(rate, backend=self.backend)
        return nn.SGD(rate, momentum=self.momentum, nesterov=solver == "nesterov", backend=self.backend)

    def _start(self, X: Array, classes: Array) -> None:
        """A new network."""
        if len(classes) < 2:
            raise ValueError(f"y: expected at least two classes, got one class only, {_listed(classes)}")
        # One seed for the rows held back, the weights and masks of dropout, and the orders: none depends on the others.
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        weights, self._orders = np.random.default_rng(self._seed).spawn(2)
        self.classes_, self.input_shape_ = classes, self._shape(X.shape[1])
        self.model_ = self._network(self.input_shape_, len(classes), weights)
        self.n_iter_ = 0
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = None
        self.best_validation_score_: float | None = None

    def _check_unchanged(self, classes: Array) -> None:
        """Raise unless the training can go on with the network that is there."""
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"classes: expected {_listed(self.classes_)}, as the network was made for, got {_listed(classes)}"
            )
        shape = self._shape(self.n_features_in_)
        wanted = self._network(shape, len(classes), np.random.default_rng(0))
        if (shape, repr(wanted)) != (self.input_shape_, repr(self.model_)):
            raise ValueError(
                "warm_start, partial_fit: expected the arguments that the network was made with, got others; "
                "call fit with warm_start=False for another network"
            )

    def _train(
        self,
        X: Array,
        targets: Array,
        optimizer: nn.Optimizer,
        *,
        validation: tuple[Array, Array] | None = None,
        **options: Any,
    ) -> Self:
        best = None if validation is None else Best(self.model_, self.n_iter_no_change)

        def on_epoch(epoch: nn.Epoch) -> bool:
            self.n_iter_ += 1
            self.loss_curve_.append(epoch.loss)
            if self.verbose:
                print(_line(self.n_iter_, epoch))
            return best is not None and best.enough(epoch)

        self._last_optimizer = optimizer
        self.model_._own()  # joblib may have mapped the file that they are in
        state = optimizer.state.items()
        optimizer.restore(optimizer.updates, {name: tuple(map(_writable, kept)) for name, kept in state})
        try:
            with limited(self.n_jobs):
                self.history_ = nn.fit(
                    self.model_,
                    nn.CrossEntropy(backend=self.backend),
                    optimizer,
                    X.reshape(-1, *self.input_shape_),
                    targets,
                    batch_size=self.batch_size,
                    validation=validation,
                    seed=self._orders,
                    progress=None if self.verbose > 1 else False,
                    on_epoch=on_epoch,
                    **options,
                )
        finally:
            if best is not None:
                best.restore()
                self.validation_scores_ = (self.validation_scores_ or []) + best.scores
                self.best_validation_score_ = max(self.validation_scores_, default=None)
        if self.history_.interrupted:
            raise KeyboardInterrupt
        return self


def _writable(array: Array) -> Array:
    return array if array.flags.writeable else np.array(array)


def _listed(classes: Array) -> str:
    return _check.shown(classes.tolist())


def _line(number: int, epoch: nn.Epoch) -> str:
    line = f"epoch {number}: {epoch.updates} updates, loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}"
    if epoch.validation_accuracy is not None:
        line += f", validation accuracy {epoch.validation_accuracy:.4f}"
    return line
