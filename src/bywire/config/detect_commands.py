"""Which languages a repository is written in, and how such repositories are built, linted and tested. Pure."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from bywire.config.findings import FoundCommand, Sources

REPORT_JUNIT = "reports/junit.xml"
REPORT_COVERAGE = "reports/coverage.json"

Commands = dict[str, FoundCommand]


def languages(sources: Sources) -> tuple[str, ...]:
    """Languages by the files that only they have, in a fixed order."""
    return tuple(name for name, (marker, _) in _LANGUAGES.items() if marker(sources))


def commands(sources: Sources) -> Commands:
    """build, lint and test, each from the first language that has it, else from a Makefile target of that name."""
    found: Commands = {}
    for marker, detect in _LANGUAGES.values():
        if marker(sources):
            for name, command in detect(sources).items():
                found.setdefault(name, command)
    for name, command in _make(sources).items():
        found.setdefault(name, command)
    return found


def package_scripts(sources: Sources) -> Mapping[str, Any]:
    """`scripts` of package.json, empty when there is none or it is not an object."""
    try:
        package = json.loads(sources.text("package.json") or "{}")
    except (ValueError, RecursionError):
        return {}
    scripts = package.get("scripts") if isinstance(package, dict) else None
    return scripts if isinstance(scripts, dict) else {}


def package_runner(sources: Sources) -> str:
    """The node package manager whose lock file is there."""
    if sources.has("pnpm-lock.yaml"):
        return "pnpm"
    return "yarn" if sources.has("yarn.lock") else "npm"


def _root(*names: str) -> Callable[[Sources], str]:
    return lambda sources: sources.has(*names)


def _suffix(*suffixes: str) -> Callable[[Sources], str]:
    return lambda sources: next((path for path in sources.paths if path.endswith(suffixes) and path.count("/") < 3), "")


def _python(sources: Sources) -> Commands:
    project = _toml(sources.text("pyproject.toml"))
    requirements = "\n".join(
        text for path, text in sources.texts.items() if re.search(r"requirements[^/]*\.txt$", path)
    )
    words = f"{sources.text('pyproject.toml')}\n{sources.text('setup.cfg')}\n{sources.text('tox.ini')}\n{requirements}"
    source = sources.has("pyproject.toml", "setup.cfg", "setup.py", "requirements.txt") or "*.py"
    tools = project.get("tool", {}) if isinstance(project.get("tool"), dict) else {}
    found = {"build": FoundCommand(("python", "-m", "compileall", "-q", "."), source)}
    pytest = ("python", "-m", "pytest", "-q", f"--junitxml={REPORT_JUNIT}")
    if "pytest-cov" in words:
        run = (*pytest, "--cov", f"--cov-report=json:{REPORT_COVERAGE}")
        found["test"] = FoundCommand(run, source, REPORT_JUNIT, REPORT_COVERAGE)
    elif "pytest" in words or sources.has("pytest.ini", "conftest.py", "tests/conftest.py"):
        # The gate asks for coverage of changed lines; the tester turns the run's data into the report declared here.
        covered = ("python", "-m", "coverage", "run", *pytest[1:])
        found["test"] = FoundCommand(covered, source, REPORT_JUNIT, REPORT_COVERAGE)
    elif any(re.search(r"(^|/)test_[^/]*\.py$", path) for path in sources.paths):
        found["test"] = FoundCommand(("python", "-m", "unittest", "discover"), "test_*.py")
    if "ruff" in tools or sources.has("ruff.toml", ".ruff.toml"):
        found["lint"] = FoundCommand(
            ("python", "-m", "ruff", "check", "."), sources.has("ruff.toml", ".ruff.toml") or source
        )
    elif sources.has(".flake8") or "[flake8]" in words:
        found["lint"] = FoundCommand(("python", "-m", "flake8"), sources.has(".flake8") or source)
    return found


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _node(sources: Sources) -> Commands:
    scripts = package_scripts(sources)
    runner = package_runner(sources)
    return {
        name: FoundCommand((runner, "run", name) if name != "test" else (runner, "test"), "package.json")
        for name in ("build", "lint", "test")
        if isinstance(scripts.get(name), str) and "no test specified" not in scripts[name]
    }


def _fixed(source: tuple[str, ...], **runs: str) -> Callable[[Sources], Commands]:
    """The same commands for every repository of a language."""

    def detect(sources: Sources) -> Commands:
        found = sources.has(*source) or source[0]
        return {name: FoundCommand(tuple(run.split(" ")), found) for name, run in runs.items()}

    return detect


def _java(sources: Sources) -> Commands:
    if sources.has("pom.xml"):
        runner = "./mvnw" if sources.has("mvnw") else "mvn"
        runs = {"build": (runner, "-B", "-q", "package", "-DskipTests"), "test": (runner, "-B", "-q", "test")}
        return {name: FoundCommand(run, "pom.xml") for name, run in runs.items()}
    runner = "./gradlew" if sources.has("gradlew") else "gradle"
    source = sources.has("build.gradle", "build.gradle.kts")
    runs = {"build": (runner, "assemble"), "test": (runner, "test")}
    return {name: FoundCommand(run, source) for name, run in runs.items()}


def _ruby(sources: Sources) -> Commands:
    found = {}
    if sources.has(".rspec", "spec/spec_helper.rb"):
        found["test"] = FoundCommand(("bundle", "exec", "rspec"), sources.has(".rspec", "spec/spec_helper.rb"))
    elif sources.has("Rakefile"):
        found["test"] = FoundCommand(("bundle", "exec", "rake", "test"), "Rakefile")
    if sources.has(".rubocop.yml"):
        found["lint"] = FoundCommand(("bundle", "exec", "rubocop"), ".rubocop.yml")
    return found


def _php(sources: Sources) -> Commands:
    config = sources.has("phpunit.xml", "phpunit.xml.dist")
    return (
        {"test": FoundCommand(("vendor/bin/phpunit", "--log-junit", REPORT_JUNIT), config, REPORT_JUNIT)}
        if config
        else {}
    )


def _make(sources: Sources) -> Commands:
    source = sources.has("Makefile", "makefile", "GNUmakefile")
    targets = set(re.findall(r"^([a-z][a-z-]*)\s*:(?!=)", sources.text(source), re.MULTILINE))
    return {name: FoundCommand(("make", name), source) for name in ("build", "lint", "test") if name in targets}


_DOTNET = {"build": "dotnet build --nologo", "test": "dotnet test --nologo"}
_LANGUAGES: dict[str, tuple[Callable[[Sources], str], Callable[[Sources], Commands]]] = {
    "python": (_root("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt"), _python),
    "node": (_root("package.json"), _node),
    "go": (
        _root("go.mod"),
        _fixed(("go.mod",), build="go build ./...", lint="go vet ./...", test="go test ./..."),
    ),
    "rust": (
        _root("Cargo.toml"),
        _fixed(("Cargo.toml",), build="cargo build --release", lint="cargo clippy", test="cargo test"),
    ),
    "java": (_root("pom.xml", "build.gradle", "build.gradle.kts"), _java),
    "ruby": (_root("Gemfile"), _ruby),
    "php": (_root("composer.json"), _php),
    "dotnet": (_suffix(".sln", ".csproj", ".fsproj"), _fixed(("*.sln or *.csproj",), **_DOTNET)),
}
