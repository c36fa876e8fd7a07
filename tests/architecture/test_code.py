"""What the code may not do, read from its syntax trees: each test names every place that breaks the rule."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Rule = Callable[[ast.AST], bool]

RANDOM_WITHOUT_GENERATOR = {
    f"torch.{name}" for name in ("rand", "randn", "randint", "randperm", "bernoulli", "normal", "multinomial")
} | {f"torch.{name}_like" for name in ("rand", "randn", "randint")}

# What may be named where: a pattern of the full dotted name, the files that may use it, and the reason.
DOORS = (
    (r"(pickle|cloudpickle|dill|joblib|marshal|shelve)\b.*", (), "a pickle runs code when it is read"),
    (r"torch\.jit\.load|(builtins\.)?(eval|exec)|os\.system", (), "runs whatever it is given"),
    (
        r"torch\.load",
        ("components/models/features.py", "components/objectives/perceptual.py"),
        "weights are read in one place, and never as pickles",
    ),
    (
        r"torch\.distributed\b(?!\.(run|elastic)\b).*",
        ("components/distributed.py",),
        "one module knows that there is more than one process",
    ),
    (r"torch\.distributed\.(run|elastic)\b.*", ("components/launch/agent.py",), "one process runs torchrun"),
    (r"yaml\.(unsafe_load|full_load|unsafe_load_all|full_load_all)", (), "YAML may name Python objects"),
    (
        r"numpy\.random\.(?!Generator$|BitGenerator$).+",
        ("components/seeding.py",),
        "generators are made by components.seeding and passed on",
    ),
    (r"random\..+", (), "global randomness cannot be repeated"),
    (
        r"torch\.(random\.)?(manual_seed|seed|set_rng_state)|torch\.cuda\.manual_seed.*",
        ("components/seeding.py",),
        "generators are made by components.seeding and passed on",
    ),
    (r"print", ("flows/cli",), "components log; only the command line tool speaks to a terminal"),
)


def names_of(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for, e.g. {"np": "numpy"}."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str | None:
    """Return the full name that an expression refers to, or None when it is not an imported or built-in name."""
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, names) if isinstance(node.value, ast.Name | ast.Attribute) else None
        return (
            f"{owner}.{node.attr}"
            if owner and owner.split(".")[0] in {n.split(".")[0] for n in names.values()}
            else None
        )
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id if node.id in {"print", "eval", "exec"} else None)
    return None


def referred(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and full name of all that a module imports or refers to."""
    names = names_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node, names)):
            yield node.lineno, name


def forbidden(text: str, file: str) -> list[str]:
    """Return what a file's text refers to and may not, with line and reason."""
    found = {
        f"{file}:{line} {name}: {reason}"
        for line, name in referred(ast.parse(text))
        for pattern, allowed, reason in DOORS
        if re.fullmatch(pattern, name) and not file.startswith(allowed or ("\0",))
    }
    return sorted(found)


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def is_true_or_unknown(value: ast.expr | None) -> bool:
    return value is not None and not (isinstance(value, ast.Constant) and value.value is False)


def swallows_everything(node: ast.AST) -> bool:
    """Whether a handler takes every exception and does not raise it again."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    caught = ast.unparse(node.type) if node.type else "BaseException"
    return bool(re.search(r"\b(Base)?Exception\b", caught)) and not isinstance(node.body[-1], ast.Raise)


def is_unsafe_call(node: ast.AST) -> bool:
    """Whether a call opens a shell, unpacks an archive, or reads pickles out of arrays or weights."""
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    return (
        is_true_or_unknown(keyword(node, "shell"))
        or is_true_or_unknown(keyword(node, "allow_pickle"))
        or name.endswith(".extractall")
        or (name == "torch.load" and ast.unparse(keyword(node, "weights_only") or ast.Constant(None)) != "True")
    )


def draws_from_the_global_generator(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return ast.unparse(node.func) in RANDOM_WITHOUT_GENERATOR and keyword(node, "generator") is None


def is_ladder(node: ast.AST) -> bool:
    """Whether a comparison asks a section for its kind, instead of calling its method."""
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.In):
        return False
    asked = node.left.attr if isinstance(node.left, ast.Attribute) else getattr(node.left, "id", None)
    return asked == "kind"


def takes_anything(node: ast.AST) -> bool:
    """Whether a function accepts any keyword; "_" before its name says that another library's interface demands it."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or node.args.kwarg is None:
        return False
    return not node.args.kwarg.arg.startswith("_")


