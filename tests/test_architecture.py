"""The house's rules that ruff and import-linter cannot hold."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PACKAGES = ("assets_defs", "commands", "decoupage", "evaluation", "pipelines", "profiles", "training")
HEAVY = ("torch", "diffusers", "transformers", "peft", "accelerate", "ray", "fiftyone")
# Written so that this file does not match itself.
HOSTS = re.compile(
    r"(?:pypi|pythonhosted|npmjs|ghcr|quay|anaconda|conda)\.(?:org|com|io)|deb\.debian|download\.pytorch"
)


def product_files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((CHECKOUT / package).rglob("*.py"))]


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [CHECKOUT / name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file()]


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_definitions_load_without_heavy_libraries():
    if not (CHECKOUT / "assets_defs" / "definitions.py").exists():
        pytest.skip("no definitions yet")
    program = f"import sys, assets_defs.definitions; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_command_starts_without_heavy_libraries():
    program = f"import sys, commands.main; print([m for m in (*{HEAVY}, 'dagster') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_product_files_are_small():
    lengths = {str(path.relative_to(CHECKOUT)): len(path.read_text().splitlines()) for path in product_files()}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, without its docstring and the decorated functions defined inside it."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    lines = set(range(body[0].lineno, function.end_lineno + 1))
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node is not function:
            lines -= set(range(min(part.lineno for part in (node, *node.decorator_list)), node.end_lineno + 1))
    return len(lines)


def test_product_functions_are_short():
    long = [
        f"{path.relative_to(CHECKOUT)}:{node.lineno} {node.name}"
        for path in product_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and own_lines(node) > 50
    ]
    assert long == []


def test_no_module_is_named_for_nothing():
    names = {path.stem for path in product_files()}
    assert names & {"utils", "util", "helpers", "misc", "common"} == set()


def test_no_file_names_a_registry_host():
    found = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if path != Path(__file__):
            found += [f"{path.relative_to(CHECKOUT)}: {match[0]}" for match in HOSTS.finditer(text)]
    assert found == []


def test_constraints_are_pins_and_nothing_else():
    for line in (CHECKOUT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; .+)?", line), line


def test_every_imported_library_is_a_declared_dependency():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    required = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    declared = {re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-") for requirement in required}
    owners = importlib.metadata.packages_distributions()
    ours = set(PACKAGES)
    names = {name for path in product_files() for name in imported(path)} - ours - sys.stdlib_module_names
    undeclared = {
        name for name in names if not {o.lower().replace("_", "-") for o in owners.get(name, [name])} & declared
    }
    assert undeclared == set()


@pytest.mark.parametrize("package", ["commands", "profiles"])
def test_what_stands_above_the_packages_imports_no_heavy_library(package):
    allowed = {"commands/doctor.py": {"torch"}, "commands/prune.py": {"dagster"}, "commands/ablations.py": {"dagster"}}
    for path in (CHECKOUT / package).rglob("*.py"):
        name = str(path.relative_to(CHECKOUT))
        assert imported(path) & {*HEAVY, "dagster"} <= allowed.get(name, set()), name


def test_the_root_of_the_checkout_holds_no_module():
    assert list(CHECKOUT.glob("*.py")) == []


def test_profiles_know_only_the_models_of_their_sections():
    modules = {
        node.module
        for node in ast.walk(ast.parse((CHECKOUT / "profiles/profile.py").read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES
    }
    assert modules
    assert all(module.endswith((".config", ".profile", ".automation")) for module in modules)


def imported_modules(path: Path, known: set[str]) -> set[str]:
    """Modules of this checkout that a file imports by name, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from pipelines import checks` imports a module, `from pipelines.checks import no_leak` a name of one.
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found & known


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Groups of names of which each imports, through others, every other one."""
    reached = {name: set(names) for name, names in imports.items()}
    for middle in imports:
        for name in imports:
            if middle in reached[name]:
                reached[name] |= reached[middle]
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in imports}
    return sorted(sorted(group) for group in groups if len(group) > 1)


CIRCULAR = {("evaluation.methods.record", "evaluation.run")}
"""Imports that close a circle and are to go."""


def test_modules_and_rooms_import_each_other_one_way():
    names = {
        ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in product_files()
    }
    modules = {
        name: {other for other in imported_modules(path, set(names)) - {name} if (name, other) not in CIRCULAR}
        for name, path in names.items()
    }
    assert circles(modules) == []

    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    rooms: dict[str, set[str]] = {room(name): set() for name in names}
    for name, others in modules.items():
        rooms[room(name)] |= {room(other) for other in others} - {room(name)}
    assert circles(rooms) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]


def test_benchmarks_import_no_tests():
    for path in sorted((CHECKOUT / "benchmarks").glob("*.py")):
        assert "tests" not in imported(path), path.name
