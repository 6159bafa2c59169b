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
# What is written otherwise, and what each kind of command and host begins with.
HOSTILE = (
    "a", "%41", "\\u0041", "QUtJQQ", "../", "$(", "`", '"\\', "'", ";id ", "\n", "ssh ", "a@b.de:x", "1.2.3.4 ", "::",
    "http://", "aa:\\\\", "-L ", "-R 1:", "sh -c ", "\u200b", "\uff0e", "4141", "x=", "&#65;", "H4sI", "env ",
    "%41\\x41&#65;a\u200bb", "%2541\\\\x41 ",
)  # fmt: skip
# What makes a text be looked at once more: joined over its lines, or with its escapes undone.
BEFORE = ("", "line\nnext \\u0041")
MEANINGS = ("", "command", "host", "path", "script")


def asked(text, meaning):
    commands = ("ls",) if meaning == "command" else ()
    return inspect({"p": text}, commands=commands, meaning={meaning: ("p",)} if meaning else {}, settings=SETTINGS)


@pytest.mark.parametrize("meaning", MEANINGS)
@pytest.mark.parametrize("unit", UNITS)
def test_rule_04_no_text_makes_inspection_slow(unit, meaning):
    asked("warm", meaning)
    for before in BEFORE:
        text = f"{before}{unit * (SIZE // len(unit))}\0"
        began = time.thread_time()
        asked(text, meaning)
        assert time.thread_time() - began < SECONDS_MAX, before


@pytest.mark.parametrize("unit", HOSTILE)
def test_rule_04_time_grows_with_the_parameters_alone(unit):
    wide = InspectionSettings(bytes_max=1_048_576)

    def seconds(size):
        text = (unit * (size // len(unit) + 1))[:size]
        began = time.process_time()
        inspect({"p": text, "command": text}, settings=wide, commands=("kubectl",))
        return time.process_time() - began

    seconds(500)
    small, large = seconds(8_000), seconds(64_000)
    assert large < 25 * max(small, 0.02)
