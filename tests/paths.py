"""Folders that tests need: the project's own, and the one with MNIST's files."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MNIST = Path(os.environ.get("CNNX_MNIST") or ROOT / "../shared/data/mnist").resolve()
needs_mnist = pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST files in {MNIST} (set CNNX_MNIST)")
