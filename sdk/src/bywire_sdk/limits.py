"""Every limit of the client, with its name and default: nothing that comes from outside is unbounded."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Times in seconds, sizes in bytes.

    `answer_seconds` bounds one request from its first byte to the last of the answer, however slowly that drips.
    `result_bytes_max` bounds what is reported of a function's result; a larger one is run, not kept.
    `report_attempts` is how often a report is tried, with pauses from `poll_first_seconds` that double up to
    `poll_most_seconds`; waiting for a person polls in the same rhythm.
    """

    connect_seconds: float = 5.0
    answer_seconds: float = 90.0
    connections_max: int = 16
    connection_idle_seconds: float = 20.0
    request_bytes_max: int = 262_144
    response_bytes_max: int = 4_194_304
    result_bytes_max: int = 65_536
    depth_max: int = 48
    token_bytes_max: int = 16_384
    report_attempts: int = 4
    poll_first_seconds: float = 0.25
    poll_most_seconds: float = 10.0
    resumes_max: int = 100
