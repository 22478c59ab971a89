"""A comparison for a pull request: Markdown, annotations, and what the command writes where."""

import argparse
import html
import re
import shlex
import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("scipy", reason="extra bench: it tells changes from noise")

from paths import ROOT
from test_against import BUILDS, FIGURES
from test_history import CONV, HOSTILE, RELU, run

from cnnx.bench import history
from cnnx.bench.against import Outcome, Suspect
from cnnx.bench.bisect import Named
from cnnx.bench.budgets import Budgets
from cnnx.bench.compare import compare
from cnnx.bench.junit import junit
from cnnx.bench.record import Figure
from cnnx.bench.summary import Summary, annotations, markdown
from cnnx.cli import main
from cnnx.cli._bench_options import add_arguments, check

pytestmark = pytest.mark.once


def of(base, new):
    found = compare(base, new)
    return Summary.of_comparison(found, found.exit_code)


def test_a_comparison_of_two_runs():
    odd = Figure("relu", HOSTILE, "forward", 1)
    found = of(run(1, {CONV: 0.5, RELU: 0.5, odd: 0.4}), run(2, {CONV: 0.4, RELU: 0.51, odd: 0.6}))
    text = markdown(found)
    lines = text.splitlines()
    assert lines[0] == "### Speed: 1 slower, 1 faster of 3 figures"
    assert lines[2:5] == [
        "| figure | change | budget | |",
        "| --- | ---: | ---: | --- |",
        "| conv2d, cn layer 2, forward, 1 thread | -20.0 % | 10 % | **slower** |",
    ]
    assert lines[5].endswith("| +50.0 % | 10 % | **faster** |")
    assert "<details><summary>1 the same</summary>" in lines
    for bad in ("<script", "<img", "&#60;/svg&#62;<"):
        assert bad not in text
    assert lines[5].count("|") == 5  # whatever the name holds
    assert annotations(found) == [
        "::error title=Slower::conv2d, cn layer 2, forward, 1 thread: -20.0 %25, beyond 10 %25"
    ]


def test_what_cannot_be_judged_is_said_with_the_reason():
    found = of(run(1, {CONV: 0.5, RELU: 0.5}), run(2, {CONV: 0.5}))
    assert markdown(found).startswith("### Speed: no change in 1 figure\n")
    assert "- only in the base run: relu, images, forward, 1 thread" in markdown(found)
    assert annotations(found) == ["::warning title=Not judged::1 figures; the summary has the reasons"]
    nothing = of(run(1, {CONV: 0.5}), run(2, {CONV: 0.5}, fingerprint={"processor": "another\n100 %"}))
    assert nothing.code == 3
    (line,) = annotations(nothing)
    assert line.startswith("::warning title=Nothing was compared::not comparable: processor")
    assert "another%0A100 %25" in line
    assert "\n" not in line


def test_two_builds_in_turns():
    outcome = Outcome(*BUILDS, ratios={FIGURES[0]: [0.8] * 5, FIGURES[1]: [0.94] * 5, FIGURES[2]: [1.4] * 5})
    outcome.suspects = [
        Suspect(FIGURES[0], [0.8] * 5, [0.82] * 16, regression=True),
        Suspect(FIGURES[1], [0.94] * 5, [0.99] * 16),
    ]
    outcome.missing[FIGURES[3]] = "no such op"
    named = [Named(FIGURES[0], "c1", "c3", {"c2": [1.0]}, {"c2": "broken"})]
    found = Summary.of_outcome(outcome, Budgets(), named, 1)
    assert [(one.verdict, round(one.change, 2)) for one in found.lines] == [
        ("slower", -0.18),
        ("noisy", -0.01),
        ("faster", 0.4),
    ]
    text = markdown(found)
    assert text.startswith("### Speed: 1 slower, 1 faster of 3 figures\n")
    assert f"- {FIGURES[0]}: slower since c3, after c1 (1 between were left out)\n" in text
    assert f"- not in the base: no such op: {FIGURES[3]}" in text
    assert markdown(Summary.of_outcome(Outcome(*BUILDS), Budgets(), [], 3)).startswith("### Speed: nothing to compare")


