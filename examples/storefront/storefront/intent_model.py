"""The assistant's intent model: an averaged perceptron over words and word pairs.

All arithmetic is on integers and every loop runs in a fixed order, so training gives the same bytes on every machine.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

OTHER = "other"
UNSAFE = "unsafe"
EPOCHS = 12
WORDS_MAX = 200
_WORD = re.compile(r"[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled question of the dataset."""

    text: str
    intent: str


@dataclass(frozen=True, slots=True)
class IntentModel:
    """Integer weights by intent and feature, as read from the adapter."""

    weights: dict[str, dict[str, int]]
    words: frozenset[str]

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "IntentModel":
        """Return the model in an adapter document."""
        return cls(document["weights"], frozenset(document["words"]))

    def intent(self, text: str) -> str:
        """Return the best intent, or `other` when fewer than half of the words are known to the model."""
        found = words(text)
        if 2 * sum(word in self.words for word in found) < max(1, len(found)):
            return OTHER
        return _best(self.weights, features(text))


def words(text: str) -> list[str]:
    """Return the words of `text`; every number becomes `#`, so the model learns no product or card number."""
    return ["#" if word.isdigit() else word for word in _WORD.findall(text.lower())[:WORDS_MAX]]


def features(text: str) -> list[str]:
    """Return the words of `text` and its pairs of neighbours."""
    found = words(text)
    return found + [f"{left} {right}" for left, right in pairwise(found)]


def train(examples: list[Example]) -> dict[str, dict[str, int]]:
    """Return averaged perceptron weights (Collins 2002), times the number of steps, so that they stay integers."""
    labels = sorted({example.intent for example in examples})
    weights: dict[str, defaultdict[str, int]] = {label: defaultdict(int) for label in labels}
    totals: dict[str, defaultdict[str, int]] = {label: defaultdict(int) for label in labels}
    steps = EPOCHS * len(examples)
    for step in range(steps):
        # A fixed stride visits all examples in another order than the file's, which is grouped by intent.
        example = examples[step * _stride(len(examples)) % len(examples)]
        found = features(example.text)
        guess = _best(weights, found)
        if guess == example.intent:
            continue
        for label, change in ((example.intent, 1), (guess, -1)):
            for feature in found:
                weights[label][feature] += change
                totals[label][feature] += change * (steps - step)
    return {label: {name: total for name, total in sorted(totals[label].items()) if total} for label in labels}


def encode_adapter(examples: list[Example], topics: list[str]) -> bytes:
    """Return the adapter file for `examples`; the topics are those that the prompt was checked for."""
    document = {
        "kind": "averaged-perceptron",
        "examples": len(examples),
        "topics": topics,
        "words": sorted({word for example in examples for word in words(example.text)}),
        "weights": train(examples),
    }
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _best(weights: Mapping[str, Mapping[str, int]], found: list[str]) -> str:
    scores = {label: sum(table.get(feature, 0) for feature in found) for label, table in weights.items()}
    return max(sorted(scores), key=scores.__getitem__)


def _stride(count: int) -> int:
    """Return the first of a few primes that does not divide `count`."""
    return next(prime for prime in (37, 41, 43, 47) if count % prime)
