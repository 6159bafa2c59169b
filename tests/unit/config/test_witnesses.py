"""Witnesses in operator.yaml: what is read, what is refused, and agreement with the JSON Schema."""

import jsonschema_rs
import pytest
from config_documents import OPERATOR, schema

from bywire.config.operator_config import parse
from bywire.config.reading import FieldError
from bywire.model.operator import Witness, Witnessing

SCHEMA = jsonschema_rs.validator_for(schema("operator.schema.json"))
KEY, OTHER = "ab" * 32, "cd" * 32
DIRECTORY = {"name": "w1.example/a", "key": KEY, "directory": "/mnt/witness"}
HTTP = {"name": "w2", "key": OTHER, "url": "https://witness.example/log"}


def read(**fields):
    document = {**OPERATOR, **fields}
    SCHEMA.validate(document)
    return parse(document, "operator.yaml").witnessing


def test_witnesses_are_read_and_one_of_them_is_enough_unless_written():
    found = read(witnesses=[DIRECTORY, HTTP])
    assert found == Witnessing(
        (
            Witness("w1.example/a", KEY, directory="/mnt/witness"),
            Witness("w2", OTHER, url="https://witness.example/log"),
        ),
        1,
        1_000,
    )
    assert read(witnesses=[DIRECTORY, HTTP], witness_quorum=2, witness_lag_entries=5).quorum == 2
    assert read(witnesses=[DIRECTORY], witness_quorum=0).quorum == 0
    assert read() == read(witnesses=[]) == Witnessing()


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:1/x", "http://[::1]:9", "https://w"])
def test_urls_that_may_be_spoken_to(url):
    assert read(witnesses=[{**HTTP, "url": url}]).witnesses[0].url == url


BAD = [
    {"name": "w", "key": KEY},
    {**DIRECTORY, "url": "https://w.example"},
    {**DIRECTORY, "key": "ab"},
    {**DIRECTORY, "key": KEY.upper()},
    {**DIRECTORY, "name": "two words"},
    {**DIRECTORY, "name": "plus+sign"},
    {**DIRECTORY, "directory": "relative"},
    {**DIRECTORY, "extra": 1},
    {**HTTP, "url": "ftp://w.example"},
    {**HTTP, "url": "https://user@w.example"},
    {**HTTP, "url": "https://w.example/?q"},
]


@pytest.mark.parametrize("witness", BAD)
def test_a_witness_that_is_written_wrong_is_refused_by_parser_and_schema(witness):
    document = {**OPERATOR, "witnesses": [witness]}
    assert not SCHEMA.is_valid(document)
    with pytest.raises(FieldError):
        parse(document, "operator.yaml")


@pytest.mark.parametrize(
    "fields",
    [
        {"witnesses": [{**HTTP, "url": "http://witness.example"}]},
        {"witnesses": [{**HTTP, "url": "http://127.0.0.1.example.com"}]},
        {"witnesses": [{**HTTP, "url": "https://w.example:99999"}]},
        {"witnesses": [DIRECTORY, {**DIRECTORY, "key": OTHER}]},
        {"witnesses": [DIRECTORY, {**DIRECTORY, "name": "other"}]},
        {"witnesses": [DIRECTORY], "witness_quorum": 2},
        {"witness_quorum": 1},
        {"witness_lag_entries": 0},
        {"witness_lag_entries": 1_000_001},
        {"witnesses": [DIRECTORY] * 9},
    ],
)
def test_what_only_makes_sense_together_is_checked(fields):
    with pytest.raises(FieldError) as refused:
        parse({**OPERATOR, **fields}, "operator.yaml")
    assert refused.value.next_step
