"""Asset manifests and the strict JSON reader they come through."""

import json

import pytest
from config_documents import MANIFEST, MISSING, edited

from bywire.config.asset_manifest import Asset, Producer, parse
from bywire.config.json_document import load
from bywire.config.reading import FieldError
from bywire.model.errors import ConfigError


def test_a_manifest_is_read_field_by_field():
    manifest = parse(MANIFEST, "assets/assistant.json")
    assert manifest.name == "assistant"
    assert manifest.assets[0] == Asset("assistant-prompt", "prompt", "assets/prompt.txt")
    assert manifest.assets[2] == Asset(
        "assistant-adapter",
        "adapter",
        "assets/adapter.json",
        Producer(("python", "-m", "train"), "assets/adapter.json", 60),
        ("assistant-prompt", "assistant-dataset"),
    )


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("version",), "1", "expected 1"),
        (("assets",), [], "expected 1 to 64 assets"),
        (("assets",), MISSING, "'assets' is missing"),
        (("assets", 0, "kind"), "promt", "expected one of prompt, dataset, adapter"),
        (("assets", 0, "path"), "../secret", "leaves the repository"),
        (("assets", 0, "digest"), "00", "unknown key 'digest' in assets[0]"),
        (("assets", 1, "name"), "assistant-prompt", "a second asset is named"),
        (("assets", 1, "path"), "assets/prompt.txt", "a second asset has the path"),
        (("assets", 2, "materials"), ["assistant-promt"], "is no other asset of this manifest"),
        (("assets", 2, "materials"), ["assistant-adapter"], "is no other asset of this manifest"),
        (("assets", 2, "produced_by", "run"), "python -m train", "not a shell string"),
        (("assets", 2, "produced_by", "output"), MISSING, "'output' is missing"),
    ],
)
def test_malformed_manifests_get_one_clear_message(path, value, says):
    with pytest.raises(FieldError) as caught:
        parse(edited(MANIFEST, path, value), "assets/assistant.json")
    assert says in caught.value.message


def test_json_round_trip():
    assert load(json.dumps(MANIFEST).encode(), "f") == MANIFEST


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "line 1, column 1"),
        (b'{"a": 1,\n "a": 2}', "the key 'a' appears twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": 1e999}', "1e999 is not a number"),
        (b'{"a": 1,}', "line 1"),
        (b"\xff", "is not UTF-8 at byte 0"),
        (b"[" * 33 + b"]" * 33, "nests deeper than 32"),
        (b"[" * 100_000, "nests deeper than 32"),
        (b"[" + b"1," * 200_000 + b"1]", "bytes, more than"),
        (b'{"a": 1} x', "Extra data"),
        (b"9" * 5000, "integer"),
    ],
)
def test_malformed_json_gets_one_clear_message(data, says):
    with pytest.raises(ConfigError) as caught:
        load(data, "assets/a.json")
    assert caught.value.code == "json_invalid"
    assert caught.value.message.startswith("assets/a.json: ")
    assert says in caught.value.message


def test_brackets_inside_text_do_not_count_as_nesting():
    value = {"a": "[" * 100, "b": '\\"' + "{" * 100}
    assert load(json.dumps(value).encode(), "f") == value
