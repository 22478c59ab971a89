"""The option --lang: in which language a command speaks."""

import argparse

from cnnx.lang import languages


def add_language(parser: argparse.ArgumentParser) -> None:
    """Add the option; `main` heeds it before a command's arguments are understood, for what is wrong with them."""
    names = ", ".join(languages())
    parser.add_argument("--lang", metavar="NAME", help=f"language: {names} (default: LANG's, else en)")


def asked_language(arguments: list[str]) -> str | None:
    """What --lang says on a command line."""
    for i, word in enumerate(arguments):
        if word == "--":
            break
        if word.startswith("--lang="):
            return word.partition("=")[2]
        if word == "--lang" and i + 1 < len(arguments):
            return arguments[i + 1]
    return None
