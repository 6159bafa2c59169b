"""Coder, builder and producer over in-memory trees: what is stated is what is there."""

import msgspec
import pytest
from worker_doubles import CLASSES, HEAD, INTENT, PEOPLE, World, change, changed

from bywire.agents import builder, coder, producer
from bywire.agents.migrations import migrations_among
from bywire.config.asset_manifest import Asset, Producer
from bywire.evidence import provenance
from bywire.evidence.artifact import unpack
from bywire.evidence.sbom_completeness import facts_of
from bywire.model.change import Author
from bywire.model.errors import EvidenceError, WorkError
from bywire.model.intent import Command
from bywire.seal.digest import sha256_hex

ASSETS = (
    Asset("prompt", "prompt", "assets/p.txt"),
    Asset("adapter", "adapter", "assets/a.json", Producer(("train",), "assets/a.json", 7), ("prompt",)),
)
TREE = {
    "web/app.py": b"x = 1\n",
    "web/__pycache__/app.pyc": b"\0",
    "docs/x.md": b"",
    "deploy/web.yaml": b"manifest",
    "deploy/notes.txt": b"",
    "assets/list.json": b"assets",
    "assets/p.txt": b"prompt",
    "assets/a.json": b"adapter",
    "LICENSE": b"SPDX-License-Identifier: MIT\n",
    "requirements.txt": b"flask==3.0\n",
}
POD = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": "w"}]}}
FULL = msgspec.structs.replace(INTENT, build=Command(run=("build",)), manifests="deploy", assets=("assets/list.json",))


class Documents:
    def manifests(self, data, source):
        return [{"kind": "Deployment", "metadata": {"name": source}, "spec": {"template": POD}}]

    def assets(self, data, source):
        return ASSETS


def change_set(tree=None, intent=FULL, build=(0, {"web/made.txt": b"made"}, "built"), **kwargs):
    world = World(tree or TREE, scripts={("build",): build})
    return coder.change_set(
        change(changed("web/app.py", 1), changed("assets/p.txt", 1), changed(".github/workflows/ci.yml", 1), **kwargs),
        intent,
        people=PEOPLE,
        path_classes=CLASSES,
        repository=world.repository,
        worktrees=world.worktrees,
        sandbox=world,
        documents=Documents(),
    )


def test_a_change_set_states_build_artifact_manifests_and_assets():
    found = change_set().predicate
    assert [item["path"] for item in found["artifact_manifest"]] == ["web/app.py", "web/made.txt"]
    assert (found["build"]["exit_code"], found["lint"]) == (0, None)
    assert [(item["path"], item["kind"]) for item in found["manifests"]] == [("deploy/web.yaml", "Deployment")]
    assert {item["name"]: item["digest"] for item in found["assets"]}["adapter"] == sha256_hex(b"adapter")
    assert (found["asset_changes"], found["pipeline_changes"]) == (["assets/p.txt"], [".github/workflows/ci.yml"])


def test_a_failing_build_is_stated_and_its_log_only_shown():
    found = change_set(build=(3, {}, "secret-looking output"))
    assert found.predicate["build"]["exit_code"] == 3
    assert "secret-looking" in found.logs[0].text
    assert "secret-looking" not in str(found.predicate)


def test_authors_are_people_agents_or_unlisted():
    authors = (
        Author("Dana", "DANA@shop.example"),
        Author("agent:recourse", "recourse@bywire.invalid"),
        Author("agent:dana", "dana@shop.example"),
        Author("Eve", "eve@elsewhere.example"),
    )
    found = change_set(authors=authors).predicate
    assert found["authors"] == ["person:dana", "unlisted:eve@elsewhere.example"]
    assert found["patch_authors"] == ["agent:recourse"]


def test_missing_assets_are_named():
    tree = {path: data for path, data in TREE.items() if path != "assets/a.json"}
    with pytest.raises(EvidenceError, match=r"adapter: assets/a\.json") as caught:
        change_set(tree)
    assert caught.value.code == "asset_missing"


