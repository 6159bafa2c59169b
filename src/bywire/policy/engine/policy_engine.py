"""The policy decision point: regorus in process, one thread a bundle, failing closed (RULES 7, 8).

A decision is a function of engine version, bundle digest, entrypoint and input digest. The engine decides exactly the
bytes whose digest it names. The interpreter is used rather than regorus's faster virtual machine: it raises where the
virtual machine answers `undefined` (failing built-ins, conflicting rules), and a deny rule that quietly vanishes is the
one thing that must not happen. The one exception is the short way of reads, which nothing that vanishes can widen
(`read_path`).
"""

import asyncio
import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from bywire.model.decision import Decision, Effect, Reason
from bywire.model.errors import BywireError, PolicyError
from bywire.policy import lint
from bywire.policy.bundle import Bundle
from bywire.policy.engine.canonical_input import canonical_input
from bywire.policy.engine.decider import Decider
from bywire.policy.engine.interpreter import Compiled, UndefinedError
from bywire.seal.digest import sha256_hex

ENGINE_VERSION = f"bywire-policy/1 regorus/{importlib.metadata.version('gordon-to-regorus')}"
INPUT_BYTES_MAX = 256 * 1024
DETAIL_CHARS_MAX = 200

# The rules that the engine itself fires. All are hard: where nothing was decided there is nothing to approve.
RULES = ("engine.error", "engine.input_too_large", "engine.shape", "engine.undefined")

_ABORTS = (KeyboardInterrupt, SystemExit, asyncio.CancelledError)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape that an entrypoint must answer with."""

    effect: Effect
    reasons: tuple[Reason, ...]
    obligations: tuple[dict[str, Any], ...]
    tier: Literal["trivial", "low", "medium", "high"]
    required: dict[str, Any]


_DOCUMENT = msgspec.json.Decoder(_Document)
_NAMES = msgspec.json.Encoder()


class _RefusalError(Exception):
    """The engine's own no, on its way to becoming a Decision."""

    def __init__(self, rule: str, facts: dict[str, Any]) -> None:
        super().__init__(rule)
        self.reason = Reason(rule, facts, hard=True)


class PolicyEngine:
    """Decides. Safe to share between threads.

    `on_abort` receives the deny that was being made when the thread was told to stop (KeyboardInterrupt, SystemExit,
    CancelledError), before that exception goes on. `linted` says that this very bundle passed the lint of this engine
    version before. Raises PolicyError when `bundle` does not pass the lint.
    """

    def __init__(
        self, bundle: Bundle, *, linted: bool = False, on_abort: Callable[[Decision], None] | None = None
    ) -> None:
        self._on_abort = on_abort
        self._decider = Decider(_compiled(bundle, linted=linted))

    @property
    def bundle_digest(self) -> str:
        """The digest of the bundle in force."""
        return self._decider.compiled.digest

    def prepare(self, bundle: Bundle, *, linted: bool = False) -> Decider:
        """Make another bundle ready on a thread of its own, while this one goes on deciding; `adopt` puts it in force.

        Raises PolicyError when `bundle` does not pass the lint or cannot be loaded.
        """
        successor = Decider(_compiled(bundle, linted=linted))
        try:
            successor.prepare()
        except _ABORTS:
            raise
        except BaseException as error:  # a panic, too
            raise PolicyError(
                f"the policy bundle cannot be loaded: {_detail(error)['detail']}",
                code="policy_crashed",
                next_step="the bundle before it stays in force; correct this one",
            ) from error
        return successor

    def adopt(self, successor: Decider) -> None:
        """Put a prepared bundle in force between two decisions; a call already running ends under its own."""
        self._decider = successor

    def swap(self, bundle: Bundle, *, linted: bool = False) -> None:
        """Prepare and adopt. Raises PolicyError and changes nothing when `bundle` is not fit to decide."""
        self.adopt(self.prepare(bundle, linted=linted))

    def release(self) -> None:
        """End the thread that decides; the next question starts it again."""
        self._decider.release()

    def decide(self, entrypoint: str, question: Mapping[str, Any]) -> Decision:
        """Answer `entrypoint` (`data.bywire.action.decision`) for an input document; a broken policy is a deny."""
        return self._decide(entrypoint, lambda: canonical_input(question))

    def decide_canonical(self, entrypoint: str, canonical: bytes) -> Decision:
        """The same for bytes that `canonical_input` made, for a caller that keeps them beside the decision."""
        return self._decide(entrypoint, lambda: canonical)

    def replay(self, entrypoint: str, input_json: bytes) -> Decision:
        """Decide a recorded input again. The same engine version and bundle give the same Decision, bit for bit."""
        return self._decide(entrypoint, lambda: canonical_input(msgspec.json.decode(input_json, type=dict[str, Any])))

    def _decide(self, entrypoint: str, encode: Callable[[], bytes]) -> Decision:
        decider = self._decider
        compiled, input_digest = decider.compiled, ""
        try:
            canonical = encode()
            input_digest = sha256_hex(canonical)
            document = _evaluate(decider, entrypoint, canonical)
        except _RefusalError as refusal:
            return _decision(compiled, entrypoint, input_digest, Effect.DENY, (refusal.reason,))
        except BaseException as error:  # the engine's panics are BaseExceptions; every way out is a deny
            reason = Reason("engine.error", _detail(error), hard=True)
            denied = _decision(compiled, entrypoint, input_digest, Effect.DENY, (reason,))
            if isinstance(error, _ABORTS):
                if self._on_abort is not None:
                    self._on_abort(denied)
                raise
            return denied
        return _decision(compiled, entrypoint, input_digest, document.effect, document.reasons, document.obligations)


