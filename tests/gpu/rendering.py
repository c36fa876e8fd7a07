"""The table of a run, from its JSON."""

from typing import Any

from hosts import modelled


def render(run: dict[str, Any]) -> str:
    """Return a Markdown page: the machine, then what each part found, or why it found nothing."""
    machine = ", ".join(f"{name} {value}" for name, value in run["machine"].items())
    chapters = ["# The GPU road, measured", f"`{run['command']}`, {run['at']}.\n{machine}."]
    for name, part in run["parts"].items():
        chapters.append(f"## {name.capitalize()}, {part['seconds']:.0f} s\n\n{_body(part)}")
    if larger := modelled(run["parts"].get("throughput", {}).get("rows", [])):
        chapters.append(f"## 8 to 64 cards: a model (`hosts.py`), nothing of it measured\n\n{_table(larger)}")
    return "\n\n".join(chapters) + "\n"


def _body(part: dict[str, Any]) -> str:
    failure = f"**Not all was measured**: {part['failure']}" if part["failure"] else ""
    return "\n\n".join(filter(None, (failure, _table(part["rows"]) if part["rows"] else "")))


def _table(rows: list[dict[str, Any]]) -> str:
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [heads, ["---"] * len(heads), *([_cell(row.get(head, "")) for head in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
