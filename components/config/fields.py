"""Print every field that a config file may hold, one Markdown table per section, from the config classes themselves.

Use: `make fields`, or `python -m components.config.fields > configs/FIELDS.md`. A test keeps the file current.
"""

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ByteSize, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from components.config.run import RunConfig
from components.section import Section

Schema = Mapping[str, Any]

HEAD = """# Every field of a config file

Written by `make fields` from the config classes; do not edit. A run file is one `{root}`; the other sections follow in
the order in which they are met. A field without a default must be given. Where a section has a `kind`, the kind chooses
the section. Any field is also set on the command line, as in `--set seed=3` or `--set dataset.size=64`.
"""

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "multiple of {}",
    "minLength": "≥ {} characters",
    "maxLength": "≤ {} characters",
    "minItems": "≥ {} items",
    "maxItems": "≤ {} items",
    "minProperties": "≥ {} entries",
    "maxProperties": "≤ {} entries",
    "pattern": "like `{}`",
}
_BYTE_SIZE = TypeAdapter(ByteSize).json_schema()["anyOf"]
_LONGEST_DEFAULT = 60  # characters


class _Described(GenerateJsonSchema):
    """Describes fields by the texts under them.

    pydantic can do so itself, `use_attribute_docstrings`, but then reads the source of all sections at every start.
    """

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Return the schema of one section."""
        described = super().model_schema(schema)
        for name, text in _texts(schema["cls"]).items():
            if text:
                described["properties"][name]["description"] = text
        return described


def _texts(section: type[Section]) -> dict[str, str]:
    """Return what stands under each field of a section, inherited ones too; empty where nothing does."""
    texts: dict[str, str] = {}
    for kind in reversed(section.__mro__):
        if "__annotations__" not in vars(kind) or not issubclass(kind, Section):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for line, below in zip(body, [*body[1:], None], strict=True):
            match line, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    texts[name] = inspect.cleandoc(text)
                case ast.AnnAssign(target=ast.Name(id=name)), _:
                    texts[name] = ""
    return {name: text for name, text in texts.items() if name in section.model_fields}


def schema_of(root: type[Section]) -> JsonSchemaValue:
    """Return the JSON schema of a section and of all sections below it, every field with its description."""
    return TypeAdapter(root).json_schema(schema_generator=_Described)


def field_tables(schema: Schema) -> str:
    """Return the Markdown tables of a JSON schema's object and of all sections below it, each once."""
    sections = dict(_sections(schema, schema.get("$defs", {})))
    return "\n".join(
        [HEAD.format(root=schema["title"]), *(_table(name, section) for name, section in sections.items())]
    )


def _sections(root: Schema, known: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield name and schema of each section in the order in which a reader meets them."""
    waiting: list[tuple[str, Schema]] = [(root["title"], root)]
    seen: set[str] = set()
    while waiting:
        name, section = waiting.pop(0)
        if "properties" in section:
            yield name, section
        fields = list(section.get("properties", {}).values())
        fresh = [reference for reference in _references(fields) if reference not in seen]
        seen |= set(fresh)
        waiting = [(reference, known[reference]) for reference in dict.fromkeys(fresh)] + waiting


def _references(node: Any) -> Iterator[str]:  # noqa: ANN401 - any part of a JSON schema
    if isinstance(node, Mapping):
        if "$ref" in node:
            yield _target(node)
        for key, value in node.items():
            if key not in {"default", "mapping"}:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _target(node: Schema) -> str:
    return str(node["$ref"]).rsplit("/", 1)[-1]


def _table(name: str, section: Schema) -> str:
    kind = section["properties"].get("kind", {}).get("const")
    chosen = f"`kind: {kind}`. " if kind else ""
    lines = [f"## {name}", "", f"{chosen}{first_paragraph(section.get('description', ''))}".strip(), ""]
    fields = {name: field for name, field in section["properties"].items() if name != "kind"}
    lines += [*rows_of(fields, section.get("required", ())), ""] if fields else ["No fields but its kind.", ""]
    return "\n".join(lines)


def rows_of(fields: Schema, required: Sequence[str]) -> list[str]:
    """Return the lines of a Markdown table with one row for each field.

    Args:
        fields: JSON schemas by field.
        required: Fields without a default.
    """
    head = ["| field | type | default | bounds | meaning |", "| --- | --- | --- | --- | --- |"]
    return head + [_row(name, field, name in required) for name, field in fields.items()]


def _row(name: str, field: Schema, required: bool) -> str:  # noqa: FBT001 - private, read beside its only call
    meaning = " ".join(field.get("description", "").split())
    cells = [f"`{name}`", _type(field), "" if required else _default(field), ", ".join(_bounds(field)), meaning]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(field: Schema) -> str:
    """Return what a field holds, in the words of YAML; sections as links to their tables."""
    if "$ref" in field:
        return f"[{_target(field)}](#{_target(field).lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if _is_byte_size(field):
        return "bytes, such as 64MiB"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in field:
            return " or ".join(dict.fromkeys(_type(option) for option in field[several]))
    if field.get("type") == "array":
        return _array(field)
    if field.get("type") == "object":
        values = field.get("additionalProperties")
        return f"name: {_type(values)}" if isinstance(values, Mapping) else "mapping"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": "null"}
    named = str(field.get("type", "any"))
    return "path" if field.get("format") == "path" else words.get(named, named)


def _array(field: Schema) -> str:
    if parts := field.get("prefixItems"):
        return f"[{', '.join(_type(part) for part in parts)}]"
    return f"list of {_type(field.get('items', {}))}"


def _default(field: Schema) -> str:
    if _is_byte_size(field) and "default" in field:
        return f"`{ByteSize(field['default']).human_readable()}`"
    text = json.dumps(field.get("default", {}), ensure_ascii=False)
    if "{" in text:  # a section, whose own table has its defaults
        return "see there"
    return f"`{text}`" if len(text) <= _LONGEST_DEFAULT else f"`{text[: _LONGEST_DEFAULT - 1]}…`"


def _is_byte_size(field: Schema) -> bool:
    return bool(field.get("anyOf") == _BYTE_SIZE)


def _bounds(field: Schema) -> Iterator[str]:
    if _is_byte_size(field):
        return
    for key, words in _BOUNDS.items():
        if key in field:
            yield words.format(field[key])
    for several in ("anyOf", "oneOf", "allOf"):
        for option in field.get(several, ()):
            yield from _bounds(option)
    if isinstance(field.get("items"), Mapping):
        yield from (f"each {bound}" for bound in _bounds(field["items"]))


def first_paragraph(text: str) -> str:
    """Return the beginning of a docstring as one line."""
    return " ".join(text.split("\n\n")[0].split())


def main() -> None:
    """Print the tables of RunConfig."""
    sys.stdout.write(field_tables(schema_of(RunConfig)))


if __name__ == "__main__":
    main()
