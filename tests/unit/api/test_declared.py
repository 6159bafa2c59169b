"""What a caller says of its own call, in `_meta` of MCP and in headers: read strictly, or the call is not made."""

import pytest

from bywire.api.declared import Declared, UndeclarableError, from_headers, from_meta, text_of

DIGESTS = ("a" * 64, "b" * 64)
WHOLE = Declared(change="CHG-7", plan="p" * 64, evidence=DIGESTS, dry_run=True, tokens=1_200)
META = {
    "bywire/change": "CHG-7",
    "bywire/plan": "p" * 64,
    "bywire/evidence": list(DIGESTS),
    "bywire/dry_run": True,
    "bywire/tokens": 1_200,
}
HEADERS = [
    (b"bywire-change", b"CHG-7"),
    (b"bywire-plan", b"p" * 64),
    (b"bywire-evidence", ", ".join(DIGESTS).encode()),
    (b"bywire-dry-run", b"true"),
    (b"bywire-tokens", b"1200"),
]


def test_all_that_can_be_said_is_heard_alike_on_both_surfaces():
    assert from_meta(META) == WHOLE
    assert from_headers(HEADERS) == WHOLE


def test_who_says_nothing_declares_nothing():
    assert from_meta({"traceparent": "x", "progressToken": 7}) == Declared()
    assert from_headers([(b"user-agent", b"curl"), (b"x-bywire-dry-run", b"true")]) == Declared()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("change", None), ("change", ["x"]), ("plan", {}), ("plan", "p" * 201),
        ("evidence", "sha256:aa"), ("evidence", [7]), ("evidence", ["d"] * 257), ("evidence", ["d" * 201]),
        ("dry_run", "true"), ("dry_run", 1), ("dry_run", None), ("tokens", -1), ("tokens", "12"), ("tokens", True),
        ("tokens", 1.0), ("tokens", 10**9 + 1), ("tokens", None),
    ],
)  # fmt: skip
def test_rule_08_what_cannot_be_read_is_refused_and_not_left_out(name, value):
    """A dry run that is misspelt must not become the effect, nor a cost that is misspelt none."""
    with pytest.raises(UndeclarableError, match=f"bywire/{name}"):
        from_meta({f"bywire/{name}": value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"bywire-dry-run", b"yes"), (b"bywire-dry-run", b"True"), (b"bywire-dry-run", b"1"), (b"bywire-dry-run", b""),
        (b"bywire-tokens", b""), (b"bywire-tokens", b"-1"), (b"bywire-tokens", b"1e3"), (b"bywire-tokens", b"+5"),
        (b"bywire-tokens", b"1_000"), (b"bywire-tokens", b"1000000001"), (b"bywire-tokens", b"\xb2"),
        (b"bywire-tokens", b"9" * 5_000), (b"bywire-evidence", b"a,,b"), (b"bywire-evidence", b""),
        (b"bywire-evidence", b",".join([b"d"] * 257)), (b"bywire-evidence", b"d" * 201), (b"bywire-plan", b"p" * 201),
        (b"bywire-change", b"\xff"),
        (b"bywire-dryrun", b"true"), (b"bywire-dry_run", b"true"), (b"bywire-key", b"k"), (b"bywire-", b"x"),
    ],
)  # fmt: skip
def test_rule_08_a_header_that_cannot_be_read_is_refused_and_one_of_ours_that_is_not_known_too(name, value):
    with pytest.raises(UndeclarableError) as caught:
        from_headers([(name, value)])
    assert name.decode() in str(caught.value)


def test_a_header_twice_is_refused():
    with pytest.raises(UndeclarableError, match="two bywire-tokens headers"):
        from_headers([(b"bywire-tokens", b"1"), (b"bywire-tokens", b"2")])


def test_false_is_no_dry_run():
    assert from_meta({"bywire/dry_run": False}) == from_headers([(b"bywire-dry-run", b"false")]) == Declared()


@pytest.mark.parametrize("value", [7, None, "k" * 201, ["k"]])
def test_a_retry_key_is_a_short_text(value):
    assert text_of({"bywire/key": "k-1"}, "bywire/key") == "k-1"
    assert text_of({}, "bywire/key") == ""
    with pytest.raises(UndeclarableError, match="bywire/key is a text of at most 200"):
        text_of({"bywire/key": value}, "bywire/key")
