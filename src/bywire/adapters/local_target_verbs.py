"""The control protocol of the local target: one JSON object a line, one answer a line, over a Unix domain socket.

A request is {"verb": ..., fields}; unknown verbs and fields are refused. An answer is {"ok": true, "result": {...}} or
{"ok": false, "error": {"code", "message", "next_step"}}. Verbs that change exposure carry `key` (idempotency), `epoch`
(fencing: the highest seen wins) and `expect_version` (the version that the caller decided on).
"""

from typing import Annotated

import msgspec

from bywire.model.intent import StartCommand

LINE_BYTES_MAX = 65_536
TELEMETRY_ROWS_MAX = 4_000
LEASE_SECONDS_MAX = 600.0

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Counter = Annotated[int, msgspec.Meta(ge=0)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Lease = Annotated[float, msgspec.Meta(gt=0, le=LEASE_SECONDS_MAX)]
HeaderName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Segment = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Segments = Annotated[tuple[Segment, ...], msgspec.Meta(max_length=32)]
RequestPath = Annotated[str, msgspec.Meta(pattern=r"^/[!-~]{0,1023}$")]


class _Verb(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="verb"):
    pass


class Status(_Verb, frozen=True, tag="status"):
    """What runs, at which version."""


class Stage(_Verb, frozen=True, tag="stage"):
    """Launch a release as canary at weight 0 and wait until it is ready."""

    key: Key
    epoch: Counter
    expect_version: Counter
    digest: Digest
    artifact_dir: str
    start: StartCommand
    env: dict[str, str] = {}


class SetWeight(_Verb, frozen=True, tag="set_weight"):
    """Give the canary a share of traffic under a lease."""

    key: Key
    epoch: Counter
    expect_version: Counter
    digest: Digest
    weight: Percent
    segments: Segments
    lease_seconds: Lease


class Renew(_Verb, frozen=True, tag="renew"):
    """Extend a lease that has not expired."""

    epoch: Counter
    digest: Digest
    lease_seconds: Lease


class Warm(_Verb, frozen=True, tag="warm"):
    """POST a path to the canary's instance before exposure."""

    key: Key
    epoch: Counter
    digest: Digest
    path: RequestPath
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=600)]


class Promote(_Verb, frozen=True, tag="promote"):
    """The canary becomes stable; the previous stable is kept as last good."""

    key: Key
    epoch: Counter
    expect_version: Counter
    digest: Digest


class Retreat(_Verb, frozen=True, tag="retreat"):
    """All traffic to `digest_to`, which is stable or last good; the canary stops. Needs no `expect_version`."""

    key: Key
    epoch: Counter
    digest_to: Digest


class Settle(_Verb, frozen=True, tag="settle"):
    """Stop superseded instances; last good stays recorded and can be restarted."""

    epoch: Counter


class Query(_Verb, frozen=True, tag="query"):
    """The recorded result of a key, or null."""

    key: Key


class History(_Verb, frozen=True, tag="history"):
    """The changes that the target remembers, oldest first."""


class Telemetry(_Verb, frozen=True, tag="telemetry"):
    """Closed intervals from `since_interval` on."""

    since_interval: Counter


class Configure(_Verb, frozen=True, tag="configure"):
    """How requests are told apart and judged. Refused while a canary has traffic."""

    segment_header: HeaderName = "x-client-segment"
    segments: Segments = ()
    slow_threshold_ms: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    interval_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=3_600)] = 1.0
    user_header: HeaderName = "x-user-id"


class Shutdown(_Verb, frozen=True, tag="shutdown"):
    """End every instance and the target."""


Keyed = Stage | SetWeight | Warm | Promote | Retreat
Verb = Keyed | Status | Renew | Settle | Query | History | Telemetry | Configure | Shutdown
