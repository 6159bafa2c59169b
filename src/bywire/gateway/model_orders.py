"""Phrases in a tool's description that order the model about, instead of saying what the tool does.

Words in sequence with bounded gaps, one pass over the text for each rule, so that no text costs more than its length.
English only, and a guess: it finds what attacks on tool descriptions have in common, a person's approval is the fence.
"""

import re
import unicodedata
from collections.abc import Iterator

import msgspec

_WORD = re.compile(r"[^\W_]+(?:_[^\W_]+)*")
_APOSTROPHE = re.compile("(?<=n)['\u2019\u02bc`](?=t)")


class _Rule(msgspec.Struct, frozen=True):
    """Words of `chain` follow each other, each at most its gap after the one before."""

    kind: str
    chain: tuple[frozenset[str], ...]
    gaps: tuple[int, ...]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NOT = _words("not never dont without avoid cannot shouldnt mustnt no")
_TELL = _words(
    "tell telling mention mentioning inform informing notify notifying reveal revealing ask asking disclose disclosing"
    " alert alerting warn warning"
)
_PEOPLE = _words("user users human humans person people operator owner anyone anybody them")
_USE = _words("use using call calling invoke invoking run running")
_TOOLS = _words("tool tools function functions")
_TAKE = _words(
    "read open cat send sending include including pass passing provide upload copy append forward exfiltrate dump put"
    " paste insert leak"
)
_SEND = _words(
    "send sending sent forward forwarding forwarded post posting posted upload uploading append appending copy copying"
    " email mail report leak exfiltrate share"
)
_PLACE = _words("parameter parameters argument arguments field sidenote context note")

_RULES = (
    _Rule(
        "overrides_instructions",
        (
            _words("ignore ignoring disregard disregarding forget"),
            _words(
                "instruction instructions rule rules prompt prompts guideline guidelines policy policies directive"
                " directives previous prior above earlier preceding"
            ),
        ),
        (5,),
    ),
    _Rule(
        "overrides_instructions",
        (
            _words("override overrides overrule bypass discard replace replaces supersede supersedes"),
            _words("instruction instructions prompt prompts directive directives"),
        ),
        (5,),
    ),
    _Rule("overrides_instructions", (_words("new updated real actual"), _words("instruction instructions")), (2,)),
    _Rule("overrides_instructions", (_words("you"), _words("are"), _words("now")), (1, 1)),
    _Rule("overrides_instructions", (_words("system"), _words("prompt prompts")), (1,)),
    _Rule("hides_from_people", (_NOT, _TELL, _PEOPLE), (3, 3)),
    _Rule("hides_from_people", (_NOT, _words("mention reveal disclose"), _words("this that it these")), (3, 1)),
    _Rule(
        "hides_from_people",
        (
            _words("secretly silently covertly discreetly quietly"),
            _words("send call run read add include forward copy execute upload bcc use invoke"),
        ),
        (4,),
    ),
    _Rule("hides_from_people", (_words("hide conceal keep"), _words("from"), _PEOPLE), (4, 2)),
    _Rule(
        "hides_from_people",
        (_words("without"), _PEOPLE, _words("knowledge consent approval confirmation permission")),
        (2, 2),
    ),
    _Rule("orders_other_tools", (_words("before instead prior"), _USE, _TOOLS), (3, 5)),
    _Rule("orders_other_tools", (_USE | {"called", "used"}, _words("before first"), _TOOLS), (6, 5)),
    _Rule("orders_other_tools", (_words("always must first"), _USE, _words("this the"), _TOOLS), (3, 2, 3)),
    _Rule("orders_other_tools", (_NOT, _USE, _words("other another"), _TOOLS), (2, 3, 2)),
    _Rule("orders_other_tools", (_words("overrides override replaces replace disables"), _TOOLS), (6,)),
    _Rule(
        "orders_other_tools",
        (
            _words("when whenever if after"),
            _words("other another any every all"),
            _TOOLS,
            _words("must instead always"),
        ),
        (4, 3, 12),
    ),
    _Rule(
        "asks_for_secrets",
        (
            _TAKE,
            _words("credential credentials password passwords key keys token tokens secret secrets history prompt"),
            _PLACE,
        ),
        (6, 8),
    ),
    _Rule("asks_for_secrets", (_TAKE, _words("conversation chat"), _words("history")), (6, 1)),
    _Rule("asks_for_secrets", (_words("sidenote"),), ()),
    _Rule(
        "sends_elsewhere",
        (
            _words("also additionally always every each whenever before then"),
            _SEND,
            _words("to"),
            _words("http https ftp ws wss www"),
        ),
        (10, 14, 1),
    ),
    _Rule("sends_elsewhere", (_words("before"), _words("answering responding replying"), _SEND), (1, 4)),
    _Rule(
        "orders_other_tools",
        (_words("prefer"), _words("this"), _words("tool"), _words("for"), _words("all every any anything")),
        (1, 1, 1, 1),
    ),
)
_MARKUP = (
    ("hidden_markup", re.compile(r"<!--")),
    (
        "hidden_markup",
        re.compile(
            r"</?\s{0,4}(?:important|system|instructions?|secret|hidden|critical|admin|assistant|override|cmd|script|style"
            r"|iframe|object|embed)\b",
            re.IGNORECASE,
        ),
    ),
    ("hidden_markup", re.compile(r"!\[[^\]\n]{0,100}\]\(|(?:java|vb)script:", re.IGNORECASE)),
    ("overrides_instructions", re.compile(r"<\|[a-z_]{1,32}\|>|\[/?INST\]|<</?SYS>>", re.IGNORECASE)),
    (
        "asks_for_secrets",
        re.compile(
            r"\.ssh/|id_rsa|id_ed25519|\.aws/|\.netrc|\.kube/config|/etc/(?:passwd|shadow)|mcp\.json|claude_desktop_config",
            re.IGNORECASE,
        ),
    ),
    (
        "encoded_text",
        re.compile(r"[\w+/-]{120}|(?:\\x[0-9a-f]{2}){12}|(?:\\u[0-9a-f]{4}){8}|(?:%[0-9a-f]{2}){12}", re.IGNORECASE),
    ),
)  # fmt: skip


