"""Reads what strace saw of one process: in which order it wrote, synced and sent.

Only the order counts, not the times: strace prints a call that another thread interrupts in two lines, when it began
(`<unfinished ...>`) and when it ended (`resumed`). A write or sync counts when it ended, a send when it began.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
SYNCS = ("fsync", "fdatasync")
SENDS = ("sendto", "sendmsg", "write")
CALLS = ",".join(sorted({*WRITES, *SYNCS, *SENDS}))
# Long enough for one page of the write-ahead log.
TEXT_BYTES_MAX = 8_192
COMMAND = ("strace", "-f", "-y", "-s", str(TEXT_BYTES_MAX), "-e", f"trace={CALLS}", "-e", "signal=none")
# What the target calls what the door calls otherwise.
VERBS = {
    "start_rollout": "configure",
    "deploy_release": "stage",
    "warm_release": "warm",
    "set_canary_weight": "set_weight",
    "renew_canary_lease": "renew",
    "promote_release": "promote",
    "promote_canary": "promote",
    "rollback_release": "retreat",
    "abort_canary": "retreat",
    "rollback_deployment": "retreat",
    "settle_release": "settle",
}
_BEGAN = re.compile(r"(?:\[pid +)?(\d+)\]? +(\w+)\((.*)$", re.DOTALL)
_RESUMED = re.compile(r"(?:\[pid +)?(\d+)\]? +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_FILE = re.compile(r"(\d+)<([^>]*)>")
_FAILED = re.compile(r"= -1 E[A-Z]+")


@dataclass(frozen=True)
class Call:
    """One system call on the file `path`; `began` and `ended` are lines of the trace, -1 when it never ended."""

    name: str
    path: str
    text: str
    began: int
    ended: int


def calls(lines: Iterable[str]) -> list[Call]:
    """The calls of all threads that did not fail, in the order in which they began."""
    found: list[Call] = []
    waiting: dict[str, tuple[int, str, str]] = {}
    for number, line in enumerate(lines):
        resumed = _RESUMED.match(line)
        if resumed is not None:
            began, name, text = waiting.pop(resumed[1], (-1, "", ""))
            if name == resumed[2]:
                _keep(found, name, text + resumed[3], began, number)
            continue
        call = _BEGAN.match(line)
        if call is None:
            continue
        if "<unfinished ...>" in call[3]:
            waiting[call[1]] = (number, call[2], call[3].replace("<unfinished ...>", ""))
        else:
            _keep(found, call[2], call[3], number, number)
    for began, name, text in waiting.values():
        _keep(found, name, text, began, -1)
    return sorted(found, key=lambda call: call.began)


def _keep(found: list[Call], name: str, text: str, began: int, ended: int) -> None:
    file = _FILE.match(text)
    if not _FAILED.search(text):
        found.append(Call(name, file[2] if file else "", text, began, ended))


def undurable(seen: Sequence[Call], intents: Iterable[tuple[str, str]], database: str) -> list[str]:
    """What is wrong with the order: for each (key, tool) the log file held the intent, synced, before its effect left.

    `intents` are in the order in which they were journalled; a verb that carries no key is the next of its kind.
    """
    wal = f"{database}-wal"
    wrong = []
    sent: set[int] = set()
    for key, tool in intents:
        effect = next((call for call in seen if call.began not in sent and _is_effect(call, key, VERBS[tool])), None)
        if effect is None:
            wrong.append(f"{key}: nothing was sent")
            continue
        sent.add(effect.began)
        written = [
            call.ended
            for call in seen
            if call.name in WRITES and call.path == wal and key in call.text and 0 <= call.ended < effect.began
        ]
        if not written:
            wrong.append(f"{key}: sent before its intent was written")
        elif not any(
            call.name in SYNCS and call.path == wal and min(written) < call.began and 0 <= call.ended < effect.began
            for call in seen
        ):
            wrong.append(f"{key}: sent before its intent was synced")
    return wrong


def _is_effect(call: Call, key: str, verb: str) -> bool:
    if call.name not in SENDS or f'{{\\"verb\\":\\"{verb}\\"' not in call.text:
        return False
    named = re.search(r'\\"key\\":\\"([0-9a-f]{64})\\"', call.text)
    return named is None or named[1] == sha256(key.encode()).hexdigest()
