"""The table of conventions: engine x question, as the package carries it."""

import json
import tomllib
from dataclasses import dataclass, field
from importlib import resources

LACKS = ("does not have it", "cannot be asked")
HEAD = """\
# What engines do where they may differ: written by `python -m cnnx.audit.field --write FILE`, which asks them.
# [engines.NAME] has the version that was asked, the date and the processor, [answers.QUESTION] an answer for each
# engine, [elsewhere.QUESTION] what an engine of that version answered otherwise before, on another processor.
"""


def lacks(answer: str) -> bool:
    """Whether it says that an engine does not have what is asked about."""
    return answer.startswith(LACKS)


@dataclass(frozen=True)
class Table:
    """Answers by question and engine; of each engine the version, the day and the processor.

    elsewhere : by question and engine, what the same version answered otherwise on another processor, and on which.
    """

    engines: dict[str, dict[str, str]]
    answers: dict[str, dict[str, str]]
    elsewhere: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> "Table":
        """The table of a TOML file's text."""
        found = tomllib.loads(text)
        return cls(found.get("engines", {}), found.get("answers", {}), found.get("elsewhere", {}))

    def text(self) -> str:
        """The file's text."""
        lines = [HEAD]
        for group, rows in (("engines", self.engines), ("answers", self.answers), ("elsewhere", self.elsewhere)):
            for name, row in rows.items():
                lines.append(f"[{group}.{name}]")
                lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in row.items()]
                lines.append("")
        return "\n".join(lines).rstrip("\n") + "\n"

    def replaced(self, engine: str, about: dict[str, str], answers: dict[str, str]) -> "Table":
        """With one engine's column anew; about: its version, date and processor."""
        rows = {key: {**self.answers.get(key, {}), engine: answer} for key, answer in answers.items()}
        before = self.engines.get(engine, {})
        kept = {key: {name: one for name, one in row.items() if name != engine or key not in answers}
                for key, row in self.elsewhere.items()}  # fmt: skip
        if before.get("version") == about["version"]:
            for key, answer in answers.items():
                was, other = self.answers.get(key, {}).get(engine, answer), self.elsewhere.get(key, {}).get(engine, "")
                if was != answer and before["processor"] != about["processor"]:
                    kept.setdefault(key, {})[engine] = f"{was} ({before['processor']})"
                elif other and not other.startswith(f"{answer} ("):
                    kept[key][engine] = other
        kept = {key: row for key, row in kept.items() if row}
        return Table({**self.engines, engine: about}, {**self.answers, **rows}, kept)


def _packaged() -> Table:
    return Table.read(resources.files(__package__).joinpath("conventions.toml").read_text(encoding="utf-8"))


TABLE = _packaged()
