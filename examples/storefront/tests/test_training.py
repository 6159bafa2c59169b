"""Training is repeatable to the byte, and refuses a prompt that does not cover the dataset."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storefront import train
from storefront.assistant import ASSETS
from storefront.intent_model import Example, IntentModel, encode_adapter, words
from storefront.intent_model import train as train_weights


def test_the_committed_adapter_is_what_training_writes(tmp_path, monkeypatch):
    assets = tmp_path / "assets"
    shutil.copytree(ASSETS, assets)
    monkeypatch.setattr(train, "ASSETS", assets)
    assert train.main() == 0
    assert (assets / "adapter.json").read_bytes() == (ASSETS / "adapter.json").read_bytes()


def test_a_prompt_without_a_trained_topic_is_refused(tmp_path, monkeypatch, capsys):
    assets = tmp_path / "assets"
    shutil.copytree(ASSETS, assets)
    (assets / "prompt.txt").write_text("Topics: greeting")
    monkeypatch.setattr(train, "ASSETS", assets)
    assert train.main() == 1
    assert "refund" in capsys.readouterr().err
    assert (assets / "adapter.json").read_bytes() == (ASSETS / "adapter.json").read_bytes()


@given(st.lists(st.tuples(st.text("abcd ", min_size=1), st.sampled_from(["x", "y"])), min_size=1, max_size=12))
def test_the_same_examples_give_the_same_bytes(rows):
    examples = [Example(text, intent) for text, intent in rows]
    assert encode_adapter(examples, ["x"]) == encode_adapter(examples, ["x"])


def test_the_model_learns_what_separates_two_intents():
    examples = [
        Example("red apple", "fruit"),
        Example("red car", "vehicle"),
        Example("green pear", "fruit"),
        Example("fast car", "vehicle"),
    ]
    known = frozenset(word for example in examples for word in words(example.text))
    model = IntentModel(train_weights(examples), known)
    assert [model.intent(text) for text in ("apple red", "car green", "zebra quagga")] == ["fruit", "vehicle", "other"]


@pytest.mark.parametrize(("text", "found"), [("Product 17, please!", ["product", "#", "please"]), ("", [])])
def test_numbers_become_one_word(text, found):
    assert words(text) == found
