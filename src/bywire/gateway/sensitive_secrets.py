"""Secrets: keys and tokens by the form their issuers gave them, and what stands behind a name that means secret.

A form is matched wherever it stands, in the middle of a word too, where its prefix is unmistakable. When in doubt a
text is taken for a secret; what is left alone is listed in `_is_no_secret`.
"""

import re

from bywire.gateway.sensitive_checks import is_random
from bywire.gateway.sensitive_kinds import Kind, by_form, guessed, secrets
from bywire.model.gateway_inspection import FindingClass

QUOTE = r"\\{0,4}[\"']?"
ASSIGN = r"\s{0,4}(?:=>|:=|[=:])\s{0,4}"
_VALUE = r"(?:\\{0,4}\"[^\"\n]+|\\{0,4}'[^'\n]+|[^\s\"',;&]{4,})"
NAME = r"(?i:pass(?:word|wd|phrase|code)|secret|token|credential|(?:api|access|private|client|account)[_-]?key)"
NAMED = rf"{NAME}[A-Za-z0-9_-]{{0,32}}"
_AFTER_NAME = r"[A-Za-z0-9_-]{0,32}"
_KEY_NAME = "[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?"
_DATABASE = (
    r"(?i:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|sqlserver|clickhouse|cassandra|nats|ldaps?)"
    r"(?:\+[a-z0-9]{1,16})?"
)

