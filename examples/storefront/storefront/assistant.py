"""Answers questions about quotes and payments from a trained intent model, inside the bounds that the prompt sets.

Answers are written sentences chosen by intent. The prompt decides which topics are answered at all; it is never part
of an answer.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storefront.catalogue import find_product
from storefront.guard import is_jailbreak, withhold
from storefront.intent_model import OTHER, UNSAFE, IntentModel
from storefront.quotes import CURRENCIES, Quote, quote

ASSETS = Path(__file__).parents[1] / "assets"
QUESTION_CHARACTERS_MAX = 1000
REFUSAL = "I cannot help with that. I can answer questions about prices, payments and deliveries."
ANSWERS = {
    "greeting": "Hello. Ask me about prices, payments or deliveries.",
    "quote_price": "Tell me a product number and a currency, and I will quote the price.",
    "quote_explain": "A quote is the list price at today's rate. I cannot break down a single quote yet.",
    "currencies": f"I can quote in {', '.join(CURRENCIES)}.",
    "payment_methods": "You can pay with any card that your bank allows online. Cards are stored as tokens.",
    "payment_status": "A pending payment is with the card network. It settles within a day and is never charged twice.",
    "refund": "You can return an order within 30 days. The money is back on your card five working days later.",
    "delivery": "Orders leave our warehouse the next working day and arrive within three to five days.",
    "human": "I am passing you to a colleague, who answers within an hour.",
    OTHER: "I did not understand that. I can answer questions about prices, payments and deliveries.",
}
_PRODUCT = re.compile(r"\b(?:product|item|article|number)\s+(?:number\s+)?(p?-?\d{1,6})\b", re.IGNORECASE)
_CURRENCY = re.compile(rf"\b({'|'.join(CURRENCIES)})\b", re.IGNORECASE)
_TOPICS = "Topics:"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the assistant says, and the intent that it recognised."""

    intent: str
    answer: str
    refused: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the public shape of a reply."""
        return {"intent": self.intent, "answer": self.answer, "refused": self.refused}


class Assistant:
    """Answers with `model` within the topics of `prompt`."""

    def __init__(self, prompt: str, model: IntentModel) -> None:
        self._prompt = prompt
        self._topics = frozenset(topics(prompt))
        self._model = model

    @classmethod
    def load(cls, assets: Path) -> "Assistant":
        """Read the prompt and the adapter from the assets directory."""
        adapter = json.loads((assets / "adapter.json").read_text("ascii"))
        return cls((assets / "prompt.txt").read_text("utf-8"), IntentModel.from_json(adapter))

    def reply(self, question: str) -> Reply:
        """Answer, refuse, or say that the question was not understood."""
        intent = UNSAFE if is_jailbreak(question) else self._model.intent(question)
        if intent == UNSAFE:
            return Reply("refused", REFUSAL, refused=True)
        if intent not in self._topics:
            intent = OTHER
        return Reply(intent, withhold(self._answer(intent, question), self._prompt))

    def _answer(self, intent: str, question: str) -> str:
        named = named_quote(question)
        if intent == "quote_price" and named is not None:
            return f"{named.product.name} (product {named.product.number}) costs {named.display} today."
        return ANSWERS[intent]


def topics(prompt: str) -> list[str]:
    """Return the intents on the prompt's `Topics:` line, sorted; these are the ones the assistant may answer."""
    named = [line.removeprefix(_TOPICS) for line in prompt.splitlines() if line.startswith(_TOPICS)]
    return sorted({topic.strip(" .") for line in named for topic in line.split(",")} & set(ANSWERS))


def named_quote(question: str) -> Quote | None:
    """Return the quote for the product and currency that `question` names (euro when it names none), or None."""
    reference, code = _PRODUCT.search(question), _CURRENCY.search(question)
    product = find_product(reference[1].lower()) if reference else None
    return quote(product, CURRENCIES[code[1].upper() if code else "EUR"]) if product else None