def test_names_are_shown_as_they_are():
    """GitHub's Markdown and a browser make of the entities what the name was."""
    name = "a_b[1]*c*<i>&amp;|`x`#1 @you ~~"
    figure = Figure("relu", name, "forward", 1)
    (line,) = (
        row for row in markdown(of(run(1, {figure: 0.5}), run(2, {figure: 0.4}))).splitlines() if "slower**" in row
    )
    cell = line.split("|")[1].strip()
    assert html.unescape(cell) == f"relu, {name}, forward, 1 thread"
    assert not set("_[]*<>`#@~") & set(re.sub("&#[0-9]+;", "", cell))


def test_as_junit():
    odd = Figure("relu", HOSTILE, "forward", 1)
    other = Figure("tanh", "images", "forward", 1)
    found = of(run(1, {CONV: 0.5, RELU: 0.5, odd: 0.5}), run(2, {CONV: 0.4, RELU: 0.5, other: 0.6}))
    root = ET.fromstring(junit(found))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "0", "skipped": "2",
    }  # fmt: skip
    cases = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert cases[str(CONV)] == ["failure"]
    assert cases[str(RELU)] == ["system-out"]
    assert cases[str(other)] == ["skipped"]
    assert root.find(".//failure").get("message") == "-20.0 %, budget 10 %: slower"
    nothing = of(run(1, {CONV: 0.5}), run(2, {CONV: 0.5}, fingerprint={"processor": "another"}))
    (case,) = ET.fromstring(junit(nothing)).iter("testcase")
    assert case.find("error").get("message").startswith("exit code 3: not comparable: processor")


def test_a_failure_without_a_slower_figure_is_an_error_too():
    outcome = Outcome(*BUILDS, ratios={FIGURES[0]: [1.0] * 5}, failed={FIGURES[1]: "it died"})
    found = Summary.of_outcome(outcome, Budgets(), [], 1)
    (case,) = ET.fromstring(junit(found)).iterfind(".//testcase[error]")
    assert case.get("name") == "complete"
    first, second = annotations(found)
    assert first.startswith("::warning title=Not judged::1 figures")
    assert second.startswith("::error title=Not all was measured::")


def test_a_table_has_an_end():
    figures = {Figure("relu", f"case {i}", "forward", 1): 0.5 for i in range(100)}
    text = markdown(of(run(1, figures), run(2, dict.fromkeys(figures, 0.3))))
    assert "| and 40 more | | | |" in text
    assert len(re.findall(r"\*\*slower\*\*", text)) == 60


def test_the_command_writes_them(tmp_path, monkeypatch, capsys):
    for day, level in (1, 0.5), (2, 0.4):
        run(day, {CONV: level}).write(tmp_path / f"{day}.json")
    step = tmp_path / "step"
    step.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    files = [str(tmp_path / f"{day}.json") for day in (1, 2)]
    assert main(["bench", "--compare", *files, "--markdown", str(tmp_path / "s.md"), "--github", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("{")
    assert "::error title=Slower::conv2d" in captured.err
    assert main(["bench", "--compare", *files, "--junit", str(tmp_path / "j.xml")]) == 1
    assert ET.parse(tmp_path / "j.xml").getroot().get("failures") == "1"
    text = (tmp_path / "s.md").read_text()
    assert text.startswith("### Speed: 1 slower of 1 figure\n")
    assert step.read_text() == f"before\n{text}\n"
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert main(["bench", "--compare", *files, "--github"]) == 1
    assert main(["bench", "--github", "--op", "relu"]) == 2
    assert "--github: expected none without --compare or --against" in capsys.readouterr().err
    assert main(["bench", "--compare", *files, "--markdown", "same", "--json", "same"]) == 2
    history.append(tmp_path / "h.jsonl", run(1, {CONV: 0.5}))
    assert main(["bench", "--history", str(tmp_path / "h.jsonl"), "--markdown", str(tmp_path / "n.md")]) == 2


def test_the_workflow_asks_for_what_there_is(tmp_path, monkeypatch):
    """Its command's options exist and go together; it asks for no right and no secret."""
    text = (ROOT / "benchmarks" / "pull-request.yml").read_text()
    (command,) = re.findall(r"^ +- run: cnnx (bench .*)$", text, re.MULTILINE)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    asked = parser.parse_args(shlex.split(command)[1:])
    monkeypatch.chdir(tmp_path)
    check(asked)
    assert (asked.against, asked.pytest, asked.bisect, asked.github) == (
        "origin/$GITHUB_BASE_REF",
        "benchmarks",
        True,
        True,
    )
    assert "permissions: {}" in text
    assert "secrets" not in text
    assert "pull_request_target" not in text
