"""Live traffic for a service: open-loop arrivals at a rate, keep-alive connections, sticky users in segments.

Open loop: a slow service does not slow the arrivals down, as real users would not. What exceeds the bound in flight is
counted as shed.

python -I -m bywire.adapters.traffic --url http://127.0.0.1:8080 --spec traffic.json --rate 400 --seed 1 [--seconds 60]

Prints one JSON object when it ends (SIGTERM, SIGINT or --seconds).
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bywire.adapters import router_http as http
from bywire.adapters.traffic_spec import Drawn, TrafficMix, TrafficSpec

_IN_FLIGHT_MAX = 256
_REQUEST_SECONDS = 10.0
_DRAIN_SECONDS = 2.0
_LATENCIES_MAX = 200_000
_IDLE_SECONDS_MAX = 20.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class TrafficGenerator:
    """Sends the requests of `mix` to a host and keeps the score."""

    def __init__(self, host: str, port: int, mix: TrafficMix, rate: float) -> None:
        self._host, self._port = host, port
        self._mix = mix
        self._rate = rate
        self._idle: list[tuple[float, Connection]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._statuses: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._latencies_ms: list[float] = []
        self._shed = 0

    async def run(self, stop: asyncio.Event, seconds: float) -> dict[str, Any]:
        """Send until `stop` is set or `seconds` (0 = no limit) are over. Returns the summary."""
        started = time.monotonic()
        next_at = started
        while not stop.is_set() and not (seconds and next_at - started >= seconds):
            delay = next_at - time.monotonic()
            if delay > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), delay)
            self._start(self._mix.draw())
            next_at += self._mix.gap_seconds(self._rate)
        elapsed = time.monotonic() - started
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=_DRAIN_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        while self._idle:
            self._idle.pop()[1][1].close()
        return self._summary(elapsed)

    def _start(self, drawn: Drawn) -> None:
        if len(self._tasks) >= _IN_FLIGHT_MAX:
            self._shed += 1
            return
        task = asyncio.create_task(self._send(drawn))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, drawn: Drawn) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                status = await self._exchange(drawn.message)
        except TimeoutError:
            status = 0
            outcome = "timeout"
        except asyncio.CancelledError:
            self._statuses["unfinished"] += 1  # neither a success nor an error: the generator stopped waiting
            raise
        except (OSError, http.MessageError):
            status = 0
            outcome = "connection"
        else:
            outcome = str(status)
        self._statuses[outcome] += 1
        self._requests[drawn.segment] += 1
        self._errors[drawn.segment] += status == 0 or status >= 500
        if len(self._latencies_ms) < _LATENCIES_MAX:
            self._latencies_ms.append((time.monotonic() - started) * 1000)

    async def _exchange(self, message: bytes) -> int:
        reader, writer = self._pooled() or await asyncio.open_connection(self._host, self._port)
        keep = False
        try:
            writer.write(message)
            head = http.parse_response_head(await http.read_head(reader), message.split(b" ", 1)[0])
            await http.read_body(reader, head.length)
            keep = head.keep_alive
            return head.status
        finally:
            if keep:
                self._idle.append((time.monotonic(), (reader, writer)))
            else:
                writer.close()

    def _pooled(self) -> Connection | None:
        while self._idle:
            since, (reader, writer) = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS_MAX and not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    def _summary(self, elapsed: float) -> dict[str, Any]:
        latencies = sorted(self._latencies_ms)
        total = sum(self._requests.values())

        def quantile(share: float) -> float | None:
            return round(latencies[min(len(latencies) - 1, int(share * len(latencies)))], 3) if latencies else None

        return {
            "seconds": round(elapsed, 3),
            "requests": total,
            "rate": round(total / elapsed, 2) if elapsed else 0.0,
            "shed": self._shed,
            "errors": sum(self._errors.values()),
            "statuses": dict(sorted(self._statuses.items())),
            "segments": {
                name: {"requests": count, "errors": self._errors[name]}
                for name, count in sorted(self._requests.items())
            },
            "latency_ms": {"p50": quantile(0.5), "p95": quantile(0.95), "p99": quantile(0.99)},
        }


async def _generate(options: argparse.Namespace, spec: TrafficSpec) -> dict[str, Any]:
    url = urlsplit(options.url)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    mix = TrafficMix(spec, url.netloc, options.seed)
    generator = TrafficGenerator(url.hostname or "", url.port or 80, mix, options.rate)
    return await generator.run(stop, options.seconds)


def main() -> int:
    """Generate traffic and print the summary. Exit code 2 when the arguments or the spec are wrong."""
    parser = argparse.ArgumentParser(prog="bywire.adapters.traffic", description="Open-loop traffic generator.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=0.0, help="0 means until a signal")
    options = parser.parse_args()
    if options.rate <= 0 or urlsplit(options.url).scheme != "http":
        parser.error("--rate must be positive and --url must be http")
    try:
        spec = msgspec.json.decode(options.spec.read_bytes(), type=TrafficSpec)
    except (OSError, msgspec.MsgspecError) as error:
        parser.error(f"--spec: {error}")
    if not spec.segments or min(spec.segments.values()) < 0 or not sum(spec.segments.values()):
        parser.error("--spec: segments need shares that add up to more than 0")
    print(json.dumps(asyncio.run(_generate(options, spec))))  # noqa: T201  the summary is this program's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
