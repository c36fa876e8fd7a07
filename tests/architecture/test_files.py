"""What files and folders must look like: sizes, names, docstrings, READMEs."""

import ast
from pathlib import Path

LONGEST_FILE = 300  # lines; a longer one holds two things
UNIONS = ("baselines", "corruption", "data/sources", "models", "objectives", "recipes")
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "tools"}


def listed(found: list[str]) -> str:
    return "\n" + "\n".join(found)  # all of them: pytest would show the first


def is_public(node: ast.FunctionDef | ast.ClassDef) -> bool:
    # What overrides is documented where it was declared.
    return not node.name.startswith("_") and "override" not in map(ast.unparse, node.decorator_list)


def test_no_file_is_long(root: Path, product: tuple[Path, ...]) -> None:
    lengths = {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in product}
    long = [f"{name}: {length} lines" for name, length in lengths.items() if length > LONGEST_FILE]
    assert not long, listed(long)


def test_no_module_is_a_drawer(root: Path, product: tuple[Path, ...]) -> None:
    assert [
        str(path.relative_to(root)) for path in product if path.stem in DRAWERS or path.parent.name in DRAWERS
    ] == []


def test_every_module_says_its_purpose_first(root: Path, files: tuple[Path, ...]) -> None:
    silent = []
    for path in (path for path in files if path.suffix == ".py"):
        tree = ast.parse(path.read_text())
        opening = tree.body[0] if tree.body else None
        text = ast.get_docstring(tree)
        if not (opening and text and text.split("\n")[0].strip() and opening.lineno <= 2):
            silent.append(str(path.relative_to(root)))
    assert not silent, listed(silent)


def test_everything_public_is_documented(root: Path, product: tuple[Path, ...]) -> None:
    silent = []
    for path in product:
        tree = ast.parse(path.read_text())
        for owner in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and is_public(node))]:
            members = [
                node for node in owner.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and is_public(node)
            ]
            silent += [
                f"{path.relative_to(root)}:{one.lineno} {one.name}" for one in members if not ast.get_docstring(one)
            ]
    assert not silent, listed(silent)


def rooms(root: Path) -> list[Path]:
    return sorted({path.parent for top in ("components", "flows") for path in (root / top).rglob("*.py")})


def test_every_room_says_what_lives_there_what_does_not_and_where_to_start_reading(root: Path) -> None:
    silent = [
        f"{room.relative_to(root)}: {words}"
        for room in rooms(root)
        if room != root / "components"  # the map of all rooms
        for words in ("**Lives here:**", "**Does not:**", "**Start reading at**")
        if words not in (room / "README.md").read_text()
    ]
    assert not silent, listed(silent)


def test_every_room_names_its_files(root: Path) -> None:
    # Where a union lists what lives there, a new member touches its own file and the union, and no README.
    of_unions = {root / "components" / name for name in UNIONS}
    unnamed = [
        str(path.relative_to(root))
        for room in rooms(root)
        if room not in of_unions
        for path in sorted(room.glob("[!_]*.py"))
        if f"`{path.name}`" not in (room / "README.md").read_text()
    ]
    assert not unnamed, listed(unnamed)


def test_every_folder_says_what_lives_there(root: Path, files: tuple[Path, ...]) -> None:
    folders = {path.parent.relative_to(root) for path in files if path.suffix in {".py", ".yaml", ".sbatch"}}
    folders |= {parent for folder in folders for parent in folder.parents}
    named = [f for f in folders if f.parts and f.parts[0] in {"components", "flows", "infra", "configs"}]
    # Below its kinds of test, tests/ mirrors the tree it tests, whose own READMEs speak for it.
    named += [f for f in folders if f.parts and f.parts[0] == "tests" and len(f.parts) <= 2]
    silent = sorted(str(folder) for folder in named if not (root / folder / "README.md").is_file())
    assert not silent, listed(silent)
