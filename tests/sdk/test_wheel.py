"""The wheel: it imports nothing but Python and itself, holds no server, and its code has the house's shape."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SDK = Path(__file__).parents[2] / "sdk"
SOURCE = SDK / "src"
FILES = sorted(SOURCE.rglob("*.py"))
FILE_LINES_MAX, FUNCTION_LINES_MAX = 400, 60
OPTIONAL = {
    "pydantic_ai.py": {"pydantic_ai", "pydantic_core"},
    "langchain.py": {"langchain", "langchain_core", "langgraph"},
}
OPTIONAL["plugin.py"] = {"pytest"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place)]
    done = subprocess.run(command, cwd=SDK, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = place.glob("*.whl")
    return found


def test_it_works_alone(wheel, tmp_path):
    """Unpacked by itself, without site-packages: a governed function against the kit's gateway."""
    with zipfile.ZipFile(wheel) as packed:
        assert not [name for name in packed.namelist() if not name.startswith(("bywire_sdk/", "bywire_sdk-"))]
        assert "bywire_sdk/py.typed" in packed.namelist()
        packed.extractall(tmp_path)
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from bywire_sdk import AsyncClient, Client, governed
from bywire_sdk.testing import FakeGateway, Served
with Served(FakeGateway()) as served, Client(served.url, token="test-token") as client:
    served.gateway.allow("deploy")
    assert governed(tool="deploy", client=client)(lambda: "done")() == "done"
    assert served.gateway.outcomes() == ["committed"]
foreign = {{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)
foreign -= {{"bywire_sdk", "__main__"}}
assert not foreign, foreign
print("alone")
"""
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "alone\n", done.stderr


def test_no_dependency_is_declared(wheel):
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [name for name in packed.namelist() if name.endswith("/METADATA")]
        required = [line for line in packed.read(name).decode().splitlines() if line.startswith("Requires-Dist")]
    assert required
    assert all("; extra ==" in line for line in required), required


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_and_shape(path):
    tree = ast.parse(path.read_text())
    allowed = set(sys.stdlib_module_names) | {"bywire_sdk"} | OPTIONAL.get(path.name, set())
    imported = {name.partition(".")[0] for node in ast.walk(tree) for name in _named(node)}
    assert imported <= allowed
    assert ast.get_docstring(tree)
    assert len(path.read_text().splitlines()) <= FILE_LINES_MAX
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, node.name


def _named(node):
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""


def test_the_version_is_one(wheel):
    from bywire_sdk.version import VERSION

    assert wheel.name == f"bywire_sdk-{VERSION}-py3-none-any.whl"
