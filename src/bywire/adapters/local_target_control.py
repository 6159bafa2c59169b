"""The verbs of the local target: fenced, versioned, idempotent changes of what serves and how much of it is canary.

Every keyed verb takes the same road: recorded result, fence, version, durable intent, effect, durable result. A
retreat is the exception that only reduces exposure: it zeroes the canary's weight before it waits for anything.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters import local_target_checks as checks
from bywire.adapters import local_target_verbs as verbs
from bywire.adapters import router_http as http
from bywire.adapters.local_processes import is_directory
from bywire.adapters.local_target_history import summary, with_result, with_version
from bywire.adapters.local_target_instances import Instances
from bywire.adapters.local_target_state import (
    Record,
    Release,
    StateFile,
    TargetState,
    with_record,
    without_unused_releases,
)
from bywire.adapters.router import Router, RouterSettings
from bywire.adapters.router_backend import Backend, BackendError
from bywire.adapters.router_split import TrafficSplit
from bywire.adapters.router_telemetry import TrafficCounts
from bywire.adapters.sandbox import Sandbox
from bywire.model.errors import TargetError

Result = dict[str, Any]
_change = msgspec.structs.replace


class Control:
    """The one writer of the target's state. `stopped` is set by `shutdown`."""

    def __init__(self, file: StateFile, sandbox: Sandbox, scratch_root: Path) -> None:
        self._file = file
        self._state = file.load()
        traffic = self._state.traffic
        split = TrafficSplit(salt=bytes.fromhex(self._state.salt), stable=self._state.stable)
        self.router = Router(split, _router_settings(traffic), TrafficCounts(traffic.interval_seconds))
        self._instances = Instances(sandbox, scratch_root, self.router, lambda digest: digest == self._state.stable)
        self._writing = asyncio.Lock()
        self._exposing: asyncio.Future[TargetState] | None = None
        self.stopped = asyncio.Event()
        self._effects: dict[type, Callable[[Any], Awaitable[TargetState]]] = {
            verbs.Stage: self._stage,
            verbs.SetWeight: self._check_weight,
            verbs.Warm: self._warm,
            verbs.Promote: self._promote,
        }
        self._answers: dict[type, Callable[[Any], Result | Awaitable[Result]]] = {
            verbs.Retreat: self._retreat,
            verbs.Renew: self._renew,
            verbs.Settle: self._settle,
            verbs.Configure: self._configure,
            verbs.Status: self._status,
            verbs.Query: self._query,
            verbs.History: self._history,
            verbs.Telemetry: self._telemetry,
            verbs.Shutdown: self._shutdown,
        }

    async def recover(self, router_port: int) -> int:
        """Listen, and bring back what served before: stable, and the canary at weight 0. Returns the router's port."""
        try:
            port = await self.router.listen(router_port or self._state.router_port)
        except OSError:
            if router_port:
                raise
            port = await self.router.listen(0)
        self._commit(_change(self._state, router_port=port))
        for digest in filter(None, (self._state.stable, self._state.canary)):
            self._instances.start_soon(self._state.releases[digest])
        return port

    async def close(self) -> None:
        """Stop serving and end every instance."""
        await self.router.close()
        await self._instances.stop_all()

    async def answer(self, request: Any) -> Result:
        """Carry out one verb (a struct of `local_target_verbs`). Raises `TargetError`."""
        if type(request) in self._effects:
            return await self._keyed(request, self._effects[type(request)])
        answer = self._answers[type(request)](request)
        return await answer if isinstance(answer, Awaitable) else answer

    async def _keyed(self, request: Any, effect: Callable[[Any], Awaitable[TargetState]]) -> Result:
        """Recorded result, fence, version, intent, effect, result: in this order (RULES 11-13)."""
        async with self._writing:
            recorded = checks.recorded_result(self._state, request)
            if recorded is not None:
                return recorded
            checks.check_epoch(self._state, request.epoch)
            if not isinstance(request, verbs.Warm):
                checks.check_version(self._state, request.expect_version)
            intent = Record(checks.digest_of(request))
            self._commit(with_record(_change(self._state, epoch=request.epoch), request.key, intent))
            self._exposing = asyncio.ensure_future(effect(request))
            try:
                after = await self._exposing
            except asyncio.CancelledError:
                error = TargetError(
                    "a retreat came first", code="superseded", next_step="Read status and decide again."
                )
                self._record_error(request, error)
                raise error from None
            except TargetError as error:
                self._record_error(request, error)
                raise
            finally:
                self._exposing = None
            result = summary(after, self._state.version + 1)
            weight = request.weight if isinstance(request, verbs.SetWeight) else self._weight() if after.canary else 0.0
            self._commit(with_result(after, request, intent.request_digest, result, weight, self.router.now_ms))
            if isinstance(request, verbs.SetWeight):
                self._apply_weight(request)
            return result

    def _record_error(self, request: verbs.Keyed, error: TargetError) -> None:
        record = Record(checks.digest_of(request), done=True, error=error.as_json())
        self._commit(with_record(self._state, request.key, record))

    def _commit(self, state: TargetState) -> None:
        """Make `state` durable, then true."""
        self._file.save(state)
        self._adopt(state)

    def _adopt(self, state: TargetState) -> None:
        self._state = state
        split = self.router.split
        if split.canary != state.canary:
            split = split.without_canary_traffic()
        self.router.split = replace(split, stable=state.stable, canary=state.canary)

    async def _stage(self, request: verbs.Stage) -> TargetState:
        state = self._state
        checks.check_release(request, is_directory=is_directory(request.artifact_dir))
        checks.require(request.digest != state.stable, "this release is already stable")
        self._require_no_canary_traffic()
        for digest in filter(None, {state.canary, request.digest}):
            await self._instances.stop(digest)
        release = Release(request.digest, request.artifact_dir, request.start, request.env)
        await self._instances.ensure(release)
        releases = {**self._state.releases, request.digest: release}
        return without_unused_releases(_change(self._state, canary=request.digest, releases=releases))

    async def _check_weight(self, request: verbs.SetWeight) -> TargetState:
        self._require_canary(request.digest)
        self._instances.port(request.digest)
        return self._state

    def _apply_weight(self, request: verbs.SetWeight) -> None:
        expires = time.monotonic() + request.lease_seconds
        segments = frozenset(request.segments)
        self.router.split = replace(self.router.split, weight=request.weight, segments=segments, lease_expires=expires)

    def _renew(self, request: verbs.Renew) -> Result:
        checks.check_epoch(self._state, request.epoch)
        self._require_canary(request.digest)
        now = time.monotonic()
        if now >= self.router.split.lease_expires:
            raise TargetError(
                "the lease has expired and the canary's weight is 0",
                code="lease_expired",
                next_step="Set the weight again; an expired lease is not revived.",
            )
        if request.epoch > self._state.epoch:
            self._commit(_change(self._state, epoch=request.epoch))
        self.router.split = replace(self.router.split, lease_expires=now + request.lease_seconds)
        return {"weight": self.router.split.weight, "lease_seconds": request.lease_seconds}

    async def _warm(self, request: verbs.Warm) -> TargetState:
        self._require_canary(request.digest)
        backend = Backend(self._instances.port(request.digest))
        message = http.encode_head(b"POST %b HTTP/1.1" % request.path.encode(), [(b"host", b"localhost")], 0)
        try:
            status = (await backend.exchange(b"POST", message, request.timeout_seconds)).head.status
        except BackendError as error:
            raise _warm_failed(str(error)) from None
        finally:
            backend.close()
        if not 200 <= status < 300:
            raise _warm_failed(f"{request.path} answered {status}")
        return self._state

    async def _promote(self, request: verbs.Promote) -> TargetState:
        self._require_canary(request.digest)
        self._instances.port(request.digest)
        last_good = self._state.stable or self._state.last_good
        return _change(self._state, stable=request.digest, canary="", last_good=last_good)

    async def _retreat(self, request: verbs.Retreat) -> Result:
        recorded = checks.recorded_result(self._state, request)
        if recorded is not None:
            return recorded
        checks.check_epoch(self._state, request.epoch)
        self.router.split = self.router.split.without_canary_traffic()
        if self._exposing is not None:
            self._exposing.cancel()
        async with self._writing:
            epoch = max(request.epoch, self._state.epoch)
            state = _change(self._state, epoch=epoch)
            known = request.digest_to in (state.stable, state.last_good)
            checks.require(known, f"{request.digest_to[:12]} is neither stable nor last good")
            self._file.save_for_retreat(with_record(state, request.key, Record(checks.digest_of(request))))
            await self._instances.ensure(state.releases[request.digest_to])
            state = _change(self._state, epoch=max(epoch, self._state.epoch))
            last_good = state.last_good if request.digest_to == state.stable else request.digest_to
            after = without_unused_releases(_change(state, stable=request.digest_to, canary="", last_good=last_good))
            result = summary(after, state.version + 1)
            self._adopt(with_result(after, request, checks.digest_of(request), result, 0.0, self.router.now_ms))
            durable = self._file.save_for_retreat(self._state)
            await self._stop_all_but(request.digest_to)
            return {**result, "durable": durable}

    async def _settle(self, request: verbs.Settle) -> Result:
        async with self._writing:
            checks.check_epoch(self._state, request.epoch)
            if request.epoch > self._state.epoch:
                self._commit(_change(self._state, epoch=request.epoch))
            return {"stopped": await self._stop_all_but(self._state.stable, self._state.canary)}

    async def _stop_all_but(self, *kept: str) -> list[str]:
        superseded = [digest for digest in self._instances.digests() if digest not in kept]
        await asyncio.gather(*(self._instances.stop(digest) for digest in superseded))
        return superseded

    async def _configure(self, request: verbs.Configure) -> Result:
        async with self._writing:
            if request != self._state.traffic:
                self._require_no_canary_traffic()
                if request.interval_seconds != self._state.traffic.interval_seconds:
                    self.router.counts = TrafficCounts(request.interval_seconds)
                after = _change(self._state, traffic=request, version=self._state.version + 1)
                self._commit(with_version(after, "configure", "", after.epoch, 0.0, self.router.now_ms))
                self.router.settings = _router_settings(request)
            return {"version": self._state.version}

    def _query(self, request: verbs.Query) -> Result:
        record = self._state.records.get(request.key)
        return {"record": None if record is None else msgspec.to_builtins(record)}

    def _history(self, _request: verbs.History) -> Result:
        return {"changes": msgspec.to_builtins(self._state.history)}

    def _shutdown(self, _request: verbs.Shutdown) -> Result:
        self.stopped.set()
        return {"stopping": True}

    def _status(self, _request: verbs.Status) -> Result:
        state, split, now, weight = self._state, self.router.split, time.monotonic(), self._weight()
        lease = round(max(0.0, split.lease_expires - now), 3)
        canary = {"weight": weight, "segments": sorted(split.segments), "lease_remaining_seconds": lease}
        others = [digest for digest in self._instances.digests() if digest not in (state.stable, state.canary)]
        return {
            "version": state.version,
            "epoch": state.epoch,
            "router_port": state.router_port,
            "stable": self._instances.facts(state.stable) if state.stable else None,
            "canary": {**self._instances.facts(state.canary), **canary} if state.canary else None,
            "last_good": state.last_good,
            "superseded": [self._instances.facts(digest) for digest in others],
            "interval_now": self.router.counts.interval(self.router.now_ms),
            "traffic": msgspec.to_builtins(state.traffic),
        }

    def _telemetry(self, request: verbs.Telemetry) -> Result:
        counts, now_ms = self.router.counts, self.router.now_ms
        rows, following = counts.rows(request.since_interval, now_ms, verbs.TELEMETRY_ROWS_MAX)
        return {"rows": msgspec.to_builtins(rows), "next_interval": following, "interval_now": counts.interval(now_ms)}

    def _weight(self) -> float:
        """The canary's share now: none once nobody renewed its lease."""
        split = self.router.split
        return split.weight if time.monotonic() < split.lease_expires else 0.0

    def _require_canary(self, digest: str) -> None:
        checks.require(digest == self._state.canary, f"{digest[:12]} is not the canary")

    def _require_no_canary_traffic(self) -> None:
        if self.router.split.canary and self._weight() > 0:
            raise TargetError("the canary has traffic", code="canary_active", next_step="Retreat or promote first.")


def _warm_failed(message: str) -> TargetError:
    return TargetError(f"warming failed: {message}", code="warm_failed", next_step="Fix the warm-up of the service.")


def _router_settings(traffic: verbs.Configure) -> RouterSettings:
    return RouterSettings(traffic.user_header, traffic.segment_header, traffic.segments, traffic.slow_threshold_ms)
