import pytest
from knowledge import files

from bywire.model.errors import PolicyError
from bywire.policy.bundle import (
    AGENTS_MAX,
    BUNDLE_BYTES_MAX,
    FILE_BYTES_MAX,
    FILES_MAX,
    bundle_digest,
    decides,
    parse_bundle,
)

MANIFEST = b'{"revision": 1, "input_version": 1, "entrypoints": ["data.bywire.a.decision"]}'
SMALL = {"manifest.json": MANIFEST, "a.rego": b"package bywire.a\n", "table/t.json": b'{"x": 1}'}


def test_the_digest_names_every_deciding_byte():
    digest = bundle_digest(SMALL)
    assert digest == bundle_digest(dict(reversed(SMALL.items())))
    assert digest != bundle_digest(SMALL | {"a.rego": b"package bywire.a\n\n"})
    assert digest != bundle_digest(SMALL | {"table/t.json": b'{"x": 2}'})
    assert digest != bundle_digest(SMALL | {"manifest.json": MANIFEST.replace(b'"revision": 1', b'"revision": 2')})
    assert digest != bundle_digest({("b.rego" if path == "a.rego" else path): body for path, body in SMALL.items()})


def test_tests_and_messages_decide_nothing():
    companions = {"a_test.rego": b"package bywire.a_test\n", "messages.json": b"{}"}
    assert bundle_digest(SMALL | companions) == bundle_digest(SMALL)
    assert parse_bundle(SMALL | companions).tests[0].path == "a_test.rego"


def test_policies_of_agents_stand_apart():
    own = {"agents/a-1.rego": b"package x\n", "agents/a-1_test.rego": b"package y\n", "agents/b_2.rego": b""}
    bundle = parse_bundle(SMALL | own)
    assert {name: module.path for name, module in bundle.agents.items()} == {
        "a-1": "agents/a-1.rego",
        "b_2": "agents/b_2.rego",
    }
    assert {name: module.path for name, module in bundle.agent_tests.items()} == {"a-1": "agents/a-1_test.rego"}
    assert [module.path for module in (*bundle.modules, *bundle.tests)] == ["a.rego"]
    assert bundle.digest != bundle_digest(SMALL)
    assert bundle.digest == bundle_digest({path: body for path, body in (SMALL | own).items() if decides(path)})


def test_tables_are_mounted_by_name():
    assert parse_bundle(SMALL).data_json() == '{"bywire":{"table":{"t":{"x":1}}}}'


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"manifest.json": b"{}"}, "bundle_manifest"),
        ({"manifest.json": MANIFEST.replace(b"}", b', "extra": 1}')}, "bundle_manifest"),
        ({"manifest.json": MANIFEST.replace(b'"input_version": 1', b'"input_version": 2')}, "bundle_manifest"),
        ({"manifest.json": MANIFEST.replace(b"data.bywire.a.decision", b"data.other.x")}, "bundle_manifest"),
        ({"../a.rego": b""}, "bundle_path"),
        ({"/a.rego": b""}, "bundle_path"),
        ({"A.rego": b""}, "bundle_path"),
        ({"notes.txt": b""}, "bundle_path"),
        ({"table/deep/t.json": b"{}"}, "bundle_path"),
        ({"other.json": b"{}"}, "bundle_path"),
        ({"b.rego": b"\xff"}, "bundle_encoding"),
        ({"table/u.json": b"[]"}, "bundle_table"),
        ({"table/u.json": b'{"x": NaN}'}, "bundle_table"),
        ({"big.rego": b"#" * (FILE_BYTES_MAX + 1)}, "bundle_too_large"),
        ({f"f{n}.rego": b"" for n in range(FILES_MAX)}, "bundle_too_large"),
        ({f"f{n}.rego": b"#" * FILE_BYTES_MAX for n in range(BUNDLE_BYTES_MAX // FILE_BYTES_MAX)}, "bundle_too_large"),
        ({f"agents/a{n}.rego": b"" for n in range(AGENTS_MAX + 1)}, "bundle_too_large"),
        ({"agents/deep/a.rego": b""}, "bundle_path"),
        ({"agents/a.json": b"{}"}, "bundle_path"),
        ({"agents/-a.rego": b""}, "bundle_path"),
        ({"table/deep.json": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"}, "bundle_table"),
    ],
)
def test_what_is_no_bundle_is_refused_with_a_code(changed, code):
    with pytest.raises(PolicyError) as refused:
        parse_bundle(SMALL | changed)
    assert refused.value.code == code
    assert refused.value.next_step


def test_a_bundle_without_manifest_is_refused():
    with pytest.raises(PolicyError, match="manifest"):
        parse_bundle({"a.rego": b"package bywire.a\n"})


def test_the_knowledge_base_fits_its_own_limits():
    assert parse_bundle(files()).manifest.revision >= 1
