"""An audit whose work several processes share says what one process says."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from packages import install

import cnnx
from cnnx.audit import audit
from cnnx.audit.pool import Here, Pool
from cnnx.cli import main

pytestmark = pytest.mark.once


def sleep_and_return(seconds: float, what: str, *, say: Any) -> tuple[str, int]:
    time.sleep(seconds)
    if what == "error":
        raise KeyError(what)
    return what, os.getpid()


JOBS = [(0.4, "slow"), (0.0, "a"), (0.0, "b"), (0.0, "c")]


def test_results_come_in_the_order_of_the_jobs_whoever_is_done_first() -> None:
    begun: list[str] = []
    with Pool(sleep_and_return, None, 2) as pool:
        done = list(pool.each(JOBS, lambda job: begun.append(job[1])))
    assert [what for what, _ in done] == ["slow", "a", "b", "c"]
    assert sorted(begun) == ["a", "b", "c", "slow"]
    assert os.getpid() not in {who for _, who in done}
    assert len({who for _, who in done}) == 2


def test_one_process_does_all_jobs_itself() -> None:
    done = list(Here(lambda *job: sleep_and_return(*job, say=None)).each(JOBS, lambda job: None))
    assert done == [(what, os.getpid()) for what in ("slow", "a", "b", "c")]


def test_an_error_ends_the_workers_and_reaches_the_caller() -> None:
    with Pool(sleep_and_return, None, 2) as pool, pytest.raises(KeyError, match="error"):
        list(pool.each([(0.0, "error"), (60.0, "never waited for")], lambda job: None))
    assert not multiprocessing.active_children()
    assert not [thread for thread in threading.enumerate() if "serve" in thread.name]


def test_the_report_is_that_of_one_process() -> None:
    ops, checks = ["relu", "step", "affine"], ["exact", "bound", "special", "dual", "search"]
    one, two = (audit(ops, checks=checks, jobs=jobs, measure=False).as_dict() for jobs in (1, 2))
    assert one == two
    assert one["cases"] > 500


def test_a_discrepancy_is_found_and_shrunk_in_a_worker(tmp_path: Path, monkeypatch: Any) -> None:
    kernels = "import numpy as np\ndef relu(Z, /, Y):\n    Y[...] = np.abs(Z)\nKERNELS = {'relu': relu}\n"
    install(tmp_path, "positive", kernels)
    monkeypatch.syspath_prepend(tmp_path)
    report = audit(["step", "relu"], backend="positive", checks=["exact"], shrink=2.0, jobs=2, measure=False)
    found = [d for d in report.discrepancies() if d.terms]
    assert [d.op for d in found] == ["relu"]


@pytest.mark.parametrize("jobs", [0, -1])
def test_too_few_jobs(jobs: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=f"jobs: expected at least 1, got {jobs}"):
        audit(["relu"], jobs=jobs)
    assert main(["audit", "--op", "relu", "--jobs", str(jobs)]) == 2
    assert "jobs: expected at least 1" in capsys.readouterr().err


def test_a_back_end_of_this_process_alone_cannot_be_shared() -> None:
    cnnx.register_backend("ours-alone", {"relu": lambda Z, Y: None})
    with pytest.raises(ValueError, match="jobs: expected a back end that another process can load"):
        audit(["relu"], backend="ours-alone", jobs=2)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_ends_workers_and_keeps_what_was_done() -> None:
    def interrupt(op: str, check: str) -> None:
        if op == "conv2d":
            os.kill(os.getpid(), signal.SIGINT)

    report = audit(["step", "conv2d"], checks=["exact", "bound"], jobs=2, measure=False, progress=interrupt)
    assert report.interrupted
    assert not report.ok
    assert {result.op for result in report.results} <= {"step"}
    assert not multiprocessing.active_children()
