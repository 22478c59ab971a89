"""What homework calls its things: parameters, attributes, classes and functions by what they stand for."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# By what it stands for, the names of a parameter, without case, underscores and digits at the end.
_NAMES = {
    "x": "x z inp input inputs img image images data a xin inputdata aprev",
    "weight": "w weight weights f filter filters kernel kernels fil v gamma scale gain",
    "bias": "b bias biases beta shift",
    "stride": "stride strides s u step",
    "padding": "pad padding p padsize pads zeropad paddings",
    "kernel_size": "kernelsize ksize k size poolsize window pool windowsize filtersize kernel kernelshape poolshape",
    "rows": "poolh ph poolheight kh kernelh kernelheight filterh fh hp windowh",
    "columns": "poolw pw poolwidth kw kernelw kernelwidth filterw fw wp windoww",
    "grad_output": "dout delta grad gradoutput gradout dy dz dl gy d g outgrad upstream err error gradient dprev",
    "target": "t target targets label labels ytrue teacher y",
    "output": "y out output outputs yhat",
    "cache": "cache caches saved",
    "in_channels": "inchannels inch cin nin inputdim infeatures insize inputsize indim inputchannels "
    "numfeatures nfeatures features channels dim",
    "out_channels": "outchannels outch cout nout outputdim outfeatures outsize outputsize outdim nfilters",
    "rate": "rate ratio dropoutratio dropoutrate dropratio droprate dropprob dropoutprob dropoutprobability "
    "probability prob p q dropout keepprob keep keepratio keeprate keepprobability",
    "training": "train training trainflg trainflag istrain istraining trainmode trainingmode",
    "mode": "mode phase",
    "momentum": "momentum decay",
    "eps": "eps epsilon",
    "running_mean": "runningmean movingmean runmean avgmean meanrunning testmean",
    "running_var": "runningvar movingvar runvar avgvar varrunning testvar runningvariance movingvariance",
    "settings": "convparam poolparam param params convparams poolparams hparam hparameters",
}
ORDER = {  # of parameters whose names say nothing
    "conv2d": ("x", "weight", "bias", "stride", "padding"),
    "affine": ("x", "weight", "bias"),
    "max_pool2d": ("x", "kernel_size", "stride", "padding"),
    "avg_pool2d": ("x", "kernel_size", "stride", "padding"),
    "dropout": ("x", "rate"),
    "batch_norm2d": ("x", "weight", "bias"),
}
COSTS = ("cross_entropy", "squared_error")
MODAL = ("dropout", "batch_norm2d")  # which train or do not; classes alone, as they keep something from call to call
OF_OUTPUTS = ("relu", "sigmoid", "tanh", "softmax")  # whose gradients are written with y, the output
# Ops by what is left of a name in lower case once decoration is taken off.
_OPS = {
    "conv2d": "conv convolution convolutional conv2d convolution2d convolutional2d",
    "max_pool2d": "pool pooling maxpool maxpooling maxpool2d maxpooling2d pool2d pooling2d",
    "avg_pool2d": "avgpool avgpooling averagepool averagepooling avgpool2d averagepool2d averagepooling2d meanpool "
    "meanpooling",
    "affine": "affine linear dense fullyconnected fc",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "softmax": "softmax",
    "cross_entropy": "softmaxwithloss softmaxcrossentropy softmaxloss softmaxwithcrossentropy softmaxcrossentropyloss",
    "squared_error": "squarederror meansquarederror mse mseloss squaredloss sumsquarederror",
    "dropout": "dropout",
    "batch_norm2d": "batchnorm batchnormalization batchnormalisation batchnorm2d batchnorm1d batchnormalization2d bn",
}
OP_NAMES = tuple(_OPS)
_OF_WINDOWS = ("stride", "padding", "kernel_size", "rows", "columns")
_OF_MODES = ("rate", "training", "mode", "momentum", "eps", "running_mean", "running_var")
_DECORATION = re.compile(r"(my|simple|naive|numpy|np|the|fast|loops?|im2col|kadai|ex|hw)+|layer")
_BACK = re.compile(r"(backward|backprop|bwd|back|gradients?|grads?|derivative|deriv|diff|prime)")
_FORE = re.compile(r"(forward|fwd)")
_GRADIENTS = {
    "x": "dx dz dinput dimg gradx gradinput xgrad",
    "weight": "dw df dweight dweights gradw gradweight gradf wgrad weightgrad dkernel dfilter gw gradweights dgamma "
    "gradgamma gammagrad dscale",
    "bias": "db dbias gradb gradbias bgrad biasgrad gb dbeta gradbeta betagrad dshift",
}


def plain(name: str) -> str:
    """A name without case, underscores and digits behind it: W1, w_1 -> w."""
    return name.replace("_", "").lower().rstrip("0123456789") or name.lower()


def op_of(name: str) -> tuple[str, bool] | None:
    """The op that a class's or function's name says, and whether it says that it is the backward one."""
    word = name.replace("_", "").lower()
    back = bool(_BACK.search(word))
    for pattern in (_BACK, _FORE):
        word = pattern.sub("", word)
    for candidate in (word, word.rstrip("0123456789"), *_undecorated(word)):
        for op, words in _OPS.items():
            if candidate in words.split():
                return op, back
    return None


def _undecorated(word: str) -> Iterable[str]:
    less = _DECORATION.sub("", word)
    return less, less.rstrip("0123456789")


def role_of(name: str, op: str) -> str | None:
    """What a parameter of an op's function stands for."""
    word = plain(name)
    for role, words in _NAMES.items():
        if word not in words.split():
            continue
        if role == "weight" and op not in ("conv2d", "affine", "batch_norm2d"):
            continue
        if (role in _OF_WINDOWS and op in MODAL) or (role in _OF_MODES and op not in MODAL):
            continue
        if role == "target" and op not in COSTS:
            continue
        if role == "output" and op not in OF_OUTPUTS:
            continue
        return role
    if op in COSTS and word == "yhat":
        return "x"
    return None


