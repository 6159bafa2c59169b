"""`inspection` of gateway.yaml: what else is sensitive here, which names stay in the house, how much is looked through.

Patterns are RE2, so that no pattern and no text together take long; a wrong one is refused with the reason RE2 gives.
"""

from bywire.config.reading import Node, read_optional
from bywire.gateway.sensitive_pattern import PATTERN_CHARS_MAX, PatternError, operators_pattern
from bywire.gateway.sensitive_personal import PERSONAL
from bywire.gateway.sensitive_secrets import SECRETS
from bywire.model.gateway_inspection import (
    BYTES_MAX,
    DEPTH_MAX,
    FindingClass,
    InspectionSettings,
    SensitivePattern,
)

PATTERNS_MAX = 64
# Instructions of all patterns; bywire's own have about twenty thousand.
PROGRAMS_SIZE_MAX = 40_000
INTERNAL_HOSTS_MAX = 64
DEPTH_BOUNDS = (2, 64)
BYTES_BOUNDS = (1_024, 1_048_576)
_KEYS = ("patterns", "internal_hosts", "kept", "depth_max", "bytes_max")
_KIND = r"[a-z][a-z0-9_]{1,31}"
_GLOB = r"(?:[A-Za-z0-9_*-]{1,63}\.){1,10}[A-Za-z][A-Za-z0-9-]{0,62}"
_CLASSES = ("secret", "pii", "phi", "host")
KINDS_KEPT = (*dict.fromkeys(kind.name for kind in PERSONAL), "internal_host")
_KINDS_TAKEN = {*(kind.name for kind in (*SECRETS, *PERSONAL)), "internal_host", "named_secret", "secret"}


def read_inspection(node: Node) -> InspectionSettings:
    """Raises FieldError naming the first fault."""
    fields = node.fields(_KEYS)
    return InspectionSettings(
        patterns=read_optional(fields, "patterns", _patterns, ()),
        internal_hosts=read_optional(fields, "internal_hosts", _internal_hosts, ()),
        kept=read_optional(fields, "kept", _kept, ()),
        depth_max=read_optional(fields, "depth_max", lambda item: item.integer(*DEPTH_BOUNDS, "levels"), DEPTH_MAX),
        bytes_max=read_optional(fields, "bytes_max", lambda item: item.integer(*BYTES_BOUNDS, "bytes"), BYTES_MAX),
    )


def _patterns(node: Node) -> tuple[SensitivePattern, ...]:
    found: list[SensitivePattern] = []
    for item in node.items("patterns", least=0, most=PATTERNS_MAX):
        one = _pattern(item)
        if any(one.kind == other.kind for other in found):
            raise item.refuse(f"{one.kind} is defined twice", "join both patterns with |")
        found.append(one)
    if sum(operators_pattern(one.pattern).size for one in found) > PROGRAMS_SIZE_MAX:
        raise node.refuse("the patterns are too large together", "write shorter repeats, or fewer patterns")
    return tuple(found)


def _pattern(node: Node) -> SensitivePattern:
    fields = node.fields(("kind", "pattern", "class"), required=("kind", "pattern"))
    kind = fields["kind"].text("a kind such as customer_id", pattern=_KIND)
    if kind in _KINDS_TAKEN:
        raise fields["kind"].refuse(f"{kind} is a kind of bywire's own", "choose another name")
    text = fields["pattern"].text("an RE2 pattern", most=PATTERN_CHARS_MAX)
    try:
        operators_pattern(text)
    except PatternError as error:
        raise fields["pattern"].refuse(
            f"no usable RE2 pattern: {error}",
            "see github.com/google/re2/wiki/Syntax: no look-around, no back references",
        ) from error
    family = read_optional(fields, "class", lambda item: item.choice(_CLASSES), "pii")
    return SensitivePattern(kind=kind, pattern=text, family=FindingClass(family))


def _internal_hosts(node: Node) -> tuple[str, ...]:
    globs = node.items("names or globs of hosts", least=0, most=INTERNAL_HOSTS_MAX, distinct=True)
    what = "a host name, where * stands for any part: *.shop.example"
    return tuple(item.text(what, pattern=_GLOB, most=253) for item in globs)


def _kept(node: Node) -> tuple[str, ...]:
    kinds = node.items("kinds", least=0, most=len(KINDS_KEPT), distinct=True)
    return tuple(item.choice(KINDS_KEPT) for item in kinds)
