"""Config files and their documentation: each loads, each field is explained, the table of fields is current."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ByteSize, Field

from components.config.fields import field_tables, schema_of
from components.section import Section


class Round(Section):
    """A cookie
    without corners.

    Not shown.
    """

    kind: Literal["round"] = "round"
    radius: float = Field(default=2.0, gt=0, le=9)
    """Half the width | in cm."""


class Square(Section):
    """A cookie with corners."""

    kind: Literal["square"] = "square"


class Bakery(Section):
    """Where cookies are made."""

    name: str = Field(pattern="^[a-z]+$")
    """Over the door."""
    shapes: tuple[Annotated[Round | Square, Field(discriminator="kind")], ...] = ()
    """What is sold."""
    best: Round = Round()
    """What is sold most."""
    size: tuple[int, int] = (3, 4)
    """Rooms and ovens."""
    fit: Literal["crop", "pad"] | None = None
    """How dough is cut."""
    flour: ByteSize = ByteSize(3 * 2**20)
    """By weight."""


def run_schema() -> dict[str, Any]:
    from components.config import RunConfig

    return schema_of(RunConfig)


def configs(root: Path) -> list[Path]:
    found = sorted((root / "configs").glob("*.yaml"))
    assert found, "configs/ holds no run"
    return found


def test_every_config_loads(root: Path) -> None:
    from components.config import load

    for path in configs(root):
        assert load(path, []).name


def test_no_config_has_something_to_fill_in(root: Path) -> None:
    for path in configs(root):
        values = yaml.dump(yaml.safe_load(path.read_text()))
        assert not re.search(r"<[^>]*>|CHANGE.?ME|\bTBD\b", values), path.name


def test_every_config_begins_with_the_command_that_runs_it(root: Path) -> None:
    for path in configs(root):
        header = "".join(line for line in path.read_text().splitlines(keepends=True)[:20] if line.startswith("#"))
        assert f"configs/{path.name}" in header, f"{path.name}: the header names no command that runs the file"


def test_every_field_of_a_config_is_explained() -> None:
    schema = run_schema()
    sections: Mapping[str, Any] = {schema["title"]: schema, **schema["$defs"]}
    silent = [
        f"{title}.{name}"
        for title, section in sections.items()
        for name, field in section.get("properties", {}).items()
        if name != "kind" and not field.get("description")
    ]
    assert not silent, "\n" + "\n".join(silent)


def test_field_table_is_current(root: Path) -> None:
    current = field_tables(run_schema())
    assert (root / "configs" / "FIELDS.md").read_text() == current, "run: make fields"


def test_field_table_holds_type_default_bounds_and_meaning() -> None:
    text = field_tables(schema_of(Bakery))
    assert "| `name` | text |  | like `^[a-z]+$` | Over the door. |" in text
    assert "| `shapes` | list of [Round](#round) or [Square](#square) | `[]` |  | What is sold. |" in text
    assert "| `best` | [Round](#round) | see there |  | What is sold most. |" in text
    assert "| `size` | [whole number, whole number] | `[3, 4]` |" in text
    assert "| `fit` | `crop` or `pad` or null | `null` |  | How dough is cut. |" in text
    assert "| `flour` | bytes, such as 64MiB | `3.0MiB` |  | By weight. |" in text
    assert "| `radius` | number | `2.0` | > 0, ≤ 9 | Half the width \\| in cm. |" in text


def test_field_table_links_lead_to_headings_and_each_section_stands_once() -> None:
    text = field_tables(schema_of(Bakery))
    headings = re.findall(r"^## (\w+)$", text, flags=re.MULTILINE)
    assert headings == ["Bakery", "Round", "Square"]
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= {heading.lower() for heading in headings}
    assert "`kind: round`. A cookie without corners.\n" in text
    assert "Not shown" not in text
