"""Languages and commands from the files that only they have."""

import json

import pytest

from bywire.config.detect_commands import commands, languages
from bywire.config.detect_start import Start
from bywire.config.findings import Sources


def at(files):
    return Sources(tuple(files), files)


@pytest.mark.parametrize(
    ("files", "language", "test"),
    [
        (
            {"pyproject.toml": "[tool.pytest.ini_options]"},
            "python",
            "python -m coverage run -m pytest -q --junitxml=reports/junit.xml",
        ),
        ({"setup.py": "", "tests/test_a.py": ""}, "python", "python -m unittest discover"),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}})}, "node", "npm test"),
        ({"package.json": '{"scripts": {"test": "jest"}}', "pnpm-lock.yaml": ""}, "node", "pnpm test"),
        ({"go.mod": "module x"}, "go", "go test ./..."),
        ({"Cargo.toml": ""}, "rust", "cargo test"),
        ({"pom.xml": "", "mvnw": ""}, "java", "./mvnw -B -q test"),
        ({"build.gradle.kts": ""}, "java", "gradle test"),
        ({"Gemfile": "", ".rspec": ""}, "ruby", "bundle exec rspec"),
        ({"composer.json": "", "phpunit.xml": ""}, "php", "vendor/bin/phpunit --log-junit reports/junit.xml"),
        ({"src/App.csproj": ""}, "dotnet", "dotnet test --nologo"),
    ],
)
def test_each_language_is_told_by_its_own_files(files, language, test):
    found = at(files)
    assert languages(found) == (language,)
    assert " ".join(commands(found)["test"].run) == test


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
        {"package.json": "not json"},
        {"package.json": '["scripts"]'},
        {"pyproject.toml": "not = = toml"},
        {},
    ],
)
def test_what_cannot_be_known_is_not_guessed(files):
    assert "test" not in commands(at(files))


def test_make_targets_fill_what_the_language_leaves_open():
    found = commands(at({"Makefile": "CC := gcc\ntest: build\n\tx\nlint:\n", "go.mod": ""}))
    assert found["test"].run == ("go", "test", "./...")
    assert commands(at({"Makefile": "test: build\n\tx\nlint:\n"}))["lint"].run == ("make", "lint")
    assert "build" not in commands(at({"Makefile": "build := 1\n"}))


@pytest.mark.parametrize(
    ("files", "run", "source"),
    [
        (
            {"Procfile": "worker: x\nweb: gunicorn app:web --workers 2\n"},
            ("gunicorn", "app:web", "--workers", "2"),
            "Procfile",
        ),
        (
            {"Dockerfile": 'FROM a\nCMD ["old"]\nFROM b\nENTRYPOINT ["python"]\nCMD ["-m", "shop"]'},
            ("python", "-m", "shop"),
            "Dockerfile",
        ),
        ({"Dockerfile": "FROM a\nCMD python server.py"}, ("python", "server.py"), "Dockerfile"),
        ({"package.json": '{"scripts": {"start": "node ."}}'}, ("npm", "start"), "package.json"),
        ({"shop/__main__.py": ""}, ("python", "-m", "shop"), "shop/__main__.py"),
        ({"src/shop/__main__.py": ""}, ("python", "-m", "shop"), "src/shop/__main__.py"),
        ({"go.mod": "", "main.go": ""}, ("go", "run", "."), "main.go"),
    ],
)
def test_start_commands(files, run, source):
    start = Start(at(files), None)
    assert (start.command.run, start.command.source) == (run, source)


@pytest.mark.parametrize(
    "line", ["exec gunicorn --bind :$PORT app", "a && b", "a | b", "FOO=1 run", "sh -c 'x; y'", "a 'b"]
)
def test_shell_lines_are_noted_and_never_taken(line):
    start = Start(at({"Procfile": f"web: {line}"}), None)
    assert start.command is None
    assert "argument list" in start.notes[0]


def test_health_prefers_the_probe_that_production_uses():
    probe = "livenessProbe:\n  httpGet:\n    port: 80\n    path: /live\n"
    assert Start(at({"deploy/a.yaml": probe, "a.py": "'/healthz'"}), None).health.value == "/live"
    assert Start(at({"Dockerfile": "HEALTHCHECK CMD curl -f http://localhost:80/up\n"}), None).health.value == "/up"
    assert Start(at({"a.py": 'if path == "/health":'}), None).health.value == "/health"
    assert Start(at({"a.py": "nothing"}), None).health is None


def test_compose_command_and_exposed_port():
    start = Start(at({"Dockerfile": "EXPOSE 8080/tcp\n"}), {"command": ["node", "server.js"]})
    assert start.command.run == ("node", "server.js")
    assert start.port.value == "8080"
