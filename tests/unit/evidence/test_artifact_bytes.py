"""The artifact: same files, same digest; a reader believes nothing that the writer would not write."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.evidence.artifact import ArtifactFile, listing_of, pack, unpack
from bywire.model.errors import EvidenceError
from bywire.seal.digest import sha256_hex

names = st.text("abcdefgh.-_ é", min_size=1, max_size=12).filter(lambda name: name not in {".", ".."})
files = st.lists(
    st.builds(ArtifactFile, st.builds("{}/{}".format, names, names), st.booleans(), st.binary(max_size=50)),
    min_size=1,
    max_size=6,
    unique_by=lambda item: item.path,
)


@given(files, st.randoms())
def test_order_does_not_matter_and_reading_gives_back_what_was_written(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    data = pack("web", items)
    assert pack("web", shuffled) == data
    assert unpack(data, sha256_hex(data)) == tuple(sorted(items, key=lambda item: item.path))


def test_any_other_byte_is_another_artifact():
    data = pack("web", [ArtifactFile("a", False, b"x")])
    with pytest.raises(EvidenceError) as caught:
        unpack(data, sha256_hex(data + b"\0"))
    assert caught.value.code == "artifact_digest"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "", "bywire-artifact.json", "a\nb"]
)
def test_unsafe_paths_are_never_packed(path):
    with pytest.raises(EvidenceError) as caught:
        pack("web", [ArtifactFile(path, False, b"")])
    assert caught.value.code == "artifact_refused"


def test_a_file_cannot_also_be_a_directory():
    with pytest.raises(EvidenceError):
        pack("web", [ArtifactFile("a", False, b""), ArtifactFile("a/b", False, b"")])


def hostile(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def member(name, kind=tarfile.REGTYPE, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


LISTING = pack("web", [ArtifactFile("a", False, b"x")])
with tarfile.open(fileobj=io.BytesIO(LISTING)) as archive:
    LISTED = archive.extractfile("bywire-artifact.json").read()
HEAD = (member("bywire-artifact.json", size=len(LISTED)), LISTED)


@pytest.mark.parametrize(
    "data",
    [
        hostile(HEAD, (member("a", tarfile.SYMTYPE, link="/etc/passwd"), b"")),
        hostile(HEAD, (member("a", tarfile.LNKTYPE, link="b"), b"")),
        hostile(HEAD, (member("a", tarfile.CHRTYPE), b"")),
        hostile(HEAD, (member("a", size=1), b"y")),
        hostile(HEAD, (member("a", size=1), b"x"), (member("b"), b"")),
        hostile(HEAD),
        hostile((member("a", size=1), b"x"), HEAD),
        hostile(),
        b"not a tar",
        b"",
    ],
)
def test_foreign_archives_are_refused_even_under_their_own_digest(data):
    with pytest.raises(EvidenceError) as caught:
        unpack(data, sha256_hex(data))
    assert caught.value.code == "artifact_refused"


def test_the_listing_names_every_file_with_its_digest():
    (listed,) = listing_of([ArtifactFile("a", False, b"x")])
    assert (listed.path, listed.bytes, listed.sha256) == ("a", 1, sha256_hex(b"x"))
