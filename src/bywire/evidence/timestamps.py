"""Milliseconds to RFC 3339: documents of the field want text, the house counts milliseconds."""

import datetime as dt


def rfc3339(at_ms: int) -> str:
    """`at_ms` (ms since the epoch) as UTC with milliseconds, e.g. `2026-11-21T09:00:00.000Z` (RFC 3339)."""
    seconds, milliseconds = divmod(at_ms, 1000)
    moment = dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"
