"""Who is told of every call of one gateway, as gateway.yaml says; what nobody asked for is neither kept nor counted."""

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bywire import __version__
from bywire.adapters.operator_secret import secret_bytes, secret_text
from bywire.adapters.telemetry_outbox import Outbox
from bywire.gateway.inputs import DAY_MS
from bywire.gateway.redaction import Redactor
from bywire.model.ask import CallRecord, Observer
from bywire.model.errors import ConfigError
from bywire.model.gateway import GatewayConfig
from bywire.model.gateway_credentials import Found
from bywire.model.gateway_telemetry import OtlpSettings, TelemetrySettings
from bywire.wiring.budget_use import OwnLimits, in_use, limits_of
from bywire.wiring.chargeback import usage_between
from bywire.wiring.config_in_force import ConfigInForce
from bywire.wiring.workspace import Workspace

HEADERS_MAX = 16
OTLP_SECONDS = 10.0


class Telemetry:
    """Observers of one gateway. Raises ConfigError for files that are not there. Close it after its last call."""

    def __init__(self, workspace: Workspace, settings: GatewayConfig, config: ConfigInForce) -> None:
        self._workspace = workspace
        self._config = config
        self._settings = settings
        said = settings.telemetry
        self._redactor = Redactor(workspace.workspace_key, settings.inspection)
        self._token = _token(said)
        self._arguments = said.arguments
        self.failures = 0
        self._own_limits = OwnLimits()
        self.outboxes = self._outboxes(said)
        self._scrape: Callable[[], bytes] | None = None
        observers: list[Observer] = list(self.outboxes)
        if said.metrics is not None:
            observers.append(self._counted())
        self._observers = tuple(observers)

    @property
    def is_on(self) -> bool:
        """Whether anybody is told anything."""
        return bool(self._observers)

    @property
    def metrics_open(self) -> bool:
        """Whether metrics are asked for without a token."""
        return self._settings.telemetry.metrics is not None and self._settings.telemetry.metrics.open

    def observed(self, record: CallRecord) -> None:
        """Tell everybody."""
        for observer in self._observers:
            observer.observed(record)

    def arguments(self, parameters: dict[str, Any]) -> dict[str, Any] | None:
        """Parameters as they may be told: redacted; None unless they were asked for."""
        shown: dict[str, Any] | None = self._redactor.shown(parameters) if self._arguments else None
        return shown

    def scrape(self) -> bytes | None:
        """What `/metrics` says; None when metrics are not kept."""
        return self._scrape() if self._scrape is not None else None

    def may_scrape(self, token: str) -> bool:
        """Whether this is the token of the metrics' reader."""
        return bool(self._token) and hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        for outbox in self.outboxes:
            outbox.close()

    def _outboxes(self, said: TelemetrySettings) -> tuple[Outbox, ...]:
        """Each loads its library here: what is not asked for costs no start any time."""
        shown, found, queue = self._redactor.shown, [], said.queue
        if said.otlp is not None:
            found.append(self._otlp(said.otlp, queue))
        if said.json_log is not None:
            from bywire.adapters.json_log import JsonLog  # noqa: PLC0415

            log = JsonLog(said.json_log, shown)
            found.append(Outbox("json_log", log.send, queue, log.close))
        if said.syslog is not None:
            from bywire.adapters.syslog import Syslog  # noqa: PLC0415

            syslog = Syslog(said.syslog, shown)
            found.append(Outbox("syslog", syslog.send, queue, syslog.close))
        return tuple(found)

    def _otlp(self, said: OtlpSettings, queue: int) -> Outbox:
        from bywire.adapters.otel_export import OtlpExporter  # noqa: PLC0415
        from bywire.adapters.pinned_http import PinnedHttp, parse_origin  # noqa: PLC0415

        operator = self._workspace.operator
        resource = {
            "service.name": "bywire",
            "service.version": __version__,
            "deployment.environment.name": operator.environment,
        }
        exporter = OtlpExporter(
            PinnedHttp(parse_origin(said.url, private=said.private), timeout_seconds=OTLP_SECONDS),
            self._redactor.shown,
            resource,
            headers=headers_in(secret_bytes(Path(said.headers_file)), said.headers_file) if said.headers_file else {},
            spans=said.spans,
            logs=said.logs,
        )
        return Outbox("otlp", exporter.send, queue, exporter.close)

    def _counted(self) -> Observer:
        from bywire.adapters.metrics_counts import CallCounts  # noqa: PLC0415
        from bywire.adapters.metrics_families import Scrape  # noqa: PLC0415
        from bywire.adapters.metrics_reviews import Reviews  # noqa: PLC0415

        calls = CallCounts()
        scrape = Scrape(calls, Reviews(self._workspace.reader), self.outboxes, self._now)
        self._scrape = scrape.text
        return calls

    def _now(self) -> tuple[int, Any]:
        from bywire.adapters.metrics_families import Now, Spent, Used  # noqa: PLC0415

        workspace, settings = self._workspace, self._settings
        now_ms, bundle = workspace.clock.now_ms(), workspace.bundle()
        today = now_ms // DAY_MS
        limits = (*limits_of(settings.budgets), *self._own_limits.of(bundle))
        return now_ms, Now(
            version=__version__,
            policy_revision=str(bundle.manifest.revision),
            policy_digest=bundle.digest,
            budgets=tuple(
                Spent(one.limit.scope, one.limit.unit, one.limit.period, one.used, one.limit.limit)
                for one in in_use(workspace, limits, now_ms)
            ),
            usage=tuple(
                Used(one.principal, one.team, one.unit, one.amount) for one in usage_between(workspace, today, today)
            ),
            unrecorded=self.failures,
            config_stale=bool(self._config.stale.files),
        )


def headers_in(content: bytes, source: str) -> dict[str, str]:
    """The headers of a `headers_file`: `Name: value`, one a line. Raises ConfigError `headers_malformed`."""
    found: dict[str, str] = {}
    for line in content.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not name.strip().isascii() or not value.strip().isprintable() or len(found) >= HEADERS_MAX:
            raise ConfigError(
                f"{source} holds a line that is no header",
                code="headers_malformed",
                next_step=f"write `Name: value` lines, at most {HEADERS_MAX}",
            )
        found[name.strip()] = value.strip()
    return found


def _token(said: TelemetrySettings) -> str:
    if said.metrics is None or said.metrics.open:
        return ""
    return secret_text(Found(token_file=said.metrics.token_file))
