"""README.ja.md is true: its commands print what it shows, its homework is judged so, its links lead somewhere."""

import re
import shlex

import pytest
from paths import ROOT

from cnnx.cli import main
from cnnx.pages import homework

pytestmark = pytest.mark.once

README = (ROOT / "README.ja.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```text\n\$ cnnx ([^\n]*)\n(.*?)```", README, re.DOTALL)
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", README, re.DOTALL))


def test_there_is_something_to_try():
    assert "homework.py" in FILES
    assert len(SHOWN) >= 3


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_a_command_prints_what_is_shown(command, output, tmp_path, monkeypatch, capsys):
    """All of it; or, up to a line of dots, its beginning."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(f"# {name}\n{text}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) in (0, 1)
    printed = capsys.readouterr().out
    beginning, dots, _ = output.partition("\n...\n")
    assert printed.startswith(beginning) if dots else printed == output


def test_the_site_has_the_same_homework_and_answer():
    assert FILES["homework.py"] == homework.example()
    answer = dict(SHOWN)["check homework.py --lang ja"]
    printed = homework.answer("ja").replace("4 行目", "5 行目")  # without the comment that names the file
    assert printed.strip() == answer.strip()


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists()
