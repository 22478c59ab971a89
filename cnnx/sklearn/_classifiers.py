"""The two classifiers: their arguments, and the networks they make of them."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _check, nn
from .._check import Pair
from ._base import NetworkClassifier, Shape

Schedule = Callable[[int], float] | str | None


class MLPClassifier(NetworkClassifier):
    """A multilayer perceptron that learns to tell classes apart: `cnnx.nn.mlp` with cross entropy, on mini-batches.

    The network and its training are cnnx's; the interface is scikit-learn's. Rows are used as they come: bring the
    features to about the same size first. A row's class is told by the largest of its outputs.

    Parameters
    ----------
    hidden_sizes : tuple of int
        Units of each hidden layer; () for none.
    activation : str
        "relu", "leaky_relu", "elu", "gelu", "softplus", "sigmoid", "tanh" or "identity".
    dropout : float
        Behind each hidden layer, from 0 to below 1.
    solver : "sgd", "momentum", "nesterov" or "adam"
        `cnnx.nn.SGD`, without and with `momentum`, or `cnnx.nn.Adam`.
    learning_rate : float
        The default suits "sgd"; for "momentum" and "nesterov" 0.01 is a start, for "adam" 0.001.
    batch_size : int
    max_epochs : int
        Passes over the training rows. All are made, unless `early_stopping` ends them.
    early_stopping : bool
        Hold back `validation_fraction` of the rows, as many of each class as its share; stop when
        `n_iter_no_change` passes in a row bring no better accuracy on them; keep the weights of the best pass.
    validation_fraction : float
        Between 0 and 1.
    random_state : int, RandomState or None
        Where weights, orders, dropout's masks and the rows held back are drawn from.
    warm_start : bool
        Whether `fit` goes on with the weights and random numbers of the last one, with a new optimiser.
    dtype : "float32" or "float64"
        Of the network; X is converted.
    backend : str or None
        A back end of cnnx, "optimized" or "reference"; None takes the one chosen at each call.
    n_jobs : int or None
        At most so many threads in fit and predict; -1 for all processors, never more than `cnnx.get_num_threads()`.
        None is 1 within a joblib worker and no limit otherwise. Results do not depend on it.
    verbose : int
        1 prints a line after each pass; 2 also shows a progress bar, where stderr is a terminal.
    max_updates : int or None
        How many updates instead of `max_epochs`; the last pass may be part of one.
    learning_rate_schedule : None, "cosine" or callable
        None keeps the learning rate; "cosine" lets it fall to 0 over the whole of `fit`; a function (such as
        `cnnx.nn.StepSchedule`) makes of the updates done since `fit` began a factor on it.
    momentum : float
        For "momentum" and "nesterov", from 0 to below 1.
    n_iter_no_change : int
        For `early_stopping`.

    Attributes
    ----------
    classes_ : array (n_classes,)
        The labels, sorted.
    model_ : cnnx.nn.Sequential
        The network.
    history_ : cnnx.nn.History
        Of the last `fit` or `partial_fit`: each pass, and the cost of each batch.
    n_iter_ : int
        Passes made; with `warm_start` and `partial_fit` of all calls, as are the next ones.
    loss_curve_ : list of float
        The cost per row of each pass.
    validation_scores_ : list of float, or None without `early_stopping`
        Accuracy on the rows held back, after each pass.
    best_validation_score_ : float or None
    input_shape_ : tuple of int
        Of a row as the network takes it: (n_features,).
    n_features_in_, feature_names_in_
        As scikit-learn has them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from cnnx.sklearn import MLPClassifier
    >>> model = make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
    >>> float(cross_val_score(model, *load_iris(return_X_y=True)).mean()) > 0.9
    True
    """

    def __init__(
        self,
        hidden_sizes: tuple[int, ...] = (20,),
        activation: str = "relu",
        dropout: float = 0.0,
        solver: str = "sgd",
        learning_rate: float = 0.1,
        batch_size: int = 10,
        max_epochs: int = 20,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        warm_start: bool = False,
        dtype: npt.DTypeLike = "float32",
        backend: str | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        *,
        max_updates: int | None = None,
        learning_rate_schedule: Schedule = None,
        momentum: float = 0.9,
        n_iter_no_change: int = 10,
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.dropout = dropout
        self.solver = solver
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.warm_start = warm_start
        self.dtype = dtype
        self.backend = backend
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.max_updates = max_updates
        self.learning_rate_schedule = learning_rate_schedule
        self.momentum = momentum
        self.n_iter_no_change = n_iter_no_change

    def _shape(self, features: int) -> Shape:
        return (features,)

    def _network(self, shape: Shape, classes: int, seed: np.random.Generator) -> nn.Sequential:
        return nn.mlp(
            shape[0],
            classes,
            hidden_sizes=self.hidden_sizes,
            activation=self.activation,
            dropout=self.dropout,
            dtype=self.dtype,
            seed=seed,
            backend=self.backend,
        )


class CNNClassifier(NetworkClassifier):
    """A convolutional network that learns to tell classes of images apart: `cnnx.nn.cnn` with cross entropy.

    The defaults are CN's network and solver; `max_updates=10000` makes it CN's training. Rows are images, pixel by
    pixel: `images.reshape(len(images), -1)`. Everything else is as with `MLPClassifier`, which says more.

    Parameters
    ----------
    conv_channels : tuple of int
        Channels of each convolution; a pooling of 2x2 follows each.
    kernel_size : int or (rows, columns)
        Of each convolution; rows and columns of the image are kept ("same" padding).
    hidden_sizes, activation
        As `MLPClassifier` takes them; the activation follows the convolutions too.
    pooling : "max", "avg", "lp" (the Euclidean norm) or None
    dropout, solver, learning_rate, batch_size, max_epochs, early_stopping, validation_fraction, random_state
        As `MLPClassifier` takes them.
    warm_start, dtype, backend, n_jobs, verbose
        As `MLPClassifier` takes them.
    image_shape : (H, W), (C, H, W) or None
        What the features of a row are; None takes a square image of one channel where their number is a square,
        and a single row of pixels otherwise. Kernels and pooling windows are clipped to small images.
    max_updates, learning_rate_schedule, momentum, n_iter_no_change
        As `MLPClassifier` takes them.

    Attributes
    ----------
    input_shape_ : tuple of int
        (C, H, W) of an image.
    classes_, model_, history_, n_iter_, loss_curve_, validation_scores_, best_validation_score_
        As `MLPClassifier` has them.
    n_features_in_, feature_names_in_
        As scikit-learn has them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from cnnx.sklearn import CNNClassifier
    >>> X, y = load_digits(return_X_y=True)  # 1,797 images of 8x8 pixels from 0 to 16
    >>> model = CNNClassifier((8,), max_epochs=5, random_state=0).fit(X[500:] / 16, y[500:])
    >>> model.input_shape_, model.score(X[:500] / 16, y[:500]) > 0.9
    ((1, 8, 8), True)
    """

    def __init__(
        self,
        conv_channels: tuple[int, ...] = (4, 4),
        kernel_size: int | Pair = 3,
        hidden_sizes: tuple[int, ...] = (20,),
        activation: str = "relu",
        pooling: Literal["max", "avg", "lp"] | None = "max",
        dropout: float = 0.0,
        solver: str = "sgd",
        learning_rate: float = 0.1,
        batch_size: int = 10,
        max_epochs: int = 20,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        warm_start: bool = False,
        dtype: npt.DTypeLike = "float32",
        backend: str | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        image_shape: tuple[int, ...] | None = None,
        *,
        max_updates: int | None = None,
        learning_rate_schedule: Schedule = None,
        momentum: float = 0.9,
        n_iter_no_change: int = 10,
    ) -> None:
        self.conv_channels = conv_channels
        self.kernel_size = kernel_size
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.pooling = pooling
        self.dropout = dropout
        self.solver = solver
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.warm_start = warm_start
        self.dtype = dtype
        self.backend = backend
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.image_shape = image_shape
        self.max_updates = max_updates
        self.learning_rate_schedule = learning_rate_schedule
        self.momentum = momentum
        self.n_iter_no_change = n_iter_no_change

    def _shape(self, features: int) -> Shape:
        shape = self.image_shape
        if shape is None:
            side = math.isqrt(features)
            return (1, side, side) if side * side == features else (1, 1, features)
        if not isinstance(shape, (tuple, list)) or len(shape) not in (2, 3):
            raise TypeError(f"image_shape: expected (H, W), (C, H, W) or None, got {_check.shown(shape)}")
        shape = tuple(_check.integer(f"image_shape[{i}]", extent, 1) for i, extent in enumerate(shape))
        if math.prod(shape) != features:
            raise ValueError(f"image_shape: expected a shape of {features} features, as X has, got {shape}")
        return (1, *shape) if len(shape) == 2 else shape

    def _network(self, shape: Shape, classes: int, seed: np.random.Generator) -> nn.Sequential:
        channels, rows, columns = shape
        return nn.cnn(
            (channels, rows, columns),
            classes,
            conv_channels=self.conv_channels,
            kernel_size=self.kernel_size,
            hidden_sizes=self.hidden_sizes,
            activation=self.activation,
            pooling=self.pooling,
            dropout=self.dropout,
            dtype=self.dtype,
            seed=seed,
            backend=self.backend,
        )
