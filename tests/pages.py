"""HTML pages, for the tests of who writes some: their elements, what they may not hold, a browser that draws them."""

import html.parser
import shutil
import subprocess
from pathlib import Path

import pytest


class Tags(html.parser.HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def needs_nothing(text: str) -> None:
    """Hold a page to what all pages promise: no network, no script, and a policy that says so."""
    page = Tags(text)
    used = {tag for tag, _ in page.tags}
    assert not used & {"script", "img", "link", "iframe", "object", "embed", "base", "form", "video", "audio", "a"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert not set(attributes) & {"src", "href", "xlink:href", "srcset", "action", "style"}, (tag, attributes)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert "\x00" not in text


def chromium(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here to render the page")
    command = [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={cwd}/user",
    ]
    return subprocess.run([*command, *arguments], capture_output=True, timeout=180, check=True, cwd=cwd)
