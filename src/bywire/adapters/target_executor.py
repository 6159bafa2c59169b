"""Carries rollout actions out on the local target: fenced by epoch, preconditioned on version, idempotent by key."""

from collections.abc import Callable
from typing import Any

import msgspec

from bywire.adapters.local_target_client import LocalTarget
from bywire.adapters.releases import Releases
from bywire.gateway.ports import IntentRow
from bywire.model.errors import TargetError
from bywire.model.intent import ServiceIntent, StartCommand
from bywire.model.operator import JudgeLimits
from bywire.seal.digest import sha256_hex

USER_HEADER = "x-user-id"
DEFAULT_SEGMENT_HEADER = "x-client-segment"
DEFAULT_SLOW_MS = 500.0
CANARY_LEASE_SECONDS = 60
NEVER_STARTED: dict[str, Any] = {"version": 0}


class TargetExecutor:
    """`gateway.ports.Executor` over the local target.

    `intents` gives the service intent in force for a delivery (protected base revision), also when a later process
    recovers an intent that this one left open.
    """

    def __init__(
        self, target: LocalTarget, releases: Releases, judge: JudgeLimits, intents: Callable[[str], ServiceIntent]
    ) -> None:
        self._target = target
        self._releases = releases
        self._judge = judge
        self._intents = intents

    def observe(self) -> dict[str, Any]:
        """Version, digests and weight as they are now. Looking at a target that never ran does not start it."""
        return _brief(self._target.ensure_running() if self._target.was_started() else NEVER_STARTED)

    def read(self, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Answer get_deployment_status and read_telemetry."""
        if tool == "read_telemetry":
            rows = self._target.telemetry(parameters["since_interval"])
            return {"intervals": msgspec.to_builtins(rows)}
        return self._target.ensure_running()

    def execute(self, row: IntentRow, parameters: dict[str, Any]) -> dict[str, Any]:
        """One action. TargetError when the target refused; TimeoutError when nobody knows."""
        try:
            self._target.ensure_running()
            return self._carry_out(row, parameters)
        except TargetError as error:
            if error.code == "target_unreachable":
                raise TimeoutError(error.message) from error
            raise

    def query(self, row: IntentRow) -> dict[str, Any] | None:
        """What the target recorded under the key; None when it never finished it. TargetError when it had refused."""
        record = self._target.query(_key(row))
        if record is None or not record["done"]:
            return None
        if record["error"]:
            refused = record["error"]
            raise TargetError(refused["message"], code=refused["code"], next_step=refused["next_step"])
        return dict(record["result"])

    def _carry_out(self, row: IntentRow, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: C901  one case a tool
        target, key, epoch = self._target, _key(row), row.epoch
        version = int(row.precondition.get("version") or 0)
        match row.tool:
            case "start_rollout":
                return self._configure(self._intents(row.change))
            case "deploy_release":
                return target.stage(
                    key=key,
                    epoch=epoch,
                    expect_version=version,
                    digest=parameters["artifact"],
                    artifact_dir=self._releases.tree(parameters["artifact"]),
                    start=self._start(row.change),
                    env={},
                )
            case "warm_release":
                warm = self._intents(row.change).warm
                if warm is None:
                    raise TargetError(
                        "bywire.yaml declares no warm-up", code="warm_missing", next_step="add `commands.warm`"
                    )
                return target.warm(
                    key=key,
                    epoch=epoch,
                    digest=parameters["artifact"],
                    path=warm.path,
                    timeout_seconds=warm.timeout_seconds,
                )
            case "set_canary_weight":
                return target.set_weight(
                    key=key,
                    epoch=epoch,
                    expect_version=version,
                    digest=parameters["artifact"],
                    weight=parameters["weight"],
                    segments=parameters["segments"],
                    lease_seconds=parameters["lease_seconds"],
                )
            case "promote_canary":
                moved = {"artifact": parameters["deployment_id"], "weight": parameters["target_percentage"]}
                step = {**moved, "segments": (), "lease_seconds": CANARY_LEASE_SECONDS}
                return self._carry_out(msgspec.structs.replace(row, tool="set_canary_weight"), step)
            case "renew_canary_lease":
                return target.renew(
                    epoch=epoch, digest=parameters["artifact"], lease_seconds=parameters["lease_seconds"]
                )
            case "promote_release":
                return target.promote(key=key, epoch=epoch, expect_version=version, digest=parameters["artifact"])
            case "rollback_release" | "abort_canary" | "rollback_deployment":
                return target.retreat(key=key, epoch=epoch, digest_to=parameters["to"])
            case "settle_release":
                return target.settle(epoch=epoch)
        raise TargetError(f"the local target cannot {row.tool}", code="unsupported", next_step="bywire doctor")

    def _start(self, change: str) -> StartCommand:
        start = self._intents(change).start
        if start is None:
            raise TargetError(
                "bywire.yaml says no way to start the service",
                code="start_missing",
                next_step="add `commands.start` on the base branch",
            )
        return start

    def _configure(self, intent: ServiceIntent) -> dict[str, Any]:
        slow = [sli.threshold_ms for sli in intent.slis if sli.kind == "slow"]
        return self._target.configure(
            segment_header=intent.segments.header if intent.segments else DEFAULT_SEGMENT_HEADER,
            segments=intent.segments.values if intent.segments else (),
            slow_threshold_ms=slow[0] if slow else DEFAULT_SLOW_MS,
            interval_seconds=self._judge.interval_seconds,
            user_header=USER_HEADER,
        )


def _key(row: IntentRow) -> str:
    """The target's key: bounded, and different for every intent."""
    return sha256_hex(row.key.encode())


def _brief(status: dict[str, Any]) -> dict[str, Any]:
    stable, canary = status.get("stable") or {}, status.get("canary") or {}
    return {
        "version": status["version"],
        "stable": stable.get("digest", ""),
        "canary": canary.get("digest", ""),
        # Percent as a whole number of hundredths would survive any JSON; whole percents are all that plans use.
        "weight": round(canary.get("weight", 0)),
        "last_good": status.get("last_good", ""),
        "interval": status.get("interval_now", 0),
    }