UP = b"def upgrade():\n    op.add_column('a', x)\n\ndef downgrade():\n"
DJANGO = b"class Migration(migrations.Migration):\n    operations = [migrations."
SQL = {
    "db/migrations/1.sql": b"-- migrate:up\ncreate table a(x int);\n-- migrate:down\ndrop table a;\n",
    "db/migrations/2.sql": b"alter table a drop column x;\n-- migrate:down\nalter table a add x int;\n",
    "db/migrations/3.sql": b"create table b(x int);\n",
    "db/4.up.sql": b"create table c(x int);",
    "db/4.down.sql": b"drop table c;",
    "alembic/versions/5.py": UP + b"    op.drop_column('a', 'x')\n",
    "alembic/versions/6.py": UP + b"    pass\n",
    "app/migrations/0007_x.py": DJANGO + b"AddField('a')]\n",
    "app/migrations/0008_x.py": DJANGO + b"RunPython(go)]\n",
    "app/migrations/__init__.py": b"",
    "app/models.py": b"",
}


@pytest.mark.parametrize(
    ("path", "reversible"),
    [
        ("db/migrations/1.sql", True),
        ("db/migrations/2.sql", False),
        ("db/migrations/3.sql", False),
        ("db/4.up.sql", True),
        ("alembic/versions/5.py", True),
        ("alembic/versions/6.py", False),
        ("app/migrations/0007_x.py", True),
        ("app/migrations/0008_x.py", False),
        ("app/migrations/0009_deleted.py", False),
    ],
)
def test_a_migration_is_reversible_only_when_it_says_how(path, reversible):
    (found,) = migrations_among([path], SQL.get)
    assert found.reversible is reversible, found.because


def test_what_is_no_migration_is_not_listed():
    assert migrations_among(["app/models.py", "app/migrations/__init__.py", "db/4.down.sql"], SQL.get) == []


def build(result=(0, {"web/made.txt": b"made"}, "")):
    world = World(TREE, scripts={("build",): result})
    request = builder.BuildRequest(commit=HEAD, invocation_id="run-1", now_ms=0, tool_version="0.1.0")
    return builder.build(request, FULL, worktrees=world.worktrees, sandbox=world)


def test_a_build_is_the_same_twice_and_attested_for_its_own_bytes():
    first, second = build(), build()
    assert (first.artifact, first.sbom) == (second.artifact, second.sbom)
    assert [item.path for item in unpack(first.artifact, first.digest)] == ["web/app.py", "web/made.txt"]
    judged = facts_of(first.sbom, first.digest)
    assert (judged.subject_matches, judged.components) == (True, 3)
    assert judged.missing == {
        "hash": 1,
        "licence": 1,
        "supplier": 1,
    }  # flask, of which the lock file says only a version
    assert provenance.parse(first.provenance).source_commit == HEAD


def test_a_failing_build_makes_no_artifact():
    with pytest.raises(WorkError) as caught:
        build((1, {}, ""))
    assert caught.value.code == "build_failed"


def reattest(name="adapter", result=(0, {"assets/a.json": b"adapter"}, "")):
    world = World(TREE, scripts={("train",): result})
    return producer.reattest(
        name,
        ASSETS,
        HEAD,
        service="web",
        worktrees=world.worktrees,
        sandbox=world,
        now_ms=0,
        invocation_id="run-2",
    )


def test_an_asset_made_again_is_attested_with_its_materials():
    found = reattest()
    assert (found.subject.name, found.subject.sha256) == ("asset:assets/a.json", sha256_hex(b"adapter"))
    assert provenance.parse(found.predicate).material("prompt") == sha256_hex(b"prompt")


@pytest.mark.parametrize(
    ("name", "result", "code"),
    [
        ("adapter", (0, {"assets/a.json": b"other"}, ""), "asset_differs"),
        ("adapter", (1, {}, ""), "producer_failed"),
        ("prompt", (0, {}, ""), "asset_unknown"),
        ("nobody", (0, {}, ""), "asset_unknown"),
    ],
)
def test_an_asset_that_cannot_be_made_again_is_not_attested(name, result, code):
    with pytest.raises((EvidenceError, WorkError)) as caught:
        reattest(name, result)
    assert caught.value.code == code
    assert caught.value.next_step
