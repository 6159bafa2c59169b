"""What belongs to a person, and names of hosts that stay in the house.

Numbers are told from build numbers, versions and digests by their check digits, by the way they are written, or by the
label before them.
"""

import re
from collections.abc import Callable, Iterable

from bywire.gateway.sensitive_checks import (
    IBAN_CHARS,
    is_card,
    is_iban,
    is_nhs_number,
    is_phone,
    is_social_security_number,
)
from bywire.gateway.sensitive_kinds import END, Kind, before, by_form, word_after, word_before
from bywire.model.gateway_inspection import FindingClass

_PII, _PHI, _HOST = FindingClass.PII, FindingClass.PHI, FindingClass.HOST
LABEL_CHARS = 24
# Latin, Greek and Cyrillic letters as UTF-8 writes them.
_LETTER = r"(?:[A-Za-z0-9]|[\xc3-\xd3][\x80-\xbf])"
_LOCAL = r"(?:[A-Za-z0-9._%+'-]|[\xc3-\xd3][\x80-\xbf])"
_DOMAIN = r"(?:[A-Za-z0-9.-]|[\xc3-\xd3][\x80-\xbf])"
# A last label that names a kind of file or of unit, or a part of a program, is no domain.
_NO_DOMAIN = frozenset(
    b"png jpg jpeg gif svg webp ico bmp css js mjs cjs tsx jsx json yaml yml toml lock tgz gz bz2 xz tar jar "
    b"whl deb rpm exe dll html htm xml txt csv log conf cfg ini sql service timer socket mount target slice "
    b"device path swap rc beta alpha snapshot final release".split()
)
AT_SIGN = b"@"
_LOGINS = frozenset((b"git", b"hg", b"svn"))
_SEPARATORS = b" .-/"
_DIGITS = re.compile(rb"[0-9]")
# What numbers that nobody is called by have before them.
_SERIAL = re.compile(
    r"(?:\b|_)(?:order|invoice|ord|inv|po|sku|ticket|track\w*|ship\w*|request|req|trace|span|build|job|run|batch|txn"
    r"|transaction|event|part|item|model|node|serial|imei|id|uid|gid|pid|tid|nonce|seq|sequence|offset|ts|time|timestamp|epoch|version|ver|rev|revision|bytes"
    r"|size|duration|count|total|hash|digest|sha\w*|commit|checksum|port|case)"
    r"\w{0,8}[\"' ]*(?:no\.?|number|nr\.?)?[\"'#: =_-]{0,4}\Z"
)
_CARD_LABEL = re.compile(r"(?:card|visa|amex|mastercard|credit|debit|\bpan\b|cc)[\w ]{0,12}[\"'#: =_.-]{0,4}\Z")
# Digits go on from group to group: this is the end of a longer number.
_IN_A_ROW = re.compile(r"[0-9][ -]\Z")
_NUMBER = re.compile(rb"[(+]?[0-9]")
_VALUE = re.compile(
    rb"(?:[A-Za-z]{0,3}-?[0-9][0-9-]{3,14}|[0-9]{1,4}[-/. ][0-9A-Za-z]{1,9}[-/. ][0-9]{1,4}"
    rb"|[A-Z][0-9][0-9A-Z](?:\.[0-9A-Z]{1,4})?)\Z"
)


def _digits(text: bytes, start: int, end: int) -> str:
    return b"".join(_DIGITS.findall(text, start, end)).decode()


