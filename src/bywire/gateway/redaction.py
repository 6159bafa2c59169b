"""Redaction at the door: raw in, canonical out (RULES 4).

Each secret is replaced by its type and an HMAC under the workspace key: equal secrets stay comparable, and nobody can
test guesses without the key, as they could with a plain hash. When in doubt a text is taken for a secret.
"""

import hashlib
import hmac
import re
from typing import Any

REDACTOR_VERSION = "redactor/1"
# No pattern may scan the same text from many starts: a quantifier without a bound either ends at what a new start needs
# or belongs to a match that can no longer fail. Adversarial texts in tests/unit/gateway keep it so.
_NAME = r"(?i:pass(?:word|wd|phrase|code)|secret|token|credential|(?:api|access|private|client)[_-]?key)"
_QUOTE = r"\\?[\"']?"
_ASSIGN = r"\s{0,4}(?:=>|:=|[=:])\s{0,4}"
_PATTERNS = {
    "private_key": r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----[^-]*+(?:-(?!----)[^-]*+)*+"
    r"(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----)?",
    "aws_key": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "github_token": r"gh[pousr]_[A-Za-z0-9_]{36,}+|github_pat_[A-Za-z0-9_]{22,}+",
    "gitlab_token": r"glpat-[A-Za-z0-9_-]{20,}+",
    "slack_token": r"xox[a-z]-[A-Za-z0-9-]{10,}+",
    "jwt": r"eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]++)*+",
    "model_key": r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,}+",
    "url_credential": r"://[^\s/:@]*+:[^\s/@]++@",
    "authorization": rf"(?i:authorization){_QUOTE}{_ASSIGN}{_QUOTE}[^\s\"',;&]++(?:[ ]{{1,4}}[^\s\"',;&]++)?"
    r"|(?i:bearer)[ ]{1,4}[A-Za-z0-9._~+/=-]{8,}+",
    "assigned_secret": rf"{_NAME}[A-Za-z0-9_-]{{0,32}}{_QUOTE}{_ASSIGN}"
    r"(?:\\?\"[^\"\n]++|\\?'[^'\n]++|[^\s\"',;&]{4,}+)",
}
# An object's key that says what its value is.
_SECRET_KEY = re.compile(rf"{_NAME}[A-Za-z0-9_-]{{0,32}}\Z")
_NAMED_CHARS_MIN = 4
# Told by the name before it, not by its form: good enough to redact, not to refuse evidence.
_GUESSED = {"assigned_secret", "authorization"}
_ANY = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items()))
# Every pattern above needs one of these; most strings hold none and skip the expensive search.
_HINT = re.compile(r"[=:]|-----BEGIN|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox[a-z]-|eyJ|sk-|(?i:bearer)")
_IMITATION = re.compile(rf"\[(?:{'|'.join(_PATTERNS)})\]")
_REDACTED = {"text", "secrets"}
_LITERAL = {"literal"}


class Redactor:
    """Turns raw JSON values into canonical ones. Deterministic for one workspace key; different values stay different.

    A string with secrets becomes `{"text", "secrets"}`. An object that only looks like that becomes `{"literal"}`.
    """

    def __init__(self, workspace_key: bytes) -> None:
        self._key = workspace_key

    def canonical(self, value: Any) -> Any:
        """`value` with every secret replaced; object keys are redacted too."""
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, dict):
            plain = {self._name(str(key)): self._named(str(key), item) for key, item in value.items()}
            return {"literal": plain} if value.keys() in (_REDACTED, _LITERAL) else plain
        if isinstance(value, list | tuple):
            return [self.canonical(item) for item in value]
        return value

    def display(self, text: str) -> str:
        """`text` for people: secrets shown as `[type]`."""
        if _HINT.search(text) is None:
            return text
        return _ANY.sub(lambda match: f"[{match.lastgroup}]", text)

    def certain(self, value: Any) -> tuple[str, ...]:
        """The kinds of secrets in `value` that are known by their own form, sorted; guesses by name are left out."""
        found: set[str] = set()
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, dict):
                stack += [*item, *item.values()]
            elif isinstance(item, list | tuple):
                stack += item
            elif isinstance(item, str) and _HINT.search(item):
                found |= {str(match.lastgroup) for match in _ANY.finditer(item)} - _GUESSED
        return tuple(sorted(found))

    def _string(self, text: str) -> Any:
        if _HINT.search(text) is None or (first := _ANY.search(text)) is None:
            return text
        matches = list(_ANY.finditer(text, first.start()))
        secrets: list[dict[str, Any]] = [
            {"type": str(match.lastgroup), "hmac": self._mac(match.group())} for match in matches
        ]
        if _IMITATION.search(text) is not None:
            # Which of the marks stand for secrets is part of the text: two texts must not share one form.
            secrets = [{**secret, "at": match.start()} for secret, match in zip(secrets, matches, strict=True)]
        return {"text": self.display(text), "secrets": secrets}

    def _named(self, key: str, value: Any) -> Any:
        """A value whose key calls it a secret is one, whatever it looks like."""
        if isinstance(value, str) and len(value) >= _NAMED_CHARS_MIN and _SECRET_KEY.search(key) is not None:
            return {"text": "[named_secret]", "secrets": [{"type": "named_secret", "hmac": self._mac(value)}]}
        return self.canonical(value)

    def _name(self, key: str) -> str:
        """An object's key: still a string, and two secrets are still two keys."""
        if _HINT.search(key) is None:
            return key
        return _ANY.sub(lambda match: f"[{match.lastgroup}:{self._mac(match.group())}]", key)

    def _mac(self, secret: str) -> str:
        message = b"secret\x00" + secret.encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()
