"""Builds one extension per cnnx/optimized/*.pyx. Metadata stands in pyproject.toml."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

sources = sorted(Path("cnnx/optimized").glob("*.pyx"))
extensions = [
    Extension(f"cnnx.optimized.{s.stem}", [str(s)], extra_compile_args=["-O3", "-fopenmp"], extra_link_args=["-fopenmp"])
    for s in sources
]
setup(ext_modules=cythonize(extensions, compiler_directives=dict(
    language_level=3, binding=True, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False)))
