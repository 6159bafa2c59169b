"""Whatever is sent, a parser answers or refuses in its documented way, soon and in little memory.

The short run varies every seed a few times and sends each hostile document once. `make soak` starts from a new number
each time and goes on for BYWIRE_FUZZ_SECONDS a parser (default 20); a failure names the number to try again.
"""

import ast
import contextlib
import os
import re
import signal
import time
import tracemalloc
from pathlib import Path
from random import Random

import hostile
import parsers_channels
import parsers_config
import parsers_contracts
import parsers_egress
import parsers_gateway
import parsers_hooks
import parsers_identity
import parsers_log
import parsers_mcp
import parsers_policies
import parsers_signed
import parsers_world
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import NOT_PARSERS, PARSERS

SOURCE = Path(__file__).parents[2] / "src" / "bywire"
# What registered the parsers, each when it was imported.
REGISTERED_BY = (
    parsers_channels,
    parsers_config,
    parsers_contracts,
    parsers_egress,
    parsers_gateway,
    parsers_hooks,
    parsers_identity,
    parsers_log,
    parsers_mcp,
    parsers_policies,
    parsers_signed,
    parsers_world,
)
SHORT_VARIATIONS = 60
SECONDS_MAX = 2.0
BYTES_MAX = 16 * 2**20
NAMED = re.compile(r"^(parse|verify|from|decode|unverified|load|read)(_|$)|_from(_|$)|_of$")
OUTSIDE = re.compile(r"\b(bytes|str|Any|Mapping|Path)\b")
# Methods that answer from a place (database, directory, target) are not asked to understand what they carry.
PLACES = {
    "Executor",
    "Repository",
    "Machine",
    "Machines",
    "Directory",
    "Files",
    "Worktree",
    "Changes",
    "Store",
    "Rebuilt",
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
PLAIN = {
    "lines": st.lists(st.text(max_size=60), max_size=4),
    "bytes": st.binary(max_size=120),
    "json": st.binary(max_size=120),
    "text": st.text(),
    "value": JSON_VALUES,
}
VARIED = {
    "lines": hostile.varied_lines,
    "bytes": hostile.varied_bytes,
    "json": hostile.varied_json,
    "text": hostile.varied_text,
    "value": hostile.varied_value,
}


class TooSlow(BaseException):
    """Not an Exception, so that no parser takes it for a fault of its document."""


def interrupted(signum, frame):
    raise TooSlow


def feed(parser, document):
    """Send one document, within the time a parser has; the refusal, if any."""
    before = signal.signal(signal.SIGVTALRM, interrupted)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_MAX)
    try:
        parser.call(document)
    except parser.refusals as refusal:
        if hasattr(refusal, "next_step"):
            assert re.fullmatch(r"[a-z][a-z0-9_.-]*", refusal.code)
            assert len(str(refusal)) < 20_000, "a refusal repeats what it refuses"
        return refusal
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextlib.contextmanager
def tried(name):
    """The parser; a known defect may show, and when it would hang nothing is sent."""
    parser = PARSERS[name]()
    if parser.hangs:
        pytest.xfail(parser.hangs)
    try:
        yield parser
    except Exception:
        if parser.known:
            pytest.xfail(parser.known)
        raise


def vary(parser, number):
    """The document with this number."""
    rng = Random(number)
    return VARIED[parser.kind](rng.choice(parser.seeds), rng)


@pytest.mark.parametrize("name", PARSERS)
def test_a_good_document_is_understood(name):
    parser = PARSERS[name]()
    for seed in parser.seeds:
        assert feed(parser, hostile.as_json(seed) if parser.kind == "json" else seed) is None


@pytest.mark.parametrize("name", PARSERS)
def test_a_varied_document_is_understood_or_refused(name):
    with tried(name) as parser:
        for number in range(SHORT_VARIATIONS):
            check(parser, number)


def check(parser, number):
    document = vary(parser, number)
    try:
        feed(parser, document)
    except BaseException as error:
        error.add_note(f"document number {number}: {document!r}"[:2_000])
        raise


@pytest.mark.parametrize("name", PARSERS)
def test_a_hostile_document_costs_little(name):
    with tried(name) as parser:
        for document in hostile.LEAVES if parser.kind == "value" else hostile.BYTES:
            text = document.decode("utf-8", "replace") if parser.kind in {"text", "lines"} else ""
            sent = {"text": text, "lines": text.split("\n")}.get(parser.kind, document)
            if parser.kind == "value" or len(document) <= hostile.SMALL_BYTES:
                assert memory(lambda sent=sent: feed(parser, sent)) < BYTES_MAX, document[:40]
            else:
                feed(parser, sent)


def memory(work):
    """The most that was allocated while it ran, bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", PARSERS)
def test_anything_at_all_is_understood_or_refused(name):
    with tried(name) as parser:

        @settings(max_examples=15, deadline=None, database=None)
        @given(PLAIN[parser.kind])
        def send(document):
            feed(parser, document)

        send()


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PARSERS)
def test_endless_variations_are_understood_or_refused(name):
    with tried(name) as parser:
        ends = time.monotonic() + float(os.environ.get("BYWIRE_FUZZ_SECONDS", "20"))
        number = time.time_ns()
        while time.monotonic() < ends:
            number += 1
            check(parser, number)


# --- completeness ---


def readers():
    """`file:name` of every public function that by name and signature reads what somebody wrote."""
    for path in sorted(SOURCE.rglob("*.py")):
        if path.name != "ports.py":
            yield from _readers(ast.parse(path.read_text()).body, str(path.relative_to(SOURCE)), "")


def _readers(body, file, owner):
    for node in body:
        if isinstance(node, ast.ClassDef):
            protocol = any(isinstance(kind, ast.Name) and kind.id == "Protocol" for kind in node.bases)
            place = any(node.name.endswith(word) for word in PLACES)
            if not protocol and not place and not node.name.startswith("_"):
                yield from _readers(node.body, file, f"{owner}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and NAMED.search(node.name) and not node.name.startswith("_"):
            arguments = [*node.args.args, *node.args.kwonlyargs]
            if any(item.annotation and OUTSIDE.search(ast.unparse(item.annotation)) for item in arguments):
                yield f"{file}:{owner}{node.name}"


def test_every_parser_is_tested():
    found = set(readers())
    tested = {name.partition(" (")[0] for name in PARSERS}
    assert sorted(found - tested - set(NOT_PARSERS)) == [], "add a builder, or a reason to NOT_PARSERS"
    assert sorted(set(NOT_PARSERS) - found) == [], "gone: remove it from NOT_PARSERS"
    assert not set(NOT_PARSERS) & tested
    assert len(found & tested) > 40
