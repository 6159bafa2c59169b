"""The YAML subset: plain JSON values, one meaning a word, bounded, and errors that say where and how to fix it."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.adapters.yaml_file import load, load_documents, parse
from bywire.adapters.yaml_scalar import plain_scalar
from bywire.config import service_intent
from bywire.model.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: -7", {"a": -7}),
        ("a: 0644", {"a": 0o644}),
        ("a: 0x1F", {"a": 31}),
        ("a: 1.5", {"a": 1.5}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: true", {"a": True}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("a: 2026-12-20", {"a": "2026-12-20"}),
        ("a: 2026-12-20T00:00:00Z", {"a": "2026-12-20T00:00:00Z"}),
        ("a: 22:22", {"a": "22:22"}),
        ("a: 1.2.3", {"a": "1.2.3"}),
        ('a: "yes"', {"a": "yes"}),
        ("a: 'null'", {"a": "null"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: [1, {b: c}]", {"a": [1, {"b": "c"}]}),
        ("- a\n- b\n", ["a", "b"]),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}),
        ("d: {<<: [{b: 1}, {b: 2, c: 3}]}", {"d": {"b": 1, "c": 3}}),
        ('"<<": 1', {"<<": 1}),
        ("# only a comment\na: 1 # and one more", {"a": 1}),
    ],
)
def test_values(text, value):
    assert load(text.encode(), "f") == value


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("data", "place", "says"),
    [
        (b"", "1:1", "the file is empty"),
        (b"# nothing\n", "1:1", "the file is empty"),
        (b"a: 1\nb: 2\na: 3\n", "3:1", "the key 'a' appears twice"),
        (b"a: {x: 1, x: 2}", "1:11", "the key 'x' appears twice"),
        (b"a: yes", "1:4", "truth value to some YAML readers"),
        (b"a: Off", "1:4", "truth value to some YAML readers"),
        (b"on: x", "1:1", "is not text"),
        (b"1: x", "1:1", "is not text"),
        (b"null: x", "1:1", "is not text"),
        (b"? [a]\n: b", "1:3", "cannot be a key"),
        (b"? {a: b}\n: c", "1:3", "cannot be a key"),
        (b"a: !!python/object/apply:os.system [id]", "1:4", "python/object/apply:os.system is not allowed"),
        (b"a: !!str 5", "1:4", "is not allowed"),
        (b"a: !custom {}", "1:4", "is not allowed"),
        (b"a: 1_000", "1:4", "is not a number that every reader takes alike"),
        (b"a: .inf", "1:4", "is not a number that every reader takes alike"),
        (b"a: .NaN", "1:4", "is not a number that every reader takes alike"),
        (b"a: 1e999", "1:4", "is too large"),
        (b"a: 99999999999999999999", "1:4", "is too large"),
        (b"a: " + b"9" * 10_000, "1:4", "is too large"),
        (b"a: *b", "1:4", "no finished anchor"),
        (b"a: &a [*a]", "1:8", "no finished anchor"),
        (b'a: "\\ud800"', "1:4", "half a character"),
        (b"a: &x {b: 1}\nc: {<<: *x, <<: *x}", "2:13", "appears twice"),
        (b'a: {"<<": 1, <<: {b: 2}}', "1:14", "appears twice"),
        (b"a: {<<: 5}", "1:9", "merges mappings only"),
        (b"a: 1\n---\nb: 2\n", "2:1", "expected one document"),
        (b"a: [1, 2\nb: 3", "2:2", "this is not YAML"),
        (b"a: 'x", "1:6", "this is not YAML"),
        (b"a:\n\t- b", "2:1", "cannot start any token"),
        (b"a: b: c", "1:5", "mapping values are not allowed"),
        (b"%YAML 9.9\n---\na", "1:1", "this is not YAML"),
        (b"a: \x00", "1:1", "not YAML text"),
        (b"a: 1\nb: \xff", "2:1", "not UTF-8"),
        (b"a: \x1b[31m", "1:1", "not YAML text"),
        (b"[" * 40, "1:33", "nests deeper than 32"),
        (b"[" * 100_000, "1:33", "nests deeper than 32"),
        (b"x" * 300_000, "1:1", "more than 262144 bytes"),
        (BOMB.encode(), "6:8", "when aliases are expanded"),
        (b"a: &a 1\nb: [" + b"*a, " * 101 + b"*a]", "2:405", "more than 100 aliases"),
    ],
)
def test_malformed_files_get_one_message_with_a_place_and_a_fix(data, place, says):
    begun = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load(data, "bywire.yaml")
    assert caught.value.code == "yaml_invalid"
    assert says in caught.value.message
    assert caught.value.message.startswith(f"bywire.yaml:{place}: ")
    assert caught.value.message.isprintable()
    assert caught.value.next_step
    # A bound on work, not a bench: the expanded bomb would take minutes.
    assert time.process_time() - begun < 5


def test_an_alias_cannot_smuggle_depth():
    text = "a: &a " + "[" * 20 + "]" * 20 + "\nb: " + "[" * 20 + "*a" + "]" * 20
    with pytest.raises(ConfigError, match="nests deeper"):
        load(text.encode(), "f")


def test_many_documents_are_for_manifests_only():
    text = b"---\nkind: A\n---\n---\n# empty\n---\nkind: B\n"
    assert load_documents(text, "f") == ({"kind": "A"}, {"kind": "B"})
    assert load_documents(b"", "f") == ()
    with pytest.raises(ConfigError, match="at most 200 documents"):
        load_documents(b"---\na: 1\n" * 201, "f")


def test_anchors_end_with_their_document():
    with pytest.raises(ConfigError, match="no finished anchor"):
        load_documents(b"a: &x 1\n---\nb: *x\n", "f")


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("version: 1\nservice: shop\nrollout:\n  stepz: [100]\n", "bywire.yaml:4:3: unknown key 'stepz' in rollout"),
        ("version: 1\nservice: shop\nrollout:\n  steps: [50, 25, 100]\n", "bywire.yaml:4:15: rollout.steps[1]:"),
        ("version: 1\nservice: Shop\n", "bywire.yaml:2:1: service:"),
        ("version: 1\n", "bywire.yaml:1:1: the document: 'service' is missing"),
        ("version: 1\nservice: s\ncriticality: internal\n", "bywire.yaml:3:1: unknown key 'criticality'"),
        ("version: 1\nservice: s\ncommands:\n  test:\n    run: pytest -q\n", "bywire.yaml:5:5: commands.test.run:"),
    ],
)
def test_field_errors_get_their_line_and_column(text, begins):
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "bywire.yaml", service_intent.parse)
    assert caught.value.message.startswith(begins)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc ", max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(json_values)
def test_json_is_read_as_json(value):
    assert load(json.dumps(value, ensure_ascii=True).encode(), "f") == value if is_bmp(value) else True
    assert load(json.dumps(value, ensure_ascii=False).encode(), "f") == value


def is_bmp(value):
    # JSON escapes astral characters as surrogate pairs, which YAML does not have.
    return all(ord(char) < 0x10000 for char in json.dumps(value, ensure_ascii=False))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text("a:-[]{}&*!|>'\"#%@`,? \n\t0_.ey~<", max_size=40).map(str.encode))
def test_any_bytes_end_in_a_value_or_in_a_config_error(data):
    try:
        load_documents(data, "f")
    except ConfigError as error:
        assert error.message.isprintable()


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789abxeE+-._ony", max_size=12))
def test_a_plain_word_is_a_value_or_a_problem_never_both(word):
    value, problem = plain_scalar(word)
    assert not problem or value is None
    assert isinstance(value, str | int | float | bool | None)
