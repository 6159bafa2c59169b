"""Bars of taking out what is sensitive: how fast on log text, and how well on a labelled set of our own making.

Recall: of what must go, the share that is gone. Precision: of what was taken out, the share that had to go, over lines
that hold something and lines that only look like it. Run alone: python -m bench sanitize
"""

import re
import statistics
import time
from collections import Counter

from bench import labelled
from bench.measured import at_least, at_most, tell
from bywire.gateway.inspection import inspect
from bywire.gateway.redaction import Redactor
from bywire.gateway.sensitive import redact_text
from bywire.model.gateway_inspection import InspectionSettings

MEGABYTES = 8
ROUNDS = 7
MARK = re.compile(r"\[[a-z][a-z0-9_]*\]")
# Ten short strings, as a call's parameters are.
SHORT = {f"name{index}": f"short value {index} of it" for index in range(10)}


def labelled_counts():
    """(right, wrong, missed) marks, with the misses and the mistakes by kind."""
    right, wrong, missed = 0, Counter(), Counter()
    for kind, line, secret in labelled.sensitive():
        shown, counts = redact_text(line)
        gone = secret not in shown
        right += gone
        if not gone:
            missed[kind] += 1
        extra = sum(counts.values()) - 1
        if extra > 0:
            wrong[f"beside {kind}"] += extra
    for look, line in labelled.harmless():
        marks = sum(redact_text(line)[1].values())
        if marks:
            wrong[look] += marks
    return right, wrong, missed


def megabytes_per_second():
    """CPU speed of `redact_text` on log text, the median of ROUNDS."""
    text = labelled.log_text(MEGABYTES)
    speeds = []
    redact_text(text[:100_000])
    for _ in range(ROUNDS):
        began = time.process_time()
        redact_text(text)
        speeds.append(len(text) / 1e6 / (time.process_time() - began))
    return statistics.median(speeds)


def _microseconds(call, calls=2_000):
    call()
    began = time.process_time_ns()
    for _ in range(calls):
        call()
    return (time.process_time_ns() - began) / calls / 1000


def bars():
    """Speed, precision and recall, and what a call with ordinary parameters pays."""
    right, wrong, missed = labelled_counts()
    tell(f"labelled: {right} taken out, missed {dict(missed)}, wrong {dict(wrong)}")
    yield at_least("sanitize_mb_per_second", megabytes_per_second(), "MB/s", 50)
    yield at_least("sanitize_precision", right / (right + sum(wrong.values())), "ratio", 0.95, digits=2)
    yield at_least("sanitize_recall", right / (right + sum(missed.values())), "ratio", 0.95, digits=2)
    redactor, settings = Redactor(b"b" * 32), InspectionSettings()
    yield at_most(
        "redact_ten_strings",
        statistics.median(_microseconds(lambda: redactor.canonical(SHORT)) for _ in range(ROUNDS)),
        "us",
        10,
    )
    yield at_most(
        "inspect_ten_strings",
        statistics.median(_microseconds(lambda: inspect(SHORT, settings=settings)) for _ in range(ROUNDS)),
        "us",
        60,
    )
