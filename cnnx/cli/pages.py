"""Write the equations as a site of HTML pages that needs no network and no script (extra `report`).

Where DIR/api has the reference of the public names (`tox -e docs`), pages link to it.

Exit code 0: written; 2: usage, or DIR cannot be written.
"""

import argparse
from pathlib import Path

from ._speaker import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx pages`."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="where the site goes; index.html is its entrance")


def run(arguments: argparse.Namespace) -> int:
    """Write, say where, and return the exit code."""
    from cnnx.pages.site import write  # here, as it needs jinja2 and latex2mathml

    if arguments.folder.exists() and not arguments.folder.is_dir():
        raise ValueError(f"DIR: expected a folder or a new name, got the file {arguments.folder}")
    files = write(arguments.folder, lambda words: progress(f"pages: {words}"))
    progress("")
    print(f"{len(files)} files; open {arguments.folder / 'index.html'}")
    return 0
