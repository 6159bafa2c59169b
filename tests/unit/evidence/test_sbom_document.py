"""The bill of materials: every file and declared dependency, and a completeness nobody can claim for themselves."""

import pytest

from bywire.evidence.artifact import ListedFile
from bywire.evidence.lock_files import Dependency, dependencies, is_lock_file
from bywire.evidence.sbom import SbomSource, declared_licence, document
from bywire.evidence.sbom_completeness import facts_of
from bywire.model.errors import EvidenceError
from bywire.seal import jcs

ARTIFACT = "a" * 64
SHA = "b" * 64


def source(licence="Apache-2.0", **known):
    return SbomSource("web", ARTIFACT, "c" * 40, 1_790_000_000_000, ("payments",), licence, "0.1.0", known)


def bom(licence="Apache-2.0", found=()):
    return document(source(licence), [ListedFile("web/app.py", SHA, 3)], list(found), locked=bool(found))


def test_own_files_with_a_declared_licence_are_complete():
    judged = facts_of(bom(), ARTIFACT)
    assert (judged.completeness, judged.components, judged.subject_matches, judged.missing) == (1.0, 1, True, {})


def test_an_unknown_licence_is_missing_not_fine():
    judged = facts_of(bom(licence=""), ARTIFACT)
    assert judged.completeness == pytest.approx(10 / 11, abs=1e-4)
    assert judged.missing == {"licence": 1}


def test_a_bare_dependency_lacks_what_its_lock_file_does_not_say():
    judged = facts_of(bom(found=[Dependency("pypi", "requests", "2.32.0", "requirements.txt")]), ARTIFACT)
    assert judged.missing == {"hash": 1, "licence": 1, "supplier": 1}


def test_another_artifact_is_another_subject():
    assert not facts_of(bom(), "d" * 64).subject_matches


def test_a_document_without_components_is_not_complete():
    assert facts_of({**bom(), "components": []}, ARTIFACT).completeness == 0.0


@pytest.mark.parametrize("part", ["timestamp", "tools", "lifecycles"])
def test_each_shared_element_counts_for_every_component(part):
    stripped = bom()
    del stripped["metadata"][part]
    assert facts_of(stripped, ARTIFACT).completeness == pytest.approx(10 / 11, abs=1e-4)


def test_a_component_outside_the_graph_lacks_its_relationship():
    assert facts_of({**bom(), "dependencies": []}, ARTIFACT).missing == {"relationship": 1}


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {**bom(), "specVersion": "1.3"},
        {**bom(), "components": [{"name": "x"}]},
        {**bom(), "components": [{"bom-ref": "x"}, {"bom-ref": "x"}]},
        {**bom(), "dependencies": ["x"]},
    ],
)
def test_malformed_bills_are_refused(broken):
    with pytest.raises(EvidenceError) as caught:
        facts_of(broken, ARTIFACT)
    assert caught.value.code == "sbom_malformed"


def test_the_same_build_gives_the_same_canonical_document():
    assert jcs.canonical(bom()) == jcs.canonical(bom())


LOCKS = {
    "requirements.txt": b"# c\nRequests[socks]==2.32.0 --hash=sha256:" + SHA.encode() + b"\nflask>=2\n-r other.txt\n",
    "sub/poetry.lock": b'[[package]]\nname="attrs"\nversion="24.1"\nfiles=[{file="a",hash="sha256:'
    + SHA.encode()
    + b'"}]\n',
    "uv.lock": b'[[package]]\nname="me"\nversion="1"\nsource={virtual="."}\n[[package]]\nname="idna"\nversion="3"\n',
    "package-lock.json": b'{"packages":{"":{"name":"me"},"node_modules/@a/b":{"version":"1.0.0","license":"MIT",'
    b'"integrity":"sha512-AAAA"}}}',
    "go.sum": b"example.com/x v1.2.3 h1:abc=\nexample.com/x v1.2.3/go.mod h1:abc=\n",
    "Cargo.lock": b'[[package]]\nname="own"\nversion="1"\n[[package]]\nname="serde"\nversion="1"\nsource="registry+x"\n'
    b'checksum="' + SHA.encode() + b'"\n',
    "notes.txt": b"requests==1.0",
}


def test_every_lock_format_gives_purls_and_only_what_it_says():
    found = {item.purl: item for item in dependencies(LOCKS)}
    assert sorted(found) == [
        "pkg:cargo/serde@1",
        "pkg:golang/example.com/x@v1.2.3",
        "pkg:npm/%40a/b@1.0.0",
        "pkg:pypi/attrs@24.1",
        "pkg:pypi/flask",
        "pkg:pypi/idna@3",
        "pkg:pypi/requests@2.32.0",
    ]
    assert found["pkg:pypi/requests@2.32.0"].hashes == (("SHA-256", SHA),)
    assert found["pkg:npm/%40a/b@1.0.0"].licence == "MIT"
    assert found["pkg:golang/example.com/x@v1.2.3"].hashes == ()
    assert not is_lock_file("notes.txt")


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("uv.lock", b"= ="),
        ("package-lock.json", b"[]"),
        ("package-lock.json", b'{"packages":{"node_modules/a":3}}'),
        ("Cargo.lock", b"package = 3"),
        ("requirements.txt", b"\xff\xfe"),
    ],
)
def test_a_broken_lock_file_is_named(path, data):
    with pytest.raises(EvidenceError, match=path) as caught:
        dependencies({path: data})
    assert caught.value.code == "lock_file_invalid"


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        ({"pyproject.toml": b'[project]\nlicense = "MIT"'}, "MIT"),
        ({"package.json": b'{"license": "ISC"}'}, "ISC"),
        ({"Cargo.toml": b'[package]\nlicense = "MIT OR Apache-2.0"'}, "MIT OR Apache-2.0"),
        ({"LICENSE": b"   Apache License\n  Version 2.0, January 2004"}, "Apache-2.0"),
        ({"LICENSE": b"SPDX-License-Identifier: BSD-3-Clause\n"}, "BSD-3-Clause"),
        ({"pyproject.toml": b"= broken", "LICENSE": b"All rights reserved"}, ""),
        ({}, ""),
    ],
)
def test_the_licence_is_what_the_project_declares(files, licence):
    assert declared_licence(files.get) == licence
