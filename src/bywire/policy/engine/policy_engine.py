"""The policy decision point: regorus in process, one engine per thread, failing closed (RULES 7, 8).

A decision is a function of engine version, bundle digest, entrypoint and input digest. The engine decides exactly the
bytes whose digest it names. The interpreter is used rather than regorus's faster virtual machine: it raises where the
virtual machine answers `undefined` (failing built-ins, conflicting rules), and a deny rule that quietly vanishes is the
one thing that must not happen.
"""

import asyncio
import importlib.metadata
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import regorus

from bywire.model.decision import Decision, Effect, Reason
from bywire.model.errors import BywireError
from bywire.policy import lint
from bywire.policy.bundle import Bundle
from bywire.policy.engine.canonical_input import canonical_input
from bywire.seal.digest import sha256_hex

ENGINE_VERSION = f"bywire-policy/1 regorus/{importlib.metadata.version('gordon-to-regorus')}"
INPUT_BYTES_MAX = 256 * 1024
DETAIL_CHARS_MAX = 200

# The rules that the engine itself fires. All are hard: where nothing was decided there is nothing to approve.
RULES = ("engine.error", "engine.input_too_large", "engine.shape", "engine.undefined")

_ABORTS = (KeyboardInterrupt, SystemExit, asyncio.CancelledError)
_UNDEFINED = '"<undefined>"'


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape that an entrypoint must answer with."""

    effect: Effect
    reasons: tuple[Reason, ...]
    obligations: tuple[dict[str, Any], ...]
    tier: Literal["trivial", "low", "medium", "high"]
    required: dict[str, Any]


_DOCUMENT = msgspec.json.Decoder(_Document)
_NAMES = msgspec.json.Encoder()


class _Active(msgspec.Struct, frozen=True):
    """An immutable reference to what is in force; swapped whole."""

    digest: str
    modules: tuple[tuple[str, str], ...]
    data_json: str
    entrypoints: frozenset[str]


class _RefusalError(Exception):
    """The engine's own no, on its way to becoming a Decision."""

    def __init__(self, rule: str, facts: dict[str, Any]) -> None:
        super().__init__(rule)
        self.reason = Reason(rule, facts, hard=True)


class PolicyEngine:
    """Decides. Safe to share between threads; each thread builds an engine of its own on first use.

    `on_abort` receives the deny that was being made when the thread was told to stop (KeyboardInterrupt, SystemExit,
    CancelledError), before that exception goes on. Raises PolicyError when `bundle` does not pass the lint.
    """

    def __init__(self, bundle: Bundle, *, on_abort: Callable[[Decision], None] | None = None) -> None:
        self._on_abort = on_abort
        self._local = threading.local()
        self._active = _checked(bundle)

    @property
    def bundle_digest(self) -> str:
        """The digest of the bundle in force."""
        return self._active.digest

    def swap(self, bundle: Bundle) -> None:
        """Put another bundle in force. A call already running ends under the digest it began with.

        Raises PolicyError and changes nothing when `bundle` does not pass the lint.
        """
        self._active = _checked(bundle)

    def release(self) -> None:
        """Let go of this thread's engine: it must die where it was built, and the collector may run anywhere."""
        self._local.held = None

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
        active = self._active
        input_digest = ""
        try:
            canonical = encode()
            input_digest = sha256_hex(canonical)
            document = self._evaluate(active, entrypoint, canonical)
        except _RefusalError as refusal:
            return _decision(active, entrypoint, input_digest, Effect.DENY, (refusal.reason,))
        except BaseException as error:  # the engine's panics are BaseExceptions; every way out is a deny
            self._local.held = None
            reason = Reason("engine.error", _detail(error), hard=True)
            denied = _decision(active, entrypoint, input_digest, Effect.DENY, (reason,))
            if isinstance(error, _ABORTS):
                if self._on_abort is not None:
                    self._on_abort(denied)
                raise
            return denied
        return _decision(active, entrypoint, input_digest, document.effect, document.reasons, document.obligations)

    def _evaluate(self, active: _Active, entrypoint: str, canonical: bytes) -> _Document:
        if len(canonical) > INPUT_BYTES_MAX:
            raise _RefusalError("engine.input_too_large", {"bytes": len(canonical), "limit": INPUT_BYTES_MAX})
        if entrypoint not in active.entrypoints:
            raise _RefusalError("engine.undefined", {"entrypoint": entrypoint})
        engine = self._engine(active)
        engine.set_input_json(canonical.decode())
        answer = engine.eval_rule_as_json(entrypoint)
        if answer == _UNDEFINED:
            raise _RefusalError("engine.undefined", {"entrypoint": entrypoint})
        try:
            document = _DOCUMENT.decode(answer)
        except msgspec.DecodeError as error:
            raise _RefusalError("engine.shape", {"entrypoint": entrypoint, "detail": str(error)}) from error
        if not document.reasons:
            raise _RefusalError("engine.shape", {"entrypoint": entrypoint, "detail": "no reason given"})
        return document

    def _engine(self, active: _Active) -> Any:
        """This thread's engine for `active`, built when there is none; engines never cross threads."""
        held = getattr(self._local, "held", None)
        if held is None or held[0] is not active:
            engine = regorus.Engine()
            for path, source in active.modules:
                engine.add_policy(path, source)
            engine.add_data_json(active.data_json)
            held = (active, engine)
            self._local.held = held
        return held[1]


def _checked(bundle: Bundle) -> _Active:
    lint.check(bundle)
    return _Active(
        digest=bundle.digest,
        modules=tuple((module.path, module.source) for module in bundle.modules),
        data_json=bundle.data_json(),
        entrypoints=frozenset(bundle.manifest.entrypoints),
    )


def _decision(
    active: _Active,
    entrypoint: str,
    input_digest: str,
    effect: Effect,
    reasons: tuple[Reason, ...],
    obligations: tuple[dict[str, Any], ...] = (),
) -> Decision:
    # An array of plain ASCII strings is JCS in this encoding already.
    named = _NAMES.encode((ENGINE_VERSION, active.digest, entrypoint, input_digest))
    return Decision(
        id=sha256_hex(named)[:32],
        effect=effect,
        reasons=reasons,
        obligations=obligations,
        engine=ENGINE_VERSION,
        bundle_digest=active.digest,
        entrypoint=entrypoint,
        input_digest=input_digest,
    )


def _detail(error: BaseException) -> dict[str, Any]:
    """What broke, without stack traces: regorus appends one to every message."""
    text = error.message if isinstance(error, BywireError) else str(error)
    summary = " ".join(text.split("\n\nStack backtrace")[0].split())
    return {"error": type(error).__name__, "detail": summary[:DETAIL_CHARS_MAX]}
