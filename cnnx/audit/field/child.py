"""Put questions to one engine, in this process: python -m cnnx.audit.field.child ENGINE THREADS KEY...

THREADS is 0 for the engine's own. What is found comes in lines that begin with `MARK`, whatever else an engine prints;
each question is named before it is put, so that whoever reads knows where a process ended.
"""

import json
import sys
import warnings

from .asked import LacksError
from .engines import engine, version
from .questions import QUESTIONS, answer

MARK = "cnnx-field "


def main(name: str, threads: str, *keys: str) -> None:
    """Print what the engine answers."""
    warnings.simplefilter("ignore")
    try:
        one = engine(name, int(threads) or None)
    except LacksError as error:
        for key in keys:
            _say(key=key, answer=f"cannot be asked ({error})")
        return
    _say(version=version(one))
    for key in keys:
        _say(asked=key)
        try:
            _say(key=key, answer=answer(QUESTIONS[key], one))
        except Exception as error:  # what an engine says of valid input is an answer
            said = " ".join(str(error).split())[:100]
            _say(key=key, answer=f"raises {type(error).__name__}: {said}")


def _say(**said: str) -> None:
    print(f"\n{MARK}{json.dumps(said)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
