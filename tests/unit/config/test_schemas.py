"""The published JSON Schemas: valid, said as editors read them, key for key what the readers know; and what ships fits.

`test_schema_faults.py` compares the judgements, `tests/schema_agreement.py` every document that any test reads.
"""

import ast
import re
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest
from config_documents import SCHEMAS, schema
from reader_questions import ANY, placed
from schema_differences import refusal, validator
from schema_documents import DOCUMENTS, READERS
from schema_places import open_mappings, places, subschemas
from schema_variations import asked

from bywire.adapters import yaml_file
from bywire.adapters.pack_files import pack_bytes, shipped_packs
from bywire.model.gateway import Listen, ServeLimits
from bywire.model.gateway_channels import WebChannel
from bywire.model.gateway_egress import EgressLimits
from bywire.model.gateway_inspection import InspectionSettings
from bywire.model.gateway_issuers import ApiKeys
from bywire.model.gateway_telemetry import TelemetrySettings
from bywire.model.operator import Isolation, JudgeLimits, Limits

NAMES = sorted(READERS)
CONFIG = Path(__file__).parents[3] / "src" / "bywire" / "config"
# Readers of other documents than those with a schema.
OTHER_FILES = {"asset_manifest.py"}
# Mappings whose keys are known from elsewhere in the document, so that the schema leaves them open.
KEYED_ELSEWHERE = {("agents", ("agents", ANY, "budgets", "per_tool"))}

# What is no mapping of ours: the JSON Schema of a tool, of which only the frame is said.
FOREIGN = {("contract", ("tools", ANY, "schema"))}


