"""The house's rules that ruff and import-linter cannot hold."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from assets_defs.jobs import PRELOADED

CHECKOUT = Path(__file__).parent.parent
PACKAGES = ("assets_defs", "commands", "decoupage", "evaluation", "pipelines", "profiles", "training")
HEAVY = ("torch", "diffusers", "transformers", "peft", "accelerate", "ray", "fiftyone")
FACTORY = ("dagster", "pandas", "pyarrow", "webdataset")
GROUND = ("faults", "fingerprint", "guard", "images", "maps", "randomness", "requirements", "settings", "text_files")
GROUND += ("weights",)
OF_TENSORS = {f"decoupage.{name}" for name in ("images.blending", "images.forms")}
"""Modules of the ground whose work is on tensors."""
UNIMPORTED = {
    "lpips": "tests compare our LPIPS with it",
    "psycopg2-binary": "SQLAlchemy speaks to Postgres by it",
    "scikit-learn": "the demo takes photographs out of it",
    "tensorboard": "torch.utils.tensorboard writes by it",
    "torch-fidelity": "tests compare our FID and KID with it",
    "torchvision": "transformers' processors of Qwen-Image need it",
}
"""Dependencies that no product file imports, and why they are there."""
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


def loaded(modules: Iterable[str], libraries: tuple[str, ...]) -> list[str]:
    """Which of the libraries a new process has loaded after importing the modules."""
    program = f"import sys, {', '.join(modules)}; print(*[name for name in {libraries} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("module", ["assets_defs.definitions", PRELOADED])
def test_definitions_load_without_heavy_libraries(module):
    """The second one can be imported at all: a server of forks would say nothing if it could not, and steps be slow."""
    assert loaded([module], HEAVY) == []


@pytest.mark.parametrize("module", ["commands.main", "decoupage", "decoupage.commands"])
def test_the_command_and_the_model_part_start_without_heavy_libraries(module):
    assert loaded([module], (*HEAVY, *FACTORY)) == []


def test_the_ground_needs_no_torch_but_where_its_work_is_on_tensors():
    files = [path.with_suffix("") for path in product_files() if path.relative_to(CHECKOUT).parts[0] == "decoupage"]
    names = {".".join(path.relative_to(CHECKOUT).parts).removesuffix(".__init__") for path in files}
    ground = {name for name in names if name.split(".")[1:2] and name.split(".")[1] in GROUND}
    assert ground >= OF_TENSORS | {"decoupage.faults", "decoupage.images.codecs", "decoupage.weights"}
    assert loaded(sorted(ground - OF_TENSORS), (*HEAVY, *FACTORY)) == []


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


PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
EXTRAS = ("serve", "factory", "gpu", "ray", "s3", "postgres", "k8s", "inspect")
"""What a user installs; `dev` holds tools and what only tests import."""


def requirements(*extras: str) -> list[str]:
    """Names of the distributions that the project, and these extras of it, ask for."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    names = [re.split(r"[^\w.-]", requirement)[0] for requirements in lists for requirement in requirements]
    return [name for name in names if name != PROJECT["name"]]


def distributions(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Libraries that files import, and the distributions that bring them; for what is not installed the same name."""
    owners = importlib.metadata.packages_distributions()
    names = {name for path in paths for name in imported(path)} - {*PACKAGES, *sys.stdlib_module_names}
    return {name: {owner.lower().replace("_", "-") for owner in owners.get(name, [name])} for name in names}


def test_every_imported_library_is_a_declared_dependency():
    found = distributions(product_files())
    assert {name for name, owners in found.items() if not owners & set(requirements(*EXTRAS))} == set()


def test_the_model_part_imports_what_is_installed_without_extras():
    files = {*(CHECKOUT / "decoupage").rglob("*.py"), CHECKOUT / "commands" / "main.py"}
    served = set((CHECKOUT / "decoupage" / "serve").rglob("*.py"))
    found = distributions(files - served)
    # botocore's faults are only told apart where an adapter lies in S3, and the client is installed; `--quantise` looks
    # whether torchao is there before it imports it.
    assert {name for name, owners in found.items() if not owners & set(requirements())} == {"botocore", "torchao"}
    found = distributions(served)
    assert {name for name, owners in found.items() if not owners & set(requirements("serve"))} == set()


def test_every_dependency_is_imported_or_has_a_reason():
    imported_ones = set().union(*distributions(product_files()).values())
    assert set(requirements(*EXTRAS)) - imported_ones == set(UNIMPORTED)


def test_no_dependency_is_declared_twice():
    names = requirements(*EXTRAS, "dev")
    assert len(names) == len(set(names))


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
    modules = {module for module in modules if module.split(".")[0] not in ("decoupage", "profiles")}
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


def test_modules_and_rooms_import_each_other_one_way():
    names = {
        ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in product_files()
    }
    modules = {name: imported_modules(path, set(names)) - {name} for name, path in names.items()}
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
