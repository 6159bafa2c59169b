"""What the gateway looks for in parameters and texts, as an operator sets it, and what it found there.

A finding names a kind and a place. It never carries a value, not even a part or a length of one.
"""

from enum import StrEnum

import msgspec

DEPTH_MAX = 16
BYTES_MAX = 65_536


class FindingClass(StrEnum):
    """What a finding means to a rule: something to keep to oneself, or something that may do harm."""

    SECRET = "secret"  # noqa: S105 - a class of findings
    PII = "pii"
    PHI = "phi"
    ENCODED = "encoded"
    SHELL = "shell"
    PATH = "path"
    HOST = "host"
    SIZE = "size"


class SensitivePattern(msgspec.Struct, frozen=True):
    """A kind that the operator adds: customer ids, case numbers. `pattern` is RE2; `family` is the finding's class."""

    kind: str
    pattern: str
    family: FindingClass = FindingClass.PII


class InspectionSettings(msgspec.Struct, frozen=True):
    """Section `inspection` of gateway.yaml.

    `internal_hosts`: globs of names that stay in the house, beside `.internal`, `.corp`, `.local` and the like.
    `kept`: kinds of pii, phi or host that stay readable in records, logs and answers; a secret is never among them.
    `depth_max` bounds nesting, of values and of encodings; `bytes_max` bounds all strings of one call together.
    """

    patterns: tuple[SensitivePattern, ...] = ()
    internal_hosts: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    depth_max: int = DEPTH_MAX
    bytes_max: int = BYTES_MAX


class Finding(msgspec.Struct, frozen=True, order=True):
    """One thing found in a call: `parameter` is a path such as `a.b[0]`; `certain` when its form alone tells it."""

    parameter: str
    kind: str
    family: FindingClass = msgspec.field(name="class")
    certain: bool = True