def paths(value, path=()):
    """The path of everything in a document."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths(item, (*path, key))


def test_each_schema_has_a_reader_and_each_reader_a_schema():
    assert sorted(path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.json")) == NAMES
    assert set(DOCUMENTS) == set(READERS)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_and_says_what_it_is(name):
    published = schema(f"{name}.schema.json")
    jsonschema_rs.meta.validate(published)
    assert published["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert published["$id"] == f"https://bywire.dev/schema/{name}-1.json"
    assert published["title"].endswith(", version 1")
    assert published["description"]


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_is_one_that_editors_read_alike(name):
    """ECMA-262 and no Python: a positive one stands for the whole value, and `|` never for more than it looks."""
    for found in subschemas(schema(f"{name}.schema.json")):
        for pattern in (found.get("pattern", ""), *found.get("patternProperties", {})):
            assert not re.search(r"\(\?P|\\[AZz]|\(\?[aiLmsux]", pattern), pattern
            re.compile(pattern)
            if pattern.endswith("$") and pattern.startswith("^"):
                assert not _splits(pattern), pattern


def _splits(pattern):
    """Whether a `|` stands outside every group, where `^` and `$` would each bind only one side."""
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "", pattern)
    while (inner := re.sub(r"\([^()]*\)", "", bare)) != bare:
        bare = inner
    return "|" in bare


@pytest.mark.parametrize("name", NAMES)
def test_every_default_is_one_that_may_be_written(name):
    published = schema(f"{name}.schema.json")
    for found in subschemas(published):
        if "default" in found:
            whole = {**found, "$defs": published.get("$defs", {})}
            assert jsonschema_rs.is_valid(whole, found["default"]), found


@pytest.mark.parametrize("name", NAMES)
def test_what_the_documents_say_is_accepted_by_both(name):
    for document in DOCUMENTS[name]:
        assert refusal(name, document) is None
        validator(name).validate(document)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_knows_the_keys_that_its_reader_knows(name):
    """Key for key, place for place, and each is exercised by a document: a new key in either fails here."""
    published = schema(f"{name}.schema.json")
    told = {place: one for place, one in places(published).items() if (name, place) not in FOREIGN}
    chosen = open_mappings(published)
    known, written = {}, set()
    for document, found in asked(name):
        written |= {placed(path, chosen) for path in paths(document)}
        for question in found:
            place = placed(question.path, chosen)
            if question.kind == "fields" and (name, place) not in KEYED_ELSEWHERE:
                bounds = question.bounds
                known.setdefault(place, (set(bounds["known"]), set(bounds["required"])))
    assert {place: keys for place, (keys, _) in known.items()} == {place: one["known"] for place, one in told.items()}
    assert {place: keys for place, (_, keys) in known.items()} == {
        place: one["required"] for place, one in told.items()
    }
    assert [place for place, one in told.items() if not one["closed"] or one["open"]] == []
    assert {(*place, key) for place, one in told.items() for key in one["known"]} - written == set()


def test_the_documents_make_the_readers_ask_for_every_key_there_is():
    """Each `.fields(` in the readers is met, so that no section is left out of the comparison above."""
    met = {question.asker for name in NAMES for _, found in asked(name) for question in found}
    written = {
        f"{path.name}:{node.lineno}"
        for path in CONFIG.glob("*.py")
        if path.name not in OTHER_FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fields"
    }
    assert written - met == set()
    assert len(written) > 30


STRUCTS = [
    ("gateway", ("listen",), Listen),
    ("gateway", ("limits",), ServeLimits),
    ("gateway", ("egress_limits",), EgressLimits),
    ("gateway", ("inspection",), InspectionSettings),
    ("gateway", ("api_keys",), ApiKeys),
    ("gateway", ("channels", "web"), WebChannel),
    ("gateway", ("telemetry",), TelemetrySettings),
    ("operator", ("limits",), Limits),
    ("operator", ("judge",), JudgeLimits),
    ("operator", ("isolation",), Isolation),
]


@pytest.mark.parametrize(("name", "path", "struct"), STRUCTS)
def test_defaults_that_are_shown_are_those_that_are_taken(name, path, struct):
    shown = schema(f"{name}.schema.json")
    for part in path:
        shown = shown["properties"][part]
    told = {key: one["default"] for key, one in shown["properties"].items() if "default" in one}
    taken = {
        key: value for key, value in msgspec.structs.asdict(struct()).items() if isinstance(value, int | float | str)
    }
    assert told == taken


ROOT = Path(__file__).parents[3]
SHOWN = re.compile(
    r"<!-- (?:file|written): (?P<name>[a-z./-]+) -->\n```yaml\n(?P<body>.*?)```"
    r"|```yaml\n(?P<part># gateway.yaml\n.*?)```",
    re.DOTALL,
)


def kind_of(file):
    """Which schema a file of this name is about, or none."""
    folders = {"contracts": "contract", "agent-policies": "agent-policy"}
    return folders.get(Path(file).parent.name) or (Path(file).stem if Path(file).stem in NAMES else "")


def shipped():
    """(where, schema, document) of everything that people copy from: examples, packs, and what the pages show."""
    for place in sorted((ROOT / "examples").rglob("bywire.yaml")):
        yield str(place.relative_to(ROOT)), "bywire", place.read_bytes()
    for name in shipped_packs():
        yield f"pack {name}", "contract", pack_bytes(name)
    for page in sorted((ROOT / "docs").glob("*.md")):
        for found in SHOWN.finditer(page.read_text()):
            file = found["name"] or "gateway.yaml"
            if kind_of(file):
                yield f"{page.name} shows {file}", kind_of(file), (found["body"] or found["part"]).encode()


SHIPPED = list(shipped())
# A branch's copy that sets what is not its to set.
ATTACKS = {"examples/storefront_changes/attack/bywire.yaml"}


@pytest.mark.parametrize(("where", "name", "data"), SHIPPED, ids=[f"{one[0]} {at}" for at, one in enumerate(SHIPPED)])
def test_everything_that_ships_is_valid(where, name, data):
    document = yaml_file.load(data, where, bytes_max=1_048_576)
    assert validator(name).is_valid(document) is (where not in ATTACKS)


def test_every_kind_of_file_is_shown_somewhere():
    assert {name for _, name, _ in SHIPPED} == set(NAMES)
    assert len(SHIPPED) > 20
