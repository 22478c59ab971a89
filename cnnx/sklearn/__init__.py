"""scikit-learn's estimators around cnnx.nn (extra `sklearn`): CNNClassifier and MLPClassifier.

They take and give what any classifier of scikit-learn does: rows of features (an image is a row of pixels) and labels
of any kind. They work in Pipeline, GridSearchCV and cross_val_score, and can be cloned and pickled. Features should
be of about the same size, as pixels / 255 are: put a `StandardScaler` or `MinMaxScaler` before them where they are not.

CN's arguments here:

==================================  ==================================================================================
CN                                  cnnx.sklearn
==================================  ==================================================================================
`n_conv_node=4, n_conv_layer=2`     `conv_channels=(4, 4)`
`n_hidden_node=20, n_hidden_layer`  `hidden_sizes=(20,)`: as many numbers as layers
`dropout=0`                         `dropout=0.0`
`mini_batch=10`                     `batch_size=10`
`eta=0.1`                           `learning_rate=0.1` with `solver="sgd"`
`epoch=10000` (which are updates)   `max_updates=10000`, or `max_epochs` for passes: 10,000 of 10 of 9,000 are 11.1
`log_interval`                      `verbose=1`: a line after each pass; `history_.losses` has the cost of every update
==================================  ==================================================================================

Cores: within a joblib worker, whatever its backend, an estimator computes on one thread unless `n_jobs` says more, so
that GridSearchCV(..., n_jobs=2) takes two cores and no more. Elsewhere it uses cnnx's threads (`set_num_threads`).
"""

try:
    from ._classifiers import CNNClassifier, MLPClassifier
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("sklearn", "joblib", "threadpoolctl"):
        raise
    message = f"cnnx.sklearn needs scikit-learn: python -m pip install 'cnnx[sklearn]' ({error})"
    raise ModuleNotFoundError(message, name=error.name) from error

__all__ = ["CNNClassifier", "MLPClassifier"]
