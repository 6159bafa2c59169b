"""A policy against the record: what a candidate would have changed, and what rules on trial would have refused.

The log keeps every decision with its question. It is read in batches, so that a long record takes time, not memory.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from bywire.adapters.policy_process import examine_apart
from bywire.adapters.sqlite_ledger import SqliteLedger, open_reader
from bywire.audit.replay import Recorded, recorded_decisions
from bywire.ledger.entry import parse_leaf
from bywire.model.errors import ConfigError, PolicyError
from bywire.policy.examination import QUESTIONS_MAX, Examination, Question, Request
from bywire.policy.replayed import Replay, ReplayCount
from bywire.policy.shadow_report import ShadowReport, report
from bywire.wiring.policy_review import loaded
from bywire.wiring.workspace import DATABASE_FILE, Workspace

BATCH_BYTES_MAX = 16 * 1024 * 1024
_PERIOD = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def period_ms(text: str) -> int:
    """`7d`, `12h` or `30m` in milliseconds. Raises ConfigError `period_malformed`."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{text!r} is no period", code="period_malformed", next_step="write a number and d, h or m: --since 7d"
        )
    return int(match[1]) * _UNIT_MS[match[2]]


def replay_candidate(
    workspace: Workspace, candidate: dict[str, bytes], since: str, progress: Callable[[int], None]
) -> tuple[Examination, Replay]:
    """Decide what was recorded in the last `since` again with `candidate`; `progress` hears how many were done.

    Raises PolicyError when the candidate is not fit to decide.
    """
    found = _fit(examine_apart(Request(candidate, tests=False)))
    count = ReplayCount()
    for batch in _batches(_decisions(workspace, since)):
        questions = tuple(Question(item.decision.entrypoint, item.input) for item in batch)
        again = _fit(examine_apart(Request(candidate, tests=False, questions=questions)))
        count.add(((item.entry, item.decision, item.input) for item in batch), again.decisions)
        progress(count.decisions)
    return found, count.report()


def shadow_report(workspace: Workspace, since: str) -> ShadowReport:
    """What rules on trial would have refused in the last `since`."""
    return report(lambda: ((item.decision, item.input) for item in _decisions(workspace, since)))


def _decisions(workspace: Workspace, since: str) -> Iterator[Recorded]:
    """The recorded decisions of a period, oldest first."""
    from_ms = workspace.clock.now_ms() - period_ms(since)
    workspace.journal.flush_reads()
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        with reader.snapshot():
            for index, leaf, content in reader.rows(_first_since(reader, from_ms)):
                if content is not None:
                    yield from recorded_decisions([(index, parse_leaf(leaf).kind, content)])
    finally:
        reader.close()


def _first_since(log: SqliteLedger, from_ms: int) -> int:
    """The first entry of the period: the log's time never runs backwards (RULES 27), so it is looked for by halves."""
    low, high = 0, log.entry_count()
    while low < high:
        middle = (low + high) // 2
        leaf = log.leaf(middle)
        if leaf is not None and parse_leaf(leaf).at_ms < from_ms:
            low = middle + 1
        else:
            high = middle
    return low


def _batches(recorded: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    """As many as one examination takes, and no more bytes than it may read."""
    batch: list[Recorded] = []
    size = 0
    for item in recorded:
        weight = _weight(item)
        if batch and (len(batch) >= QUESTIONS_MAX or size + weight > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weight
    if batch:
        yield batch


def _weight(item: Recorded) -> int:
    return len(repr(item.input))


def _fit(found: Examination) -> Examination:
    found = loaded(found)
    if found.findings:
        raise PolicyError(
            f"the candidate does not pass the lint, so it decides nothing: {found.findings[0]}",
            code="policy_lint",
            next_step="bywire policy check --bundle DIR",
        )
    return found