def _email(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """Not a login of a version control host, not the user of a URL, not `name@2x.png` or `getty@tty1.service`."""
    local, _, domain = text[start:end].partition(b"@")
    local_start = start + len(local) - len(local.lstrip(b".%+'-"))
    labels = domain.lower().split(b".")
    if len(_DIGITS.findall(local)) > 8:
        return local_start, end, True
    if local_start == end or local.lower() in _LOGINS or not local.strip(b".%+'-_"):
        return None
    if labels[-1] in _NO_DOMAIN or labels[0].lstrip(b"v").isdigit() or b"" in labels:
        return None
    return None if text[max(0, start - 3) : start] == b"://" else (local_start, end, True)


def _phone(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """International with `+`, a common national way of writing, or plain behind a label."""
    first = _NUMBER.search(text, start, end)
    labelled = first is not None and first.start() > start
    start = first.start() if first else start
    if word_before(text, start, b"+-./#") or _goes_on(text, end):
        return None
    international = text[start] == 0x2B
    if not is_phone(_digits(text, start, end), least=7 if labelled else 8 if international else 10):
        return None
    label = "" if labelled or international else before(text, start, LABEL_CHARS)
    if _SERIAL.search(label) or _IN_A_ROW.search(label):
        return None
    return start, end, labelled or international or any(mark in text[start:end] for mark in b"()-")


def _goes_on(text: bytes, end: int) -> bool:
    """Whether the number is the beginning of something longer; a mark that ends a sentence does not count."""
    follows = text[end : end + 2]
    if follows[:1].isalnum() or follows[:1] == b"_":
        return True
    return follows[:1] in (b"-", b".", b"/", b":", b"#") and follows[1:].isalnum()


def _card(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """The longest run of digits from `start` that is an account number; ungrouped behind another label it is none."""
    if text[max(0, start - 1) : start] in (b".", b"-", b"/"):
        return None
    digits = text[start:end].translate(None, _SEPARATORS).decode()
    for size in range(min(19, len(digits)), 12, -1):
        if is_card(digits[:size]):
            stop = [match.start() for match in _DIGITS.finditer(text, start, end)][size - 1] + 1
            if word_after(text, stop):
                continue
            label, grouped = before(text, start, LABEL_CHARS), stop - start > size
            if _CARD_LABEL.search(label):
                return start, stop, True
            return None if not grouped and _SERIAL.search(label) else (start, stop, True)
    return None


def _iban(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """As many characters as its country writes, with the check digits right; what follows is another word."""
    size = IBAN_CHARS.get(text[start : start + 2].upper().decode("latin-1"), 0)
    plain = text[start:end].translate(None, _SEPARATORS).upper().decode("latin-1")[:size]
    if not is_iban(plain):
        return None
    stop, left = start, size
    while left:
        left -= text[stop] not in _SEPARATORS
        stop += 1
    return None if word_after(text, stop) else (start, stop, True)


def _social_security(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """With its two dashes, or behind its label."""
    return _national(text, start, end, is_social_security_number)


def _nhs(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """In its own groups with the check digit right, or behind its label."""
    return _national(text, start, end, is_nhs_number)


def _national(text: bytes, start: int, end: int, valid: Callable[[str], bool]) -> tuple[int, int, bool] | None:
    first = _NUMBER.search(text, start, end)
    labelled = first is not None and first.start() > start
    start = first.start() if first else start
    if word_before(text, start, b"+-./#") or _goes_on(text, end) or not valid(_digits(text, start, end)):
        return None
    if not labelled and _SERIAL.search(before(text, start, LABEL_CHARS)):
        return None
    return start, end, labelled or b"-" in text[start:end]


def _behind_label(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """What stands behind a label: a number, a date or a code up to the end of the piece."""
    value = _VALUE.search(text, start, end)
    return None if value is None or word_before(text, start) else (value.start(), end, True)


def _code(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    return None if _in_name(text, start, end) else (start, end, False)


def _in_name(text: bytes, start: int, end: int) -> bool:
    return word_before(text, start, b"-") or word_after(text, end, b"-")


def _internal(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """A whole name, which is no file's, no package's, and not the domain of an address."""
    around = text[max(0, start - 2) : start]
    if text[end : end + 1] == b"." and text[end + 1 : end + 2].isalnum():
        return None
    if around.endswith((b".", b"-", b"_")) or (around.endswith(b"/") and around != b"//"):
        return None
    return None if _in_name(text, start, end) else (start, end, False)


# Between a label and its value.
_GAP = r"[\"']?\s{0,2}[:#=]?\s{0,2}[\"']?"
_TEL = r"\(?[0-9](?:[ .\-/()]{0,2}[0-9]){6,14}\b"
_PHONES = (
    r"\+[1-9](?:[ .\-/()]{0,2}[0-9]){6,14}",
    # North America, the United Kingdom, Germany, France; 00 instead of the plus; anything behind a label.
    r"(?:\b1[ .-])?(?:\([2-9][0-9]{2}\)[ ]?|\b[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}\b",
    r"(?:\b|\()0[1-9][0-9]{1,4}\)?(?:[ ][0-9]{2,8}){1,3}\b",
    r"(?:\b|\()0[1-9][0-9]{1,4}\)?/[ ]?[0-9]{3,8}(?:[ -][0-9]{2,4})?\b",
    r"\b0[1-9](?:[ .][0-9]{2}){4}\b",
    r"\b00[1-9][0-9]{0,2}[ ][0-9 ]{7,16}[0-9]\b",
    rf"\b(?i:(?:tele)?phone|tel|telefon|mobile?|cell|handy|fax|sms|whatsapp)[\w. ]{{0,10}}{_GAP}{_TEL}",
)
_COUNTRIES = "|".join(sorted(IBAN_CHARS))
PERSONAL = (
    Kind("email", _PII, rf"{_LOCAL}+@{_LETTER}{_DOMAIN}*\.[A-Za-z]{{2,24}}\b", _email, AT_SIGN),
    Kind(
        "email",
        _PII,
        rf"{_LOCAL}+ ?[\[({{] ?(?i:at) ?[\])}}] ?{_LETTER}{_DOMAIN}*"
        r"(?: ?[\[({] ?(?i:dot) ?[\])}] ?|\.)[A-Za-z]{2,24}\b",
        by_form,
    ),
    Kind(
        "iban",
        _PII,
        rf"\b(?:{_COUNTRIES})[0-9]{{2}}(?:[ -]?[A-Z0-9]){{11,30}}|\b(?i:{_COUNTRIES})[0-9]{{2}}[a-z0-9]{{11,30}}\b",
        _iban,
    ),
    Kind(
        "us_ssn",
        _PHI,
        rf"\b[0-9]{{3}}-[0-9]{{2}}-[0-9]{{4}}\b"
        rf"|\b(?i:ssn|social[ _-]?security(?:[ _-]n(?:umber|o\.?))?){_GAP}[0-9]{{3}}[ -]?[0-9]{{2}}[ -]?[0-9]{{4}}\b",
        _social_security,
    ),
    Kind(
        "nhs_number",
        _PHI,
        rf"\b[0-9]{{3}} [0-9]{{3}} [0-9]{{4}}\b"
        rf"|\b(?i:nhs(?:[ _-]n(?:umber|o\.?))?){_GAP}[0-9]{{3}}[ -]?[0-9]{{3}}[ -]?[0-9]{{4}}\b",
        _nhs,
    ),
    Kind("payment_card", _PII, r"\b[2-6][0-9]{3}(?:[ .\-/]?[0-9]){9,27}", _card),
    Kind("phone", _PII, "|".join(_PHONES), _phone),
    Kind(
        "medical_record",
        _PHI,
        r"\b(?i:mrn|medical[ _-]record(?:[ _-]n(?:umber|o\.?))?|patient[ _-]?(?:id|number|no\.?)|chart[ _-]no\.?)"
        rf"{_GAP}[A-Za-z]{{0,3}}-?[0-9][0-9-]{{3,14}}\b",
        _behind_label,
    ),
    Kind(
        "medicare_id",
        _PHI,
        r"\b[1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-?[AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]"
        r"-?[AC-HJKMNP-RT-Y]{2}[0-9]{2}\b",
        _code,
    ),
    Kind(
        "icd_code",
        _PHI,
        r"\b(?i:icd(?:-?(?:9|10|11))?(?:-?cm)?(?:[ _-]?codes?)?|diagnos[ie]s(?:[ _-]?codes?)?|dx)"
        rf"{_GAP}[A-TV-Z][0-9][0-9A-Z](?:\.[0-9A-Z]{{1,4}})?\b",
        _behind_label,
    ),
    Kind(
        "birth_date",
        _PII,
        rf"\b(?i:dob|date[ _-]of[ _-]birth|birth[ _-]?da(?:te|y)){_GAP}"
        r"(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/. ](?:[0-9]{1,2}|[A-Za-z]{3,9})[-/. ][0-9]{2,4})\b",
        _behind_label,
    ),
)
_HOUSE = ("internal", "corp", "local", "lan", "intranet", "localdomain", r"home\.arpa", r"svc\.cluster\.local")


def internal_hosts(globs: Iterable[str], *, endings: bool) -> Kind:
    """Names in the house: the operator's own globs, and the `endings` that no public name has."""
    forms = [rf"\b[A-Za-z0-9_][A-Za-z0-9_.-]*\.(?i:{'|'.join(_HOUSE)})\b"] if endings else []
    return Kind("internal_host", _HOST, "|".join([*forms, *map(_glob, globs)]), _internal, END)


def _glob(glob: str) -> str:
    """`*` stands for any part of one label or of several, as names are written."""
    return "(?i:" + "".join("[A-Za-z0-9_.-]{1,120}" if char == "*" else re.escape(char) for char in glob) + ")"


def _stated(_: bytes, start: int, end: int) -> tuple[int, int, bool]:
    """The operator said so."""
    return start, end, True


def own(kind: str, family: FindingClass, pattern: str) -> Kind:
    """A kind that the operator adds. `^` and `$` are those of a line, for strings are searched as lines of one text."""
    return Kind(kind, family, f"(?m:{pattern})", _stated)
