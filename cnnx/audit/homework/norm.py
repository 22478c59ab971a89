"""Batch normalisation judged: in training, at inference, its gradients, and what it keeps of the batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import Case, Draw
from ..data import Array, draw, draw_like
from ..report.result import Discrepancy
from ..run import audit
from ..trace import backward_arguments, first, forward_arguments, gradients
from . import roles
from .answer import RIGHT, Result
from .compared import same
from .layer import Layer
from .modes import Modal
from .probes import Probe
from .settle import cannot
from .unit import RaisedError, UnclearError

ROWS = {"": (5, 3), "channels": (4, 1), "all": (8, 6)}  # (N, D)
IMAGES = {"": (3, 2, 2, 2), "oblong": (2, 2, 3, 2), "channels": (3, 1, 2, 2), "all": (4, 3, 2, 5)}
MOMENTUM, EPS = 0.9, 1e-5  # what a class that asks for them is given
NONE = 1e-300  # an eps that changes nothing
NAMES = {"y": "Y", "inference": "inference", "x": "dZ", "weight": "dg", "bias": "db"}
STATISTICS = ("batch_norm2d_statistics_mean", "batch_norm2d_statistics_var")


class Norm(Layer):
    """A class for batch normalisation."""

    axes = 4
    eps = EPS
    outside = False  # sqrt(var) + eps

    def results(self) -> Iterator[Result]:
        try:
            self.axes = self._settled()
            self._find_eps()
        except (RaisedError, UnclearError) as error:
            yield cannot(error)
            return
        self.probes = self._probes(training=True)
        done: list[Result] = []
        if self.outside:
            done.append(Result("Y", "convention", mistake="norm_eps", what="y", cases=len(self.probes)))
        else:
            done.append(self._one("y"))
        yield done[-1]
        if not self.unit.only_training and not self.outside:
            self.probes = self._probes(training=False)
            done.append(self._one("inference"))
            yield done[-1]
            yield self._kept()
        self.probes = self._probes(training=True)
        if not self.unit.has_backward:
            return
        if not self.outside:
            for what in self.unit.gives:
                done.append(self._one(what))
                yield done[-1]
        if all(r.status not in ("wrong", "shape", "raised") for r in done):
            yield self._gradient()

    # -------------------------------------------------------------------------------- how it is called

    def _layer(self, weight: Array, bias: Array, mean: Array | None = None, var: Array | None = None) -> Modal:
        given: dict[str, Any] = {
            "weight": weight.copy(), "bias": bias.copy(), "in_channels": len(weight), "eps": EPS, "momentum": MOMENTUM,
        }  # fmt: skip
        statistics = {"running_mean": mean, "running_var": var}
        given |= {role: value.copy() for role, value in statistics.items() if value is not None}
        layer = Modal(self.unit, given)
        for role, value in statistics.items():
            name = roles.attribute(layer.layer, role)
            if name is not None and value is not None:
                setattr(layer.layer, name, value.copy())
        return layer

    def _in(self, a: Array) -> Array:
        return a.copy() if self.axes == 4 else a.reshape(a.shape[:2]).copy()

    def _out(self, a: Any, shape: tuple[int, ...]) -> Array:
        """What came, in the equation's axes; what has another shape stays as it is."""
        a = np.asarray(a, dtype=float)
        return np.asarray(a.reshape(shape) if a.shape == shape[: a.ndim] and a.size == np.prod(shape) else a)

    def _settled(self) -> int:
        """How many axes its images have: 4, or 2."""
        failed: Exception | None = None
        rng = np.random.default_rng(0)
        for self.axes, shape in ((4, IMAGES["all"]), (2, (*ROWS["all"], 1, 1))):
            C = shape[1]
            try:
                layer = self._layer(np.ones(C), np.zeros(C))
                x = self._in(rng.standard_normal(shape))
                y = np.asarray(layer.forward(x, training=True))
                if y.shape != x.shape:
                    raise RaisedError(f"{self.unit.name}: shape {x.shape}, got {y.shape}")
                self.unit.only_training = not layer.told
                if self.unit.has_backward:
                    found = self._gradients(layer, np.array(rng.standard_normal(x.shape)), np.ones(C))
                    self.unit.gives = tuple(of for of in self.unit.arrays if found.get(of) is not None)
            except (RaisedError, UnclearError) as error:
                failed = failed or error
            else:
                return self.axes
        assert failed is not None
        raise failed

    def _gradients(self, layer: Modal, delta: Array, weight: Array) -> dict[str, Any]:
        given = {"x": delta, "weight": weight, "bias": weight}
        found = self.unit._named(layer.backward(delta), given)
        for of in self.unit.arrays[1:]:
            value = roles.gradient(layer.layer, of, self.unit.arrays)
            if of not in found and value is not None:
                found[of] = value
        return found

    def _find_eps(self) -> None:
        """Its eps, which a class may have without asking for it, from what it makes of deviations as small."""

        def scaled(s: float) -> float:
            x = np.resize([s, -s], (8, 1, 1, 1))
            y = self._layer(np.ones(1), np.zeros(1)).forward(self._in(x), training=True)
            return float(np.ravel(np.asarray(y, dtype=float))[0])

        s, other = 1e-3, 4e-3
        y, beside = scaled(s), scaled(other)
        for variance in (1.0, 8 / 7):  # divided by N, or by N - 1
            inside = s * s * (1 / y**2 - variance) if y else np.nan
            if -1e-15 < inside < 0.01 and same_to(beside, other / np.sqrt(other**2 * variance + max(inside, 0.0))):
                self.eps = float(f"{inside:.6g}") if inside > 1e-13 else NONE
                return
        outside = s * (1 / y - 1) if y else np.nan
        if 0 < outside < 0.01 and same_to(beside, other / (other + outside)):
            self.outside = True

    # ----------------------------------------------------------------------------------------- cases

    def _probes(self, *, training: bool) -> list[Probe]:
        shapes = IMAGES if self.axes == 4 else {name: (*shape, 1, 1) for name, shape in ROWS.items()}
        probes = []
        for feature, shape in shapes.items():
            C = (shape[1],)
            running: dict[str, Any] = {} if training else {"running_mean": C, "running_var": Draw(C, "positive")}
            arrays = {"x": shape, "weight": C, "bias": C, **running}
            options = {"training": training, "eps": self.eps}
            probes.append(Probe(feature, Case(f"{feature or 'plain'}, {training}", arrays, options, exact=False)))
        return probes

    def _contract(self, what: str) -> Any:
        return what  # kernels with statistics have no contracts

    def _named(self, what: str) -> str:
        return NAMES[what]

    def _audited(self, kernels: Any, cases: list[Case], checks: list[str], shrink: float = 0.0) -> list[Discrepancy]:
        wanted = {k if isinstance(k, str) else k.name for k in kernels}
        name = f"homework {self.unit.name}"
        mine = {
            STATISTICS[0]: _backend.reference_kernel(STATISTICS[0]),
            STATISTICS[1]: _backend.reference_kernel(STATISTICS[1]),
        }
        mine |= {kernel: function for what, kernel, function in self._kernels() if what in wanted}
        with _backend.registered(name, mine):
            report = audit(
                [self.op.name], backend=name, cases=cases, checks=checks, dtypes=["float64"], measure=False,
                shrink=shrink,
            )  # fmt: skip
        found = [one for result in report.results for one in result.failing]
        return [one for one in found if one.kernel not in STATISTICS]

    def _kernels(self) -> Iterator[tuple[str, str, Any]]:
        def forward(Z: Array, g: Array, b: Array, mean: Array, var: Array, /, Y: Array, *, eps: float) -> None:
            Y[...] = self._forward(Z, g, b)

        def inference(Z: Array, g: Array, b: Array, mean: Array, var: Array, /, Y: Array, *, eps: float) -> None:
            Y[...] = self._forward(Z, g, b, mean, var)

        def grad_input(
            Delta: Array, Z: Array, g: Array, mean: Array, var: Array, dg: Array, db: Array, /, dZ: Array, *, eps: float
        ) -> None:
            dZ[...] = self._backward(Delta, Z, g)["x"]

        def grad_weight(Delta: Array, Z: Array, mean: Array, var: Array, /, dg: Array, *, eps: float) -> None:
            dg[...] = self._backward(Delta, Z, np.ones(len(dg)))["weight"]

        def grad_bias(Delta: Array, /, db: Array) -> None:
            Z = np.array(np.random.default_rng(1).standard_normal(Delta.shape))  # which it does not depend on
            db[...] = self._backward(Delta, Z, np.ones(len(db)))["bias"]

        yield "y", "batch_norm2d", forward
        yield "inference", "batch_norm2d", inference
        yield "x", "batch_norm2d_grad_input", grad_input
        yield "weight", "batch_norm2d_grad_weight", grad_weight
        yield "bias", "batch_norm2d_grad_bias", grad_bias

    def _forward(self, Z: Array, g: Array, b: Array, mean: Array | None = None, var: Array | None = None) -> Array:
        layer = self._layer(g, b, mean, var)
        return self._out(layer.forward(self._in(Z), training=mean is None), Z.shape)

    def _backward(self, Delta: Array, Z: Array, g: Array) -> dict[str, Array]:
        layer = self._layer(g, np.zeros(len(g)))
        layer.forward(self._in(Z), training=True)
        found = self._gradients(layer, self._in(Delta), g)
        return {of: self._out(value, Z.shape) if of == "x" else np.asarray(value) for of, value in found.items()}

    def _calls(self, probe: Probe, what: str) -> tuple[dict[str, Array], Array, Any, Array]:
        rng = np.random.default_rng([7, *probe.case.name.encode()])
        arrays = draw(self.op, probe.case, "float64", "real", rng)
        with _backend.use_backend("reference"):
            result = self.op.forward(**forward_arguments(self.op, probe.case, arrays))
            delta = draw_like(first(result), "float64", "real", rng)
            right = first(result)
            if what not in ("y", "inference"):
                back = self.op.backward(**backward_arguments(self.op, probe.case, arrays, delta, result))
                right = gradients(self.op, probe.case, back)[what]
        if what in ("y", "inference"):
            statistics = [arrays[n] for n in ("running_mean", "running_var") if what == "inference"]
            got: Any = self._forward(arrays["x"], arrays["weight"], arrays["bias"], *statistics)
        else:
            got = self._backward(delta, arrays["x"], arrays["weight"]).get(what)
        return arrays, delta, got, right

    def _gradient(self) -> Result:
        """The backward pass beside difference quotients of the reader's own forward pass."""
        cases = [probe.case for probe in self.probes if probe.feature in ("", "all")]
        found = self._audited(["y", *self.unit.gives], cases, ["gradient"])
        if found:
            return Result("gradient", "wrong", words=found[0].what, what="gradient")
        return Result("gradient", RIGHT, cases=len(cases))

    # ---------------------------------------------------------------------------- what is kept of a batch

    def _kept(self) -> Result:
        """Running statistics: part of the old ones and part of the batch's, by the momentum, the same for both."""
        rng = np.random.default_rng(5)
        shape = self.probes[-1].case.arrays["x"]
        assert isinstance(shape, tuple)
        C = shape[1]
        x, mean, var = rng.standard_normal(shape) + 2, rng.standard_normal(C), rng.uniform(1, 2, C)
        layer = self._layer(np.ones(C), np.zeros(C), mean, var)
        names = [roles.attribute(layer.layer, role) for role in ("running_mean", "running_var")]
        if None in names:
            return Result("running", "unclear", words="running_mean, running_var")
        layer.forward(self._in(x), training=True)
        after = [np.ravel(np.asarray(getattr(layer.layer, str(name)), dtype=float)) for name in names]
        if any(a.shape != (C,) for a in after):
            return Result("running", "shape", shape=(after[0].shape, (C,)), what="y")
        if np.array_equal(after[0], mean) and np.array_equal(after[1], var):
            return Result("running", "wrong", mistake="norm_not_kept", what="y")
        members = x.size // C
        batch = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
        for part in (1 - MOMENTUM, MOMENTUM):  # that the batch has: both meanings of a momentum are in use
            if not same(after[0], (1 - part) * mean + part * batch[0]):
                continue
            for factor in (1.0, members / (members - 1)):
                if same(after[1], (1 - part) * var + part * factor * batch[1]):
                    return Result("running", RIGHT, cases=1, what="y")
            return Result("running", "wrong", mistake="norm_kept_var", what="y")
        shares = _share(after[0], mean, batch[0]), _share(after[1], var, batch[1])
        if shares[0] is not None and 0 < shares[0] < 1:  # a momentum of its own
            for factor in (1.0, members / (members - 1)):
                share = _share(after[1], var, factor * batch[1])
                if share is not None and abs(share - shares[0]) < 1e-9:
                    return Result("running", RIGHT, cases=1, what="y")
        return Result("running", "wrong", mistake="norm_kept", what="y")


def _share(after: Array, before: Array, batch: Array) -> float | None:
    """The part of the way from one to the other that was gone, where it is the same everywhere."""
    share = (after - before) / (batch - before)
    return float(share[0]) if same(share, np.full(share.shape, share[0])) else None


def same_to(a: float, b: float) -> bool:
    """Alike to six digits: it tells how an eps is meant, and judges nothing."""
    return abs(a - b) <= 1e-6 * abs(b)
