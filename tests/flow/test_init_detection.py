"""From a repository on disk to a bywire.yaml that parses: what `bywire init` sees."""

import json
import subprocess

import pytest

from bywire.adapters import yaml_file
from bywire.adapters.repository_scan import scan
from bywire.config import service_intent
from bywire.config.draft import render
from bywire.model.errors import ConfigError
from bywire.wiring.initialising import initialise

ASSETS = {"version": 1, "name": "assistant", "assets": [{"name": "p", "kind": "prompt", "path": "assets/p.txt"}]}


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "storefront"
    root.mkdir()
    git(root, "init", "-q", "-b", "trunk")
    git(root, "config", "user.name", "Dana")
    git(root, "config", "user.email", "dana@example.com")
    return root


def git(root, *arguments):
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


def write(root, files):
    for name, text in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def draft(root):
    text = render(scan(root))
    return text, yaml_file.parse(text.encode(), "bywire.yaml", service_intent.parse)


def test_a_python_service_with_everything(repository):
    write(
        repository,
        {
            "pyproject.toml": "[project.optional-dependencies]\ntest = ['pytest-cov']\n[tool.ruff]\n",
            "storefront/__main__.py": "ROUTES = {'/healthz': None}\n",
            "Dockerfile": 'FROM python\nEXPOSE 8080\nCMD ["python", "-m", "storefront"]\n',
            "compose.yaml": "services:\n  web: {build: ., depends_on: {card-network: {condition: ok}}}\n",
            "deploy/app.yaml": "apiVersion: apps/v1\nkind: Deployment\n",
            ".github/CODEOWNERS": "# all\n*  @org/payments # owners\n",
            "assets/assistant.json": json.dumps(ASSETS),
            "assets/other.json": '{"assets": 5}',
        },
    )
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "first")
    text, intent = draft(repository / "storefront")
    assert intent.service == "storefront"
    assert intent.owners == ("@org/payments",)
    assert intent.dependencies == ("card-network",)
    assert intent.test.junit == "reports/junit.xml" and intent.test.coverage == "reports/coverage.json"
    assert intent.lint.run == ("python", "-m", "ruff", "check", ".")
    assert intent.start.run == ("python", "-m", "storefront")
    assert intent.start.ready == "/healthz"
    assert intent.manifests == "deploy/"
    assert intent.assets == ("assets/assistant.json",)
    assert "it listens on 8080" in text
    assert scan(repository).base_branch == "trunk"


def test_a_node_service(repository):
    write(
        repository,
        {
            "package.json": json.dumps(
                {"scripts": {"test": "jest", "start": "node .", "build": "tsc", "lint": "eslint ."}}
            ),
            "yarn.lock": "",
            "server.js": "app.get('/health', ok)",
        },
    )
    _, intent = draft(repository)
    assert intent.build.run == ("yarn", "run", "build")
    assert intent.start.run == ("yarn", "start")
    assert intent.start.ready == "/health"
    assert intent.owners == ("Dana",)


def test_an_empty_repository_still_gives_a_draft_that_says_what_is_missing(repository):
    text, intent = draft(repository)
    assert intent.test is None and intent.start is None
    assert text.count("not found:") >= 6
    assert "git config user.name" in text


def test_a_compose_file_that_does_not_parse_is_noted_and_not_fatal(repository):
    write(repository, {"docker-compose.yml": "services:\n  a: {build: .}\n  a: {image: x}\n"})
    text, intent = draft(repository)
    assert intent.dependencies == ()
    assert "# Note: the compose file was not used: docker-compose.yml:3:3: the key 'a' appears twice" in text


def test_links_and_named_pipes_and_generated_directories_are_not_read(repository, tmp_path):
    (tmp_path / "outside.toml").write_text("[tool.ruff]")
    (repository / "pyproject.toml").symlink_to(tmp_path / "outside.toml")
    (repository / "node_modules" / "x").mkdir(parents=True)
    (repository / "node_modules" / "x" / "CODEOWNERS").write_text("* @evil")
    assert scan(repository).languages == ()


def test_text_from_the_repository_cannot_break_out_of_its_line(repository):
    write(repository, {"Procfile": 'web: run "a: b" #x\n', "CODEOWNERS": "* @a\u2028criticality:internal\n"})
    write(repository, {"Dockerfile": 'CMD ["a: b", "# c", "yes", "\\u2028d"]\n'})
    _, intent = draft(repository)
    assert intent.start is None or intent.start.run == ("a: b", "# c", "yes")


def test_outside_of_git_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError) as caught:
        scan(tmp_path)
    assert caught.value.code == "not_a_repository"


def test_a_link_in_the_clone_does_not_choose_what_init_writes(repository, tmp_path):
    (repository / "bywire.yaml").symlink_to(tmp_path / "victim")
    with pytest.raises(ConfigError) as caught:
        initialise(repository, tmp_path / "operator", approver="oncall")
    assert caught.value.code == "intent_unsafe"
    assert not (tmp_path / "victim").exists()