_BY_FORM = (
    # Whatever follows BEGIN goes, up to the next five dashes: a body that somebody garbled is still a body.
    (
        "private_key",
        rf"-----BEGIN {_KEY_NAME}-----(?:[^-]|-{{1,4}}[^-])*(?:-----END {_KEY_NAME}-----)?",
    ),
    ("age_key", r"AGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    ("gcp_key", r"AIza[A-Za-z0-9_-]{35}"),
    ("gcp_token", r"ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"),
    ("azure_secret", r"[78]Q~[A-Za-z0-9_~.-]{31,}"),
    ("azure_key", r"(?i:(?:Account|SharedAccess)Key)=[A-Za-z0-9+/%]{30,}={0,2}"),
    ("azure_signature", r"[?&](?i:sig)=[A-Za-z0-9+/%]{40,}={0,2}"),
    ("github_token", r"gh[pousr]_[A-Za-z0-9_]{36,}|github_pat_[A-Za-z0-9_]{22,}"),
    ("gitlab_token", r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt|ffct|oas)-[A-Za-z0-9_-]{20,}"),
    ("slack_token", r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{20,}"),
    ("slack_webhook", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,}"),
    ("stripe_key", r"(?:\b|_)(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{24,}"),
    ("npm_token", r"npm_[A-Za-z0-9]{36,}"),
    ("pypi_token", r"pypi-[A-Za-z0-9_-]{50,}"),
    ("docker_token", r"dckr_[a-z]{3}_[A-Za-z0-9_-]{20,}"),
    ("vault_token", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}"),
    ("terraform_token", r"\.atlasv1\.[A-Za-z0-9_=-]{40,}"),
    ("sendgrid_key", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("twilio_key", r"\bSK[0-9a-f]{32}\b"),
    ("mailgun_key", r"\bkey-[0-9a-f]{32}\b"),
    ("telegram_token", r":AA[A-Za-z0-9_-]{33}"),
    ("huggingface_token", r"(?:\b|_)hf_[A-Za-z0-9]{30,}"),
    ("digitalocean_token", r"do[opr]_v1_[0-9a-f]{64}"),
    ("shopify_token", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("grafana_token", r"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|glc_[A-Za-z0-9+/=]{32,}"),
    ("new_relic_key", r"NRAK-[A-Z0-9]{27}"),
    ("datadog_key", r"(?:\b|_)dd[ap]pk?_[A-Za-z0-9]{30,}"),
    ("atlassian_token", r"ATATT3[A-Za-z0-9_=-]{50,}"),
    ("linear_key", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}"),
    ("notion_key", r"(?:\b|_)ntn_[A-Za-z0-9]{40,}"),
    ("doppler_token", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9]{40,}"),
    ("databricks_token", r"\bdapi[0-9a-f]{32}\b"),
    ("discord_webhook", r"discord(?:app)?\.com/api/webhooks/[0-9]{16,20}/[A-Za-z0-9_-]{40,}"),
    # The password goes up to the last @ of the word: the ones that people use hold slashes.
    ("connection_string", rf"{_DATABASE}://[^\s/:@\"'<>]*:[^\s\"'<>]*@"),
    ("connection_string", r"jdbc:oracle:[a-z0-9]{1,8}:[^\s/\"']{1,64}/[^\s@\"']{1,128}@"),
    ("connection_string", r":[^\s@/\"':]+@(?:tcp|unix|udp)\("),
    ("connection_string", r"(?i:;\s{0,4}pwd\s{0,4}=\s{0,4})[^;\"'\s]{1,256}"),
    ("url_credential", r"://[^\s/:@]*:[^\s/@]+@"),
)
_AWS_ID, _AWS_SECRET = 20, 40
_SECRET_BESIDE = re.compile(rb"[A-Za-z0-9+/]{40,}\Z")
_PROSE = re.compile(rb"[a-z]{1,19}\Z")
# A word that says that there is no value, or what stands for one: a variable, a template, a mark.
_SOURCE = re.compile(
    rb"""(?i:null|none|nil|true|false|yes|no|undefined|required|optional|missing|invalid|expired|redacted|empty|unset|unknown
    |string|str|bytes|bool|int|any|x{3,}|[*.-]{3,})\Z
    |\$[A-Z_][A-Z0-9_]{0,63}\Z|%[A-Z_][A-Z0-9_]{0,63}%\Z|[$#]\{[A-Za-z_][A-Za-z0-9_.:-]{0,63}\}\Z
    |\$?\{\{[^{}\n]{1,96}\}\}\Z|<[A-Za-z_. -]{1,40}>\Z|\[[a-z_]{1,40}\]?\Z
    |(?:process\.env|secrets|env|vars?)\.[A-Z0-9_]{1,64}\Z|os\.(?:environ|getenv)[(\[]?\Z""",
    re.VERBOSE,
)
_COUNTED = rb"(?:[_-]?(?:count|limit|budget|used|usage|max|min|total|left))"
_COUNT_NAME = re.compile(rb"(?i)tokens" + _COUNTED + rb"*\Z|token" + _COUNTED + rb"+\Z")
_COUNT = re.compile(rb"[0-9]{1,7}(?:\.[0-9]{1,3})?(?:[kKmM]|ms|s|h)?\Z")
_TIME_NAME = re.compile(
    rb"(?i)(?:ttl|expir(?:y|es|ed|ation)|lifetime|max[_-]?age|timeout|_at|date|rotation|rotated|version)[A-Za-z_-]{0,12}\Z"
)
_TIME = re.compile(rb"[0-9]{1,10}[a-z]{0,2}\Z|[0-9]{4}-[0-9]{2}-[0-9]{2}|v?[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}\Z")
_REFERENCE_NAME = re.compile(
    rb"(?i)(?:[_-]?(?:name|ref|file|path|arn|url|uri|endpoint|type|issuer|scope|scopes|policy|status|kind|store|manager|class"
    rb"|mount|audience|id)s?)\Z"
)
_REFERENCE = re.compile(
    rb"(?:/|https?://|\./|arn:|urn:)?[a-z][a-z./:_-]*\Z|/(?:run|var|etc|home|opt|mnt|tmp)/[\w./-]*\Z|\{[a-z]+:\Z"
)
_NAME_THEN = re.compile(rb"[\\\"']*\s*(?:=>|:=|[=:]|\bis:?\s|\s)\s*[\\\"']*")
_DIGIT = re.compile(rb"[0-9]")
_ASSIGNED_NAME = re.compile(rb"-{0,2}[A-Za-z0-9_-]+")


def _aws_key(text: bytes, start: int, end: int) -> tuple[int, int, bool]:
    """A key's id, with the secret that stands beside it: forty characters that nobody wrote."""
    beside = _SECRET_BESIDE.search(text, start + _AWS_ID + 1, end)
    value = beside[0] if beside is not None else b""
    value = value.removeprefix(b"/") if len(value) > _AWS_SECRET else value
    is_secret = len(value) == _AWS_SECRET and not value.islower() and is_random(value.decode())
    return start, end if is_secret else start + _AWS_ID, True


def _model_key(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """`sk-` begins words as well: a key has a digit, a capital, or sixteen letters in a row, and is long."""
    start += text[start] == 0x5F
    return (start, end, True) if end - start >= 23 else None


def _token(text: bytes, start: int, end: int) -> tuple[int, int, bool]:
    """What begins like a web token is one for certain when it has its second part."""
    return start, end, b"." in text[start:end]


def _bearer(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """`bearer` is a word too, and a word may follow it."""
    return None if _PROSE.match(text[start:end].split()[-1]) else (start, end, False)


def _assigned(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """Unless the value says itself that it is none."""
    name = _ASSIGNED_NAME.match(text, start, end)
    gap = _NAME_THEN.match(text, name.end(), end) if name else None
    if name is None or gap is None:
        return start, end, False
    if gap.group().strip(b" \t:") == b"is" and not _DIGIT.search(text, gap.end(), end):
        return None
    return None if _is_no_secret(name.group(), text[gap.end() : end].rstrip(b"\\\"'.)],")) else (start, end, False)


def _is_no_secret(name: bytes, value: bytes) -> bool:
    """A placeholder, a count of tokens, a time, or where the secret is kept."""
    if len(value) > 128:
        return False
    if not value:
        return True
    return bool(
        _SOURCE.match(value)
        or (_COUNT_NAME.search(name) and _COUNT.match(value))
        or (_TIME_NAME.search(name) and _TIME.match(value))
        or (_REFERENCE_NAME.search(name) and _REFERENCE.match(value))
    )


def _random(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """A name that may mean a secret, with a value that nobody would write by hand and that is no digest."""
    value = text[start:end].decode("latin-1")
    value = re.split(r"=>|:=|[=:]", value, maxsplit=1)[-1].strip(" \t\"'\\")
    plain = value.replace("-", "")
    is_digest = len(plain) in {32, 40, 64, 96, 128} and all(char in "0123456789abcdefABCDEF" for char in plain)
    return None if is_digest or not is_random(value) else (start, end, False)


def _short_name(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """`pw` and what follows it, unless that is a word or the path of a working directory."""
    value = _NAME_THEN.split(text[start:end], maxsplit=1)[-1]
    return None if value.startswith(b"/") or not is_random(value.decode("latin-1")) else (start, end, False)


def _basic_login(text: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
    """`-u 1000:1000` names a user and a group."""
    login = text[start:end].split(b"u", 1)[-1].strip(b" =\"'ser")
    return None if all(part.isdigit() for part in login.split(b":")) else (start, end, False)


def is_secret_value(key: str, value: str) -> bool:
    """Whether a value under a key that means secret is one; a mark that stands for a secret is none."""
    return not _is_no_secret(key.encode("utf-8", "replace"), value.encode("utf-8", "replace"))


SECRETS = (
    Kind(
        "aws_key",
        FindingClass.SECRET,
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
        rf"(?:[ \t\"',;:|/=&\\-]{{1,8}}[A-Za-z0-9+/]{{{_AWS_SECRET},{_AWS_SECRET + 1}}})?",
        _aws_key,
    ),
    *secrets(_BY_FORM, by_form),
    Kind("jwt", FindingClass.SECRET, r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*", _token),
    Kind("model_key", FindingClass.SECRET, r"(?:\b|_)sk-[a-z_-]*(?:[0-9A-Z]|[a-z]{16})[A-Za-z0-9_-]*", _model_key),
    Kind(
        "authorization",
        FindingClass.SECRET,
        rf"(?i:authorization){QUOTE}{ASSIGN}{QUOTE}[^\s\"',;&]+(?:[ ]{{1,4}}[^\s\"',;&]+)?",
        guessed,
    ),
    Kind("authorization", FindingClass.SECRET, r"(?i:bearer)[ ]{1,4}[A-Za-z0-9._~+/=-]{8,}", _bearer),
    Kind(
        "cookie",
        FindingClass.SECRET,
        rf"\b(?i:(?:set-)?cookie){QUOTE}\s{{0,4}}[:=]\s{{0,4}}{QUOTE}[^\s\"'=;]{{1,64}}=[^\"'\r\n]{{8,}}",
        guessed,
    ),
    Kind(
        "assigned_secret", FindingClass.SECRET, rf"{NAMED}{QUOTE}(?:{ASSIGN}|\s{{1,2}}is:?\s{{1,2}}){_VALUE}", _assigned
    ),
    Kind(
        "assigned_secret",
        FindingClass.SECRET,
        rf"--[a-z0-9-]{{0,32}}{NAME}{_AFTER_NAME}[ ]{{1,4}}{QUOTE}[^\s\"'-][^\s\"']{{3,}}",
        _assigned,
    ),
    Kind(
        "assigned_secret",
        FindingClass.SECRET,
        rf"<[A-Za-z0-9:_-]{{0,32}}{NAME}{_AFTER_NAME}>[^<\s]{{4,}}",
        guessed,
    ),
    Kind("assigned_secret", FindingClass.SECRET, r"\b(?i:pwd?)\b\s{0,2}[:= ]\s{0,2}[^\s\"',;&]{6,128}", _short_name),
    Kind(
        "basic_login",
        FindingClass.SECRET,
        r"(?:\s-u\s{0,2}|--user[ =])[\"']?[A-Za-z0-9._@+-]{1,64}:[^\s\"']{1,128}",
        _basic_login,
    ),
    Kind(
        "assigned_key",
        FindingClass.SECRET,
        r"(?i:(?:key|auth|signing|signature|pwd|session|salt)[a-z0-9_-]{0,16})"
        rf"{QUOTE}\s{{0,2}}[=:]\s{{0,2}}{QUOTE}[A-Za-z0-9+/_.~-]{{20,}}={{0,2}}",
        _random,
    ),
)
