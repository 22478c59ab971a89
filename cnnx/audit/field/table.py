"""The table of conventions: engine x question, as the package carries it."""

import json
import tomllib
from dataclasses import dataclass
from importlib import resources

LACKS = ("does not have it", "cannot be asked")
HEAD = """\
# What engines do where they may differ: written by `python -m cnnx.audit.field --write FILE`, which asks them.
# [engines.NAME] has the version that was asked and the date, [answers.QUESTION] an answer for each engine.
"""


def lacks(answer: str) -> bool:
    """Whether it says that an engine does not have what is asked about."""
    return answer.startswith(LACKS)


@dataclass(frozen=True)
class Table:
    """Answers by question and engine; of each engine the version and the day."""

    engines: dict[str, dict[str, str]]
    answers: dict[str, dict[str, str]]

    @classmethod
    def read(cls, text: str) -> "Table":
        """The table of a TOML file's text."""
        found = tomllib.loads(text)
        return cls(found.get("engines", {}), found.get("answers", {}))

    def text(self) -> str:
        """The file's text."""
        lines = [HEAD]
        for group, rows in (("engines", self.engines), ("answers", self.answers)):
            for name, row in rows.items():
                lines.append(f"[{group}.{name}]")
                lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in row.items()]
                lines.append("")
        return "\n".join(lines).rstrip("\n") + "\n"

    def replaced(self, engine: str, version: str, date: str, answers: dict[str, str]) -> "Table":
        """With one engine's column anew."""
        rows = {key: {**self.answers.get(key, {}), engine: answer} for key, answer in answers.items()}
        engines = {**self.engines, engine: {"version": version, "date": date}}
        return Table(engines, {**self.answers, **rows})


def _packaged() -> Table:
    return Table.read(resources.files(__package__).joinpath("conventions.toml").read_text(encoding="utf-8"))


TABLE = _packaged()
