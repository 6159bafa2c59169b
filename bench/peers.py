"""What an MCP `tools/call` costs direct, through bywire, and through other gateways that are installed, in one run.

Every way leads to one upstream, in an order that changes with every turn, on connections that are kept. Each gateway is
one process tree, and its CPU is what that tree uses while it alone is called. A bar per peer and figure: the peer's,
with its `version`, which is not below bywire's. A peer that is not installed is said so and judged by nobody; one that
is installed and does not start is a missed bar with a reason. Run alone: python -m bench peers
"""

import contextlib
import dataclasses
import importlib.metadata
import os
import random
import statistics
import tempfile
from pathlib import Path

from bench import peers_contextforge, peers_ctrlrun
from bench.mcp import Way, governed, program
from bench.measured import at_least, not_judged, tell
from bench.peers_installed import NotInstalledError, NotStartedError, cpu_seconds, installed

PEERS = (peers_contextforge, peers_ctrlrun)
CALLS, WARM = 200, 20
CPU_CALLS = 200
SEED = 1
UNJUDGED = ">= bywire's"


@dataclasses.dataclass(frozen=True)
class Figures:
    """Of one way: p50 and its difference to direct in ms, CPU of the gateway in ms a call."""

    p50: float
    difference: float
    cpu: float


def turn_about(ways):
    """The p50 of each way in milliseconds, called in an order that changes with every turn."""
    order, shuffled = list(ways), random.Random(SEED)
    took = {name: [] for name in ways}
    for name in order * WARM:
        ways[name].call()
    for _ in range(CALLS):
        shuffled.shuffle(order)
        for name in order:
            took[name].append(ways[name].call())
    return {name: statistics.median(found) for name, found in took.items()}


def cpu_of(way, process):
    """CPU ms of a process tree for each call of a round."""
    before = cpu_seconds(process)
    for _ in range(CPU_CALLS):
        way.call()
    return (cpu_seconds(process) - before) * 1_000 / CPU_CALLS


def measure(ways, processes):
    """The figures of every way."""
    p50 = turn_about(ways)
    cpu = {name: cpu_of(ways[name], process) for name, process in processes.items()}
    return {name: Figures(p50[name], p50[name] - p50["direct"], cpu.get(name, 0.0)) for name in ways}


def found_peers(environment):
    """({peer: where it is installed}, bars of those that are not)."""
    found, bars = {}, []
    for peer in PEERS:
        try:
            found[peer] = installed(peer.VARIABLE, peer.DISTRIBUTION, environment)
        except NotInstalledError as absent:
            tell(f"{peer.NAME}: not installed: {absent}")
            bars.append(not_judged(f"{peer.NAME}_p50_difference", f"not installed: {absent}", "ms", UNJUDGED))
    return found, bars


def compared(found, directory):
    """({way: figures}, {name: why it did not start}) of direct, bywire and the peers that were found."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(program("-m", "bench.mcp_upstream"))
        port = int(upstream.stdout.readline())
        ways = {"direct": stack.enter_context(contextlib.closing(Way(port, "/mcp")))}
        processes, failed = {}, {}
        (directory / "bywire").mkdir()
        ways["bywire"], processes["bywire"] = stack.enter_context(governed(directory / "bywire", port))
        for peer, place in found.items():
            own = directory / peer.NAME
            own.mkdir()
            try:
                ways[peer.NAME], processes[peer.NAME] = stack.enter_context(peer.opened(place, own, port))
            except NotStartedError as error:
                failed[peer.NAME] = f"did not start: {error}"
                tell(f"{peer.NAME} {place.version}: {failed[peer.NAME]}")
        return measure(ways, processes), failed


def bars(environment=os.environ):
    """A bar a peer that is absent or does not start, else two."""
    found, lines = found_peers(environment)
    yield from lines
    with tempfile.TemporaryDirectory() as directory:
        figures, failed = compared(found, Path(directory))
    table(figures, {peer.NAME: place.version for peer, place in found.items()})
    for peer, place in found.items():
        for bar in judged(peer.NAME, figures, failed):
            yield bar | {"version": place.version}


def judged(name, figures, failed):
    """What a peer adds, and its CPU, against bywire's in the same run."""
    if name in failed:
        absent = not_judged(f"{name}_p50_difference", failed[name], "ms", UNJUDGED)
        return [absent | {"ok": False}]
    own, beside = figures[name], figures["bywire"]
    return [
        at_least(f"{name}_p50_difference", own.difference, "ms", beside.difference, digits=2),
        at_least(f"{name}_cpu", own.cpu, "ms", beside.cpu, digits=2),
    ]


def table(figures, versions):
    """The figures for a person; each difference also as a multiple of bywire's."""
    tell(f"{'':<34}{'p50 ms':>9}{'over direct ms':>16}{'times bywire':>14}{'CPU ms a call':>15}")
    own = figures["bywire"]
    for name, found in figures.items():
        version = importlib.metadata.version("bywire") if name == "bywire" else versions.get(name, "")
        line = f"{f'{name} {version}':<34}{found.p50:>9.2f}"
        if name != "direct":
            times = f"{found.difference / own.difference:.1f}" if own.difference > 0 else ""
            line += f"{found.difference:>16.2f}{times:>14}{found.cpu:>15.2f}"
        tell(line.rstrip())
