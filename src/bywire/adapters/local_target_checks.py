"""The refusals of the local target as pure functions: fencing, versions, idempotency, well-formed releases."""

import hashlib
import re
from typing import Any

import msgspec

from bywire.adapters import local_target_verbs as verbs
from bywire.adapters.local_target_state import TargetState
from bywire.model.errors import TargetError

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_ENV_MAX = 64
_ENV_BYTES_MAX = 16_384
_ARGUMENTS_MAX = 64
_PATH = re.compile(r"/[!-~]{0,1023}")
_READY_SECONDS_MAX = 300


def digest_of(request: verbs.Keyed) -> str:
    """What a repetition must equal: every field but the epoch, which a successor may raise."""
    plain = msgspec.structs.replace(request, epoch=0)
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def recorded_result(state: TargetState, request: verbs.Keyed) -> dict[str, Any] | None:
    """The result of an earlier request with this key, or None. Raises its recorded error, or `idempotency_conflict`."""
    record = state.records.get(request.key)
    if record is None:
        return None
    if record.request_digest != digest_of(request):
        raise TargetError(
            f"key {request.key} was used for another request",
            code="idempotency_conflict",
            next_step="Use a new key for a new request.",
        )
    if record.error is not None:
        message, code, next_step = (record.error[name] for name in ("message", "code", "next_step"))
        raise TargetError(message, code=code, next_step=next_step)
    return record.result if record.done else None


def check_epoch(state: TargetState, epoch: int) -> None:
    """Raise `fenced` when a controller with a higher epoch was seen."""
    if epoch < state.epoch:
        raise TargetError(
            f"epoch {epoch} is fenced off by epoch {state.epoch}",
            code="fenced",
            next_step="Another controller has taken over; this one must stop.",
        )


def check_version(state: TargetState, expected: int) -> None:
    """Raise `precondition_failed` when the target moved since the caller looked."""
    require(expected == state.version, f"the target is at version {state.version}, not {expected}")


def require(condition: bool, message: str) -> None:
    """Raise `precondition_failed` unless `condition`."""
    if not condition:
        raise TargetError(message, code="precondition_failed", next_step="Read status and decide again.")


def check_release(request: verbs.Stage, *, is_directory: bool) -> None:
    """Raise `invalid_request` when a release could not be started as described."""
    start = request.start
    wrong = (
        "artifact_dir is not an absolute directory" if not is_directory
        else "start.run is empty or too long" if not 0 < len(start.run) <= _ARGUMENTS_MAX
        else "start.ready is not a path" if not _PATH.fullmatch(start.ready)
        else "start.port_env is not a variable name" if not _ENV_NAME.fullmatch(start.port_env)
        else "start.ready_timeout_seconds is out of range" if not 0 < start.ready_timeout_seconds <= _READY_SECONDS_MAX
        else "env is too large" if len(request.env) > _ENV_MAX or sum(map(len, request.env.values())) > _ENV_BYTES_MAX
        else "env has a malformed name" if not all(map(_ENV_NAME.fullmatch, request.env))
        else ""
    )  # fmt: skip
    if wrong:
        raise TargetError(wrong, code="invalid_request", next_step="Correct the request.")
