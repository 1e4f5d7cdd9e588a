"""Which module may import which: the layers of docs/design.md, read from the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import tinygrad_edu as tg

ROOT = Path(tg.__file__).parents[1]

# From the ground up. A module imports from lower layers and, without cycles, from its own. A name
# stands for the module and all that is in it. A new module is entered here, as low as it can be.
LAYERS = [
    {"errors", "domain", "hints", "mode", "sparse"},
    {"op", "graph"},
    {"backward", "ops", "quotient"},
    {"tensor"},
    {"transforms", "subject", "diagnosis", "check", "tracer", "trace", "formula"},
    {"nn", "optim", "data", "strategies", "testing", "derivation"},
    {""},  # tinygrad_edu/__init__.py
    {"cli", "demo", "commands", "pictures", "user_file", "coverage", "reference"},
]
# These may import anything where it is used.
ON_DEMAND = {"", "cli", "commands", "demo", "pictures", "user_file"}
EXTRAS = {"matplotlib", "rich", "scipy", "dask", "cupy", "hypothesis", "IPython", "pooch"}
EXTRAS |= {"safetensors"}
# What a module may need as soon as it is imported, besides the standard library and NumPy.
NEEDS = {name: {"hypothesis"} for name in ("strategies", "testing", "derivation")}


class Import(NamedTuple):
    module: str  # the importing one, "ops.reduce"
    line: int
    target: str  # "tinygrad_edu.op", "numpy", ...
    name: str | None  # in `from target import name`
    hidden: bool  # inside a function

    def __str__(self) -> str:
        what = self.target + (f" ({self.name})" if self.name else "")
        return f"{self.module or '__init__'}, line {self.line}, imports {what}"


def modules(package: str) -> dict[str, Path]:
    """Dotted name inside the package -> file."""
    folder = ROOT / package
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(package: str, module: str, source: str, known: dict[str, Path]) -> Iterator[Import]:
    """All imports of a module but those under `if TYPE_CHECKING:`, which never run."""

    def resolve(base: str, name: str) -> tuple[str, str | None]:
        # `from tinygrad_edu import op` names a module if there is one, else something public.
        if base.split(".")[0] == package:
            inside = f"{base}.{name}".partition(".")[2]
            if inside in known:
                return f"{package}.{inside}", None
        return base, name

    def visit(node: ast.AST, hidden: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, child.lineno, alias.name, None, hidden)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    here = [package, *filter(None, module.split("."))]
                    is_package = known[module].name == "__init__.py"
                    up = child.level - 1 if is_package else child.level
                    base = ".".join([*here[: len(here) - up], *filter(None, [child.module])])
                for alias in child.names:
                    yield Import(module, child.lineno, *resolve(base, alias.name), hidden)
            elif isinstance(child, ast.Call) and ast.unparse(child.func) in {
                "__import__",
                "import_module",
                "importlib.import_module",
            }:
                yield Import(module, child.lineno, "import_module", None, True)
                yield from visit(child, hidden)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from visit(child, hidden or function)

    yield from visit(ast.parse(source), hidden=False)


def imports(package: str) -> list[Import]:
    known = modules(package)
    return [
        found
        for module, path in known.items()
        for found in imports_of(package, module, path.read_text(encoding="utf-8"), known)
    ]


def layer(module: str) -> int:
    """The layer of a module, by its name or by that of the package that it is in."""
    top = module.split(".")[0]
    return next(i for i, names in enumerate(LAYERS) if top in names)


def inside(target: str, package: str) -> str | None:
    """The dotted name inside the package, None for what lies outside."""
    first, _, rest = target.partition(".")
    return rest if first == package else None


OURS = imports("tinygrad_edu")
VIZ = imports("viz")


def test_every_module_has_a_layer():
    named = set().union(*LAYERS)
    strangers = {module for module in modules("tinygrad_edu") if module.split(".")[0] not in named}
    assert not strangers, "enter these modules in LAYERS, as low as they can be"


def test_imports_run_downwards():
    upwards = [
        str(found)
        for found in OURS
        if (target := inside(found.target, "tinygrad_edu")) is not None
        if layer(target) > layer(found.module)
        if not (found.hidden and found.module in ON_DEMAND)
    ]
    assert not upwards


@pytest.mark.parametrize("package", ["tinygrad_edu", "viz"])
def test_imports_have_no_cycle(package):
    edges: dict[str, set[str]] = {module: set() for module in modules(package)}
    for found in imports(package):
        target = inside(found.target, package)
        if target is not None and target != found.module:
            if found.hidden and found.module in ON_DEMAND:
                continue
            edges[found.module].add(target)
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of imports: {' -> '.join(error.args[1])}")


def test_functions_hide_no_imports():
    hidden = [
        str(found)
        for found in [f for f in OURS if f.module not in ON_DEMAND] + VIZ
        if found.hidden
        if found.target.split(".")[0] not in EXTRAS
    ]
    assert not hidden, "import at the top of the module; only extras are imported where used"


def test_extras_are_imported_where_they_are_used():
    eager = [
        str(found)
        for found in OURS
        if not found.hidden
        if (first := found.target.split(".")[0]) not in sys.stdlib_module_names
        if first not in {"tinygrad_edu", "numpy", *NEEDS.get(found.module.split(".")[0], ())}
    ]
    assert not eager


def test_only_the_command_line_draws():
    drawing = [
        str(found)
        for found in OURS
        if found.target.split(".")[0] == "viz"
        if found.module not in {"demo", "pictures"} or not found.hidden
    ]
    assert not drawing


def test_ops_know_no_tensor():
    # Rules speak NumPy: what makes them readable for every kind of array.
    knowing = [
        str(found)
        for found in OURS
        if found.module.split(".")[0] == "ops"
        if found.target == "tinygrad_edu" or inside(found.target, "tinygrad_edu") == "tensor"
    ]
    assert not knowing


def test_viz_reads_public_names_and_the_snapshot():
    private = [
        str(found)
        for found in VIZ
        if (target := inside(found.target, "tinygrad_edu")) is not None
        if not (found.name in tg.__all__ or (target == "" and found.name is None))
        if not (target == "graph" and not (found.name or "").startswith("_"))
    ]
    assert not private


def test_viz_needs_numpy_and_graphviz_alone():
    strange = [
        str(found)
        for found in VIZ
        if not found.hidden
        if (first := found.target.split(".")[0]) not in sys.stdlib_module_names
        if first not in {"tinygrad_edu", "viz", "numpy", "graphviz"}
    ]
    assert not strange


def test_viz_takes_public_names_from_the_package():
    # `import tinygrad_edu as tg` would let `tg.anything` past the test of imports.
    private = []
    for module, path in modules("viz").items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        aliases = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
            if alias.name == "tinygrad_edu"
        }
        private += [
            f"{module}, line {node.lineno}: {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            if isinstance(node.value, ast.Name) and node.value.id in aliases
            if node.attr not in tg.__all__
        ]
    assert not private


def test_importing_the_package_brings_numpy_alone():
    # In a process of its own: this one has imported everything already.
    program = (
        "import sys, tinygrad_edu, tinygrad_edu.cli;"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(answer.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {*EXTRAS, "viz", "graphviz", "torch", "pytest"}


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("op", "import tinygrad_edu.tensor", ("tinygrad_edu.tensor", None, False)),
        ("op", "from tinygrad_edu import tensor", ("tinygrad_edu.tensor", None, False)),
        ("op", "from tinygrad_edu import Tensor", ("tinygrad_edu", "Tensor", False)),
        ("op", "from .tensor import Tensor", ("tinygrad_edu.tensor", "Tensor", False)),
        ("op", "from . import tensor", ("tinygrad_edu.tensor", None, False)),
        ("data.digits", "from .. import tensor", ("tinygrad_edu.tensor", None, False)),
        ("data", "from .digits import x", ("tinygrad_edu.data.digits", "x", False)),
        ("data", "from ..op import x", ("tinygrad_edu.op", "x", False)),
        ("op", "def f():\n    import scipy", ("scipy", None, True)),
        ("op", "class A:\n    import scipy", ("scipy", None, False)),
        ("op", "f = lambda: __import__('viz')", ("import_module", None, True)),
        ("op", "import importlib\nimportlib.import_module('viz')", ("import_module", None, True)),
        ("op", "try:\n    import rich\nexcept ImportError: pass", ("rich", None, False)),
    ],
)
def test_imports_are_found(module, source, expected):
    known = {name: Path(f"{name}.py") for name in ("op", "tensor", "data.digits")}
    known["data"] = Path("data/__init__.py")
    *_, found = imports_of("tinygrad_edu", module, source, known)
    assert (found.target, found.name, found.hidden) == expected


def test_imports_for_types_do_not_count():
    source = "if TYPE_CHECKING:\n    from tinygrad_edu.tensor import Tensor"
    assert not list(imports_of("tinygrad_edu", "op", source, {}))