# Units, written with a letter that Greek lends.
_UNITS = frozenset({"\u03bcs", "\u03bcm", "\u03bcg", "\u03bcl", "\u03bca", "\u03bcv", "\u03bcw"})


def told_to_model(text: str) -> Iterator[tuple[str, str]]:
    """(kind, the words or characters that say so), at most one for each rule."""
    for kind, pattern in _MARKUP:
        match = pattern.search(text)
        if match is not None:
            yield kind, match.group()
    words = _WORD.findall(_APOSTROPHE.sub("", text.casefold()))
    for rule in _RULES:
        found = _found(rule, words)
        if found:
            yield rule.kind, found
    mixed = next((word for word in words if not word.isascii() and word not in _UNITS and _is_mixed(word)), "")
    if mixed:
        yield "mixed_scripts", mixed


def _found(rule: _Rule, words: list[str]) -> str:
    """The words from the first to the last of the chain, or nothing."""
    ends: list[tuple[int, int] | None] = [None] * len(rule.chain)
    for at, word in enumerate(words):
        for step in range(len(rule.chain) - 1, -1, -1):
            if word not in rule.chain[step]:
                continue
            before = ends[step - 1] if step else (at, at)
            if before is None or (step and at - before[1] > rule.gaps[step - 1]):
                continue
            ends[step] = (before[0], at)
            if step == len(rule.chain) - 1:
                return " ".join(words[before[0] : at + 1])
    return ""


def _is_mixed(word: str) -> bool:
    """Whether a word mixes letters that look alike: Latin with Greek or Cyrillic."""
    scripts = {unicodedata.name(one, "").partition(" ")[0] for one in word if one.isalpha()}
    return "LATIN" in scripts and bool(scripts & {"GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE"})