def bound(function: Callable[..., Any], op: str, order: Iterable[str], given: Mapping[str, Any]) -> dict[str, str]:
    """The roles of a function's parameters by their names; those without a default that say nothing come in `order`.

    given : the roles that there is something for; others are left to their defaults.

    Raises
    ------
    ValueError
        A parameter without a default stands for nothing that there is.
    """
    found: dict[str, str] = {}
    parameters = [
        p for p in inspect.signature(function).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    targets = [p.name for p in parameters if role_of(p.name, op) == "target"]
    for p in parameters:
        role = role_of(p.name, op)
        if role == "target" and len(targets) > 1 and plain(p.name) == "y":
            role = "x"  # (y, t): what the network gives, and what it is to give; (scores, y) has one name alone
        if role is not None and role in given and role not in found.values():
            found[p.name] = role
    rest = [role for role in order if role in given and role not in found.values()]
    for p in parameters:
        if p.name in found or p.default is not p.empty:
            continue
        if not rest:
            raise ValueError(p.name)
        found[p.name] = rest.pop(0)
    return {p.name: found[p.name] for p in parameters if p.name in found}


def attribute(holder: object, role: str) -> str | None:
    """The name of an object's attribute that is its weight or bias."""
    names = _NAMES[role].split()
    return next((name for name in vars(holder) if plain(name) in names), None)


def gradient(holder: object, of: str, arrays: tuple[str, ...]) -> Any:
    """The gradient of a weight or bias that an object keeps: in an attribute, or among its grads; else None."""
    names = _GRADIENTS[of].split()
    for name, value in vars(holder).items():
        if plain(name) in names and value is not None:
            return value
    grads = getattr(holder, "grads", None)
    if isinstance(grads, Mapping):
        for name, value in grads.items():
            if plain(str(name)) in (*names, *_NAMES[of].split()):
                return value
    if isinstance(grads, (list, tuple)) and arrays.index(of) - 1 < len(grads):
        return grads[arrays.index(of) - 1]
    return None


def gradient_name(name: str) -> str | None:
    """What a key of a dict of gradients is the gradient of."""
    return next((of for of, words in _GRADIENTS.items() if plain(name) in words.split()), None)
