"""An engine in a process of its own: where it hangs or dies, that is a finding, not the end of the audit."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from ...data import Array
from ...supervise import Supervisor


class Apart:
    """The engine that `make(name, threads=, exact=)` gives there, a new one after each death.

    Parameters
    ----------
    make : callable
        To be pickled.
    name, threads, exact
        Its arguments.
    timeout : float
        Seconds that a call may take.

    Raises
    ------
    cnnx.audit.supervise.EndedError
        The engine hung or died: here, and in every method.
    """

    def __init__(self, make: Callable[..., Any], name: str, *, threads: int, exact: bool, timeout: float) -> None:
        self._engine = make, name, threads, exact
        self._supervisor = Supervisor(_work, timeout, name)
        self.name, self.version, self.whole = self._supervisor.ask(self._engine, "about")

    def run(self, model: bytes, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """As the engine's."""
        found: list[Array] = self._supervisor.ask(self._engine, "run", model, dict(inputs), list(outputs))
        return found

    def kept(self, model: bytes) -> set[str]:
        """As the engine's."""
        found: set[str] = self._supervisor.ask(self._engine, "kept", model)
        return found

    def close(self) -> None:
        """End the process."""
        self._supervisor.close()


@cache
def _made(make: Callable[..., Any], name: str, threads: int, exact: bool) -> Any:
    return make(name, threads=threads, exact=exact)


def _work(engine: tuple[Any, ...], task: str, *job: Any, say: Callable[[], None]) -> Any:
    """One call of the engine. Its exceptions may not be picklable, or not be known where they arrive."""
    try:
        made = _made(*engine)
        if task == "about":
            return made.name, made.version, made.whole
        if task == "run":
            say()  # from here on the time limit counts; what the engine keeps takes it several runs to say
        return getattr(made, task)(*job)
    except (ImportError, NotImplementedError, ValueError):
        raise
    except Exception as error:
        raise RaisedError(type(error).__name__, str(error)) from None


class RaisedError(Exception):
    """What the engine raised: the name of its class, and its message."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(kind, words)
        self.kind, self.words = kind, words
