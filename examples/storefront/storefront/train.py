"""Train the assistant's adapter: `python -m storefront.train` writes assets/adapter.json.

Reads assets/intents.jsonl and assets/prompt.txt. The prompt adds no weights: it must name every intent of the dataset
as a topic, so that no intent is trained that may not be answered. The same dataset and topics give the same bytes, on
every machine.
"""

import json
import sys
from pathlib import Path

from storefront.assistant import ASSETS, topics
from storefront.intent_model import OTHER, UNSAFE, Example, encode_adapter


def read_examples(dataset: Path) -> list[Example]:
    """Return the dataset, one JSON object `{"text", "intent"}` a line."""
    lines = [json.loads(line) for line in dataset.read_text("utf-8").splitlines() if line]
    return [Example(line["text"], line["intent"]) for line in lines]


def train_adapter(assets: Path) -> bytes:
    """Return the adapter of `assets`; ValueError when the prompt does not name a trained intent."""
    examples = read_examples(assets / "intents.jsonl")
    named = topics((assets / "prompt.txt").read_text("utf-8"))
    unnamed = {example.intent for example in examples} - set(named) - {OTHER, UNSAFE}
    if unnamed:
        raise ValueError(f"the prompt names no topic {', '.join(sorted(unnamed))}")
    return encode_adapter(examples, named)


def main() -> int:
    """Write the adapter in one step, so that a reader never sees half of it."""
    try:
        adapter = train_adapter(ASSETS)
    except (ValueError, KeyError) as error:
        print(f"cannot train: {error}", file=sys.stderr)
        return 1
    written = ASSETS / "adapter.json.new"
    written.write_bytes(adapter)
    written.replace(ASSETS / "adapter.json")
    print(f"assets/adapter.json: {len(adapter)} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
