"""No text makes inspection slow: what it costs grows with the text and with nothing else, whatever the text means."""

import time

import pytest

from bywire.gateway.inspection import inspect
from bywire.model.gateway_inspection import InspectionSettings

SETTINGS = InspectionSettings()
SIZE = 20_000
# A search that is quadratic takes seconds for this much; the bound tells the two apart on a busy machine, too.
SECONDS_MAX = 0.8
UNITS = (
    " ", "\n", "\t ", "a", "0", "0a", "aA0", "_", "-", ".", "/", "\\", "\\\\", "\\n", "\\u", "\\\n", "'", '"', '"a',
    "`", "`a", "$(", "${", "<(", "; ", "&& ", "|", "=", "a=", "A=b ", "--a ", "-c ", "sudo ", "env ", "bash -c ",
    "sh -c '", "a ", "a.", "a/", "../", "a@", "a:", "://", "http://a@", "0.", "0:", "0-", "1.1.1.1 ", "::", "%41",
    "%25", "&#1;", "<a", "[a", "(a", "a,", "+1 ", "4111 ", "é", "\u200b",
)  # fmt: skip
# What makes a text be looked at once more: joined over its lines, or with its escapes undone.
BEFORE = ("", "line\nnext \\u0041")
MEANINGS = ("", "command", "host", "path", "script")


def asked(text, meaning):
    commands = ("ls",) if meaning == "command" else ()
    return inspect({"p": text}, commands=commands, meaning={meaning: "p"} if meaning else {}, settings=SETTINGS)


@pytest.mark.parametrize("meaning", MEANINGS)
@pytest.mark.parametrize("unit", UNITS)
def test_rule_04_no_text_makes_inspection_slow(unit, meaning):
    asked("warm", meaning)
    for before in BEFORE:
        text = f"{before}{unit * (SIZE // len(unit))}\0"
        began = time.thread_time()
        asked(text, meaning)
        assert time.thread_time() - began < SECONDS_MAX, before