def shapes_an_alias(node: ast.AST) -> bool:
    """Whether a shape is said of numpy's `NDArray[...]`: no class from numpy 2.5 on, so that the import would fail."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) != 2:
        return False
    array, shape = node.slice.elts
    return isinstance(shape, ast.Constant) and isinstance(shape.value, str) and "NDArray" in ast.unparse(array)


def listed(found: list[str]) -> str:
    return "\n" + "\n".join(found)  # all of them: pytest would show the first


def places(root: Path, product: tuple[Path, ...], rule: Rule) -> list[str]:
    return [
        f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
        for path in product
        for node in ast.walk(ast.parse(path.read_text()))
        if rule(node)
    ]


def test_nothing_reaches_through_a_closed_door(root: Path, product: tuple[Path, ...]) -> None:
    found = [line for p in product for line in forbidden(p.read_text(), str(p.relative_to(root)))]
    assert not found, listed(found)


@pytest.mark.parametrize(
    "rule",
    [swallows_everything, is_unsafe_call, draws_from_the_global_generator, is_ladder, takes_anything, shapes_an_alias],
    ids=lambda rule: rule.__name__,
)
def test_no_code(root: Path, product: tuple[Path, ...], rule: Rule) -> None:
    found = places(root, product, rule)
    if rule is takes_anything:
        found = [place for place in found if place.startswith("components/")]
    assert not found, listed(found)


def test_yaml_is_read_by_a_safe_loader(root: Path, product: tuple[Path, ...]) -> None:
    found = []
    for path in product:
        tree = ast.parse(path.read_text())
        safe = {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and "Safe" in ast.unparse(n)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"yaml.load", "yaml.load_all"}:
                loader = ast.unparse(keyword(node, "Loader") or node.args[-1])
                if "Safe" not in loader and loader not in safe:
                    found.append(f"{path.relative_to(root)}:{node.lineno}")
    assert not found, listed(found)


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.random.normal(0, 1)",
        "import numpy as np\nnp.random.default_rng(0)",
        "from numpy.random import rand",
        "import random\nrandom.shuffle([])",
        "import torch\ntorch.manual_seed(0)",
        "import torch\ntorch.load('x', weights_only=True)",
        "from torch import load",
        "import torch.distributed as dist",
        "from torch import distributed",
        "import torch\ntorch.distributed.barrier()",
        "print('x')",
        "read = eval",
    ],
)
def test_door_check_sees(text: str) -> None:
    assert forbidden(text, "components/data/shards.py")


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\ndef draw(rng: np.random.Generator): rng.normal(0, 1)",
        "import torch\nmodel = torch.nn.ReLU()\nmodel.eval()",
        "import components.evaluation.random as r",
        "class A:\n    def print(self): self.print()",
    ],
)
def test_door_check_lets_pass(text: str) -> None:
    assert forbidden(text, "components/data/shards.py") == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("try: pass\nexcept Exception: pass", swallows_everything),
        ("try: pass\nexcept (OSError, BaseException): pass", swallows_everything),
        ("try: pass\nexcept: pass", swallows_everything),
        ("run('ls', shell=True)", is_unsafe_call),
        ("np.load('x', allow_pickle=flag)", is_unsafe_call),
        ("tar.extractall()", is_unsafe_call),
        ("torch.load('x')", is_unsafe_call),
        ("torch.load('x', weights_only=False)", is_unsafe_call),
        ("torch.randn(3)", draws_from_the_global_generator),
        ("section.kind == 'gan'", is_ladder),
        ("def f(**kwargs): pass", takes_anything),
        ("Mask = Bool[NDArray[np.bool_], 'height width']", shapes_an_alias),
    ],
)
def test_rule_sees(text: str, rule: Rule) -> None:
    assert any(rule(node) for node in ast.walk(ast.parse(text)))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("try: pass\nexcept Exception:\n    close()\n    raise", swallows_everything),
        ("try: pass\nexcept OSError: pass", swallows_everything),
        ("torch.load('x', weights_only=True)", is_unsafe_call),
        ("torch.randn(3, generator=g)", draws_from_the_global_generator),
        ("Mask = Bool[np.ndarray, 'height width']", shapes_an_alias),
        ("pictures: dict[str, NDArray[np.uint8]]", shapes_an_alias),
    ],
)
def test_rule_lets_pass(text: str, rule: Rule) -> None:
    assert not any(rule(node) for node in ast.walk(ast.parse(text)))
