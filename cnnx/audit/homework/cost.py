"""A cost judged: its value and its gradient."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import Case
from ..data import Array, draw
from ..report.result import Discrepancy
from ..run import audit
from ..trace import backward_arguments, forward_arguments
from .answer import Result
from .layer import Layer
from .probes import Probe, probes
from .settle import cannot
from .unit import RaisedError, UnclearError


class Cost(Layer):
    """A cost: its value and its gradient, of scores or outputs and targets."""

    def results(self) -> Iterator[Result]:
        self.probes = list(probes(self.unit))
        try:
            arrays, _, _, _ = self._calls(self.probes[-1], "y")
        except (RaisedError, UnclearError) as error:
            yield cannot(error)
            return
        del arrays
        done = []
        for what in ("y", *(("x",) if self.unit.has_backward else ())):
            done.append(self._one(what))
            yield done[-1]

    def _named(self, what: str) -> str:
        return "E" if what == "y" else "dA" if self.unit.op == "squared_error" else "dZ"

    def _audited(self, kernels: Any, cases: list[Case], checks: list[str], shrink: float = 0.0) -> list[Discrepancy]:
        what = kernels[0]
        unit, base = self.unit, self.op.name + ("_index" if self.op.name == "cross_entropy" else "")

        def value(Z: Array, t: Array, E: Array, *, divisor: float) -> None:
            got = np.asarray(unit.loss(*_shaped(Z, t, self.shape))[0], dtype=float)
            E[0] = got.reshape(()) if got.size == 1 else np.nan

        def gradient(Z: Array, t: Array, dZ: Array, *, divisor: float) -> None:
            got = np.asarray(unit.loss(*_shaped(Z, t, self.shape))[1])
            if got.size != dZ.size:
                raise ValueError(f"expected a gradient of shape {self.shape}, got {got.shape}")
            dZ[...] = got.reshape(dZ.shape)

        name = f"homework {unit.name}"
        kernels_ = {base: value} if what == "y" else {f"{base}_grad_input": gradient}
        found: list[Discrepancy] = []
        with _backend.registered(name, kernels_):
            for case in cases:
                spec = case.arrays.get("logits", case.arrays.get("y"))
                assert isinstance(spec, tuple)
                self.shape = spec
                report = audit(
                    [self.op.name], backend=name, cases=[case], checks=checks, dtypes=["float64"], measure=False
                )
                found += [one for result in report.results for one in result.failing]
        return found

    def _contract(self, what: str) -> Any:
        return what  # costs have no contracts: they take integers and give numbers

    def _calls(self, probe: Probe, what: str) -> tuple[dict[str, Array], Array, Any, Array]:
        rng = np.random.default_rng([7, *probe.case.name.encode()])
        arrays = draw(self.op, probe.case, "float64", "real", rng)
        with _backend.use_backend("reference"):
            right: Any = self.op.forward(**forward_arguments(self.op, probe.case, arrays))
            if what != "y":
                right = self.op.backward(**backward_arguments(self.op, probe.case, arrays, np.ones(1), right))
        x, target = (arrays[name] for name in probe.case.arrays)
        x, target = _shaped(x, target, x.shape)
        got = self.unit.loss(x, target)[0 if what == "y" else 1]
        got = None if got is None else np.asarray(got)
        return {"x": x, "target": target}, np.ones(1), got, np.asarray(right)


def _shaped(x: Array, target: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """A cost's arrays in their shape, indices of classes as rows of zeros and a one."""
    x = np.array(x).reshape(shape)
    return x, np.eye(shape[1])[target] if target.ndim == 1 and target.dtype.kind == "i" else target.reshape(shape)
