"""The shape of the code is a test, so it cannot drift unnoticed.

Import direction lives in .importlinter; this file holds what an import graph cannot see: size, names, docstrings, and
modules that nobody imports.
"""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
NAMES_BANNED = {
    "base",
    "common",
    "core",
    "handler",
    "helper",
    "helpers",
    "manager",
    "misc",
    "processor",
    "shared",
    "types",
    "util",
    "utils",
    "v2",
}
# Started by name: the console script, separate processes, and the commands that the command line loads when asked.
ENTRY_POINTS = {
    "bywire.cli.main",
    "bywire.adapters.local_target",
    "bywire.adapters.sandbox_child",
    "bywire.adapters.traffic",
    # What an operator runs over their own Rego; `bywire policy test` is not built yet, the tests run it.
    "bywire.policy.regotest",
}
LAZY_PACKAGE = "bywire.cli."

FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def test_files_fit_in_one_sitting():
    assert not {name: lines for name, path in FILES.items() if (lines := _lines(path)) > FILE_LINES_MAX}


def test_functions_fit_on_one_screen():
    sizes = {
        f"{module}:{node.name}": node.end_lineno - node.lineno + 1
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: lines for name, lines in sizes.items() if lines > FUNCTION_LINES_MAX}


def test_names_say_what_is_inside():
    assert not {name for name in FILES if NAMES_BANNED & set(name.split("."))}


def test_every_module_states_its_purpose():
    assert not {name for name, tree in TREES.items() if not ast.get_docstring(tree)}


def test_no_module_is_dead():
    imported = {name for module in TREES for name in _imports(module)}
    leaves = {name for name, path in FILES.items() if path.name != "__init__.py"}
    assert not {name for name in leaves - imported - ENTRY_POINTS if not name.startswith(LAZY_PACKAGE)}


def test_every_lazy_command_exists():
    commands = FILES["bywire.cli.main"].read_text()
    named = {name for name in FILES if name.startswith(LAZY_PACKAGE) and f'"{name}"' in commands}
    assert {"bywire.cli.deliver", "bywire.cli.audit", "bywire.cli.doctor"} <= named


def _imports(module: str):
    package_of_module = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = package_of_module
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            source = f"{package}.{node.module or ''}".rstrip(".") if node.level else node.module
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())