def _evaluate(decider: Decider, entrypoint: str, canonical: bytes) -> _Document:
    if len(canonical) > INPUT_BYTES_MAX:
        raise _RefusalError("engine.input_too_large", {"bytes": len(canonical), "limit": INPUT_BYTES_MAX})
    if entrypoint not in decider.compiled.entrypoints:
        raise _RefusalError("engine.undefined", {"entrypoint": entrypoint})
    try:
        document = _DOCUMENT.decode(decider.ask(entrypoint, canonical.decode()))
    except UndefinedError as error:
        raise _RefusalError("engine.undefined", {"entrypoint": entrypoint}) from error
    except msgspec.DecodeError as error:
        raise _RefusalError("engine.shape", {"entrypoint": entrypoint, "detail": str(error)}) from error
    if not document.reasons:
        raise _RefusalError("engine.shape", {"entrypoint": entrypoint, "detail": "no reason given"})
    return document


def _compiled(bundle: Bundle, *, linted: bool) -> Compiled:
    if not linted:
        lint.check(bundle)
    return Compiled.of(bundle)


def _decision(
    compiled: Compiled,
    entrypoint: str,
    input_digest: str,
    effect: Effect,
    reasons: tuple[Reason, ...],
    obligations: tuple[dict[str, Any], ...] = (),
) -> Decision:
    # An array of plain ASCII strings is JCS in this encoding already.
    named = _NAMES.encode((ENGINE_VERSION, compiled.digest, entrypoint, input_digest))
    return Decision(
        id=sha256_hex(named)[:32],
        effect=effect,
        reasons=reasons,
        obligations=obligations,
        engine=ENGINE_VERSION,
        bundle_digest=compiled.digest,
        entrypoint=entrypoint,
        input_digest=input_digest,
    )


def _detail(error: BaseException) -> dict[str, Any]:
    """What broke, without stack traces: regorus appends one to every message."""
    text = error.message if isinstance(error, BywireError) else str(error)
    summary = " ".join(text.split("\n\nStack backtrace")[0].split())
    return {"error": type(error).__name__, "detail": summary[:DETAIL_CHARS_MAX]}
