"""What the assistant refuses to answer, and what never leaves it.

`is_jailbreak` reads a question in several spellings (compatibility forms, hidden characters, digits for letters,
spaced letters, base64). `withhold` is the last look at an answer: no line of the prompt and nothing that could be a
card number passes it.
"""

import base64
import binascii
import re
import unicodedata

_LEET = str.maketrans("013457@$", "oieastas")
_SPACED = re.compile(r"\b(?:[a-z][ .\-_]){3,}[a-z]\b")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_ATTACKS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        (
            r"\b(?:ignore|disregard|forget|override|bypass|drop|stop following)\b.{0,40}"
            r"\b(?:instructions?|rules?|prompts?|polic(?:y|ies)|guidelines?|everything|above)\b"
        ),
        r"\b(?:system|hidden|initial|original|secret|developer|first) ?(?:prompt|instructions?|messages?)\b",
        (
            r"\b(?:reveal|show|print|repeat|leak|output|translate|encode|recite|paste|quote|tell)\b.{0,40}"
            r"\b(?:your|the) (?:prompt|instructions?|rules|configuration)\b"
        ),
        r"\b(?:pretend|act as|you are now|role ?play)\b",
        r"\b(?:developer mode|dan mode|jail ?break|do anything now|without (?:any )?(?:restrictions?|limits?|rules))\b",
        (
            r"\b(?:list|show|give|print|read|send|export|dump|tell)\b.{0,40}"
            r"\b(?:card numbers?|cvvs?|pans?|card data|card details|customers?|stored cards?)\b"
        ),
        r"\btext (?:above|before)\b|\bwords above\b",
    )
)
_CARD = re.compile(r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)")
_WITHHELD = "[withheld]"


def is_jailbreak(question: str) -> bool:
    """Whether `question` tries to change the assistant's rules, read its prompt or obtain card data."""
    return any(attack.search(spelling) for spelling in _spellings(question) for attack in _ATTACKS)


def withhold(answer: str, prompt: str) -> str:
    """Return `answer` without any line of `prompt` and without digits that could be a card number."""
    for line in prompt.splitlines():
        if len(line) > 20:
            answer = answer.replace(line, _WITHHELD)
    return _CARD.sub(_WITHHELD, answer)


def _spellings(question: str) -> list[str]:
    plain = _flatten(question)
    decoded = [_flatten(text) for blob in _BASE64.findall(question)[:4] if (text := _decode(blob))]
    joined = _SPACED.sub(lambda match: re.sub(r"[ .\-_]", "", match[0]), plain)
    return [plain, plain.translate(_LEET), joined, *decoded]


def _flatten(text: str) -> str:
    visible = "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in ("Cf", "Mn"))
    return " ".join(visible.lower().split())


def _decode(blob: str) -> str:
    try:
        return base64.b64decode(blob + "=" * (-len(blob) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""
