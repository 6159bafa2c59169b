"""Paths into a call's parameters: through closed objects of the schema alone, and with one reading each."""

import pytest

from bywire.config import contract_files
from bywire.config.packs import cut_to
from bywire.config.reading import FieldError
from bywire.gateway.connected import costs, meaning
from bywire.gateway.contract import Catalogue, ContractError
from bywire.model.connected import Cost, CostRule, Place

TEXT, COUNT = {"type": "string"}, {"type": "integer"}


def closed(**properties):
    return {"type": "object", "additionalProperties": False, "properties": properties}


SPEC = closed(replicas=COUNT, image=TEXT, template=closed(image=TEXT))
VALUES = {"dev": "non-production", "prod": "production"}


def parsed(schema, **reads):
    tool = {"name": "scale", "category": "environment_write", "risk": "low", "schema": schema, **reads}
    document = {"version": 1, "upstream": "cluster", "tools": [tool]}
    (contract,) = contract_files.parse(document, "cluster.yaml", upstream="cluster")
    return contract


def meant(contract, parameters):
    return meaning(contract.meaning, "staging", parameters, str)


def test_a_path_leads_into_objects():
    contract = parsed(
        closed(spec=SPEC, env=TEXT),
        meaning={"replicas": "spec.replicas", "image": "spec.template.image"},
        cost=[{"unit": "replica_hours", "parameter": "spec.replicas", "factor": 24}],
        environment_from={"parameter": "spec.image", "values": VALUES},
    )
    assert contract.meaning == {"replicas": ("spec", "replicas"), "image": ("spec", "template", "image")}
    assert contract.cost == (CostRule("replica_hours", 24_000, ("spec", "replicas")),)
    assert contract.place == Place("", "production", ("spec", "image"), VALUES)
    call = {"spec": {"replicas": 2, "image": "dev", "template": {"image": "a@sha256:1"}}}
    assert meant(contract, call) == {"environment": "staging", "replicas": 2, "images": ["a@sha256:1"]}
    assert costs(contract.cost, call, 0) == (Cost("replica_hours", 48_000),)
    assert contract.place.of(call) == ("", "non-production")


@pytest.mark.parametrize("call", [{}, {"spec": {}}, {"spec": None}, {"spec": {"replicas": None, "image": None}}])
def test_what_is_missing_on_the_way_is_missing_as_a_parameter_is(call):
    reads = {
        "meaning": {"replicas": "{}replicas", "image": "{}image"},
        "cost": [{"unit": "x", "parameter": "{}replicas", "factor": 1}],
        "environment_from": {"parameter": "{}image", "values": VALUES},
    }

    def reading(below):
        place = {"parameter": f"{below}image", "values": VALUES}
        return {
            "meaning": {word: name.format(below) for word, name in reads["meaning"].items()},
            "cost": [{"unit": "x", "parameter": f"{below}replicas", "factor": 1}],
            "environment_from": place,
        }

    flat = parsed(closed(replicas=COUNT, image=TEXT), **reading(""))
    nested = parsed(closed(spec=SPEC), **reading("spec."))
    assert meant(nested, call) == meant(flat, {}) == {"environment": "staging", "images": []}
    assert nested.place.of(call) == flat.place.of({}) == ("", "production")
    for contract, parameters in ((flat, {}), (nested, call)):
        with pytest.raises(ContractError, match="must be a number"):
            costs(contract.cost, parameters, 0)


def test_what_cannot_be_read_is_named_as_its_path():
    contract = parsed(closed(spec=closed(replicas={})), meaning={"replicas": "spec.replicas"})
    with pytest.raises(ContractError, match=r"^spec\.replicas must be a number"):
        meant(contract, {"spec": {"replicas": "many"}})


def test_a_reference_is_followed():
    schema = {**closed(spec={"$ref": "#/$defs/a"}), "$defs": {"a": {"$ref": "#/$defs/b"}, "b": SPEC}}
    assert parsed(schema, meaning={"image": "spec.image"}).meaning == {"image": ("spec", "image")}


def test_a_name_with_dots_at_the_top_stays_a_name():
    contract = parsed(closed(**{"app.image": TEXT, "app": TEXT}), meaning={"image": "app.image"})
    assert contract.meaning == {"image": ("app.image",)}
    assert meant(contract, {"app": "x", "app.image": "a@sha256:1"})["images"] == ["a@sha256:1"]


NOT_CLOSED = {
    "says nothing of others": {"type": "object", "properties": {"image": TEXT}},
    "takes others": {**SPEC, "additionalProperties": True},
    "takes some others": {**SPEC, "additionalProperties": {"type": "string"}},
    "takes others by pattern": {**SPEC, "patternProperties": {"^i": TEXT}},
    "may be something else": {**SPEC, "type": ["object", "string"]},
    "does not say what it is": {key: value for key, value in SPEC.items() if key != "type"},
    "names nothing": {"type": "object"},
    "is anything": {},
    "is any of two": {"anyOf": [SPEC, closed(picture=TEXT)]},
    # Some drafts pass over what stands beside a reference.
    "is closed beside a reference alone": {**SPEC, "$ref": "#/$defs/open"},
}
OPEN = {"type": "object", "properties": {"image": TEXT}}


@pytest.mark.parametrize("spec", NOT_CLOSED.values(), ids=list(NOT_CLOSED))
def test_rule_01_a_path_leads_through_closed_objects_only(spec):
    schema = {**closed(spec=spec), "$defs": {"open": OPEN}}
    for reads in (
        {"meaning": {"image": "spec.image"}},
        {"cost": [{"unit": "x", "parameter": "spec.image", "factor": 1}]},
        {"environment_from": {"parameter": "spec.image", "values": VALUES}},
    ):
        with pytest.raises(FieldError, match=r"spec is no closed object"):
            parsed(schema, **reads)


@pytest.mark.parametrize(
    "spec",
    [{"type": "array", "items": SPEC}, TEXT, {"type": ["array", "null"], "prefixItems": [SPEC]}, closed(), False],
)
@pytest.mark.parametrize("path", ["spec.image", "spec.0.image", "spec.items.image"])
def test_rule_01_a_path_leads_through_no_list_and_to_nothing_undeclared(spec, path):
    with pytest.raises(FieldError, match="expected one of spec"):
        parsed(closed(spec=spec), meaning={"image": path})


TWO_READINGS = {
    "a parameter of the same name": (closed(spec=SPEC, **{"spec.image": TEXT}), "spec.image"),
    "a member with a dot": (closed(spec=closed(a=closed(b=TEXT), **{"a.b": TEXT})), "spec.a.b"),
    "a parameter with a dot on the way": (closed(spec=SPEC, **{"spec.template": SPEC}), "spec.template.image"),
    "an open object that might hold it": (closed(spec=OPEN, **{"spec.image": TEXT}), "spec.image"),
    "an open member that might hold it": (closed(spec=SPEC, **{"spec.template": {}}), "spec.template.image"),
}  # fmt: skip


@pytest.mark.parametrize(("schema", "path"), TWO_READINGS.values(), ids=list(TWO_READINGS))
def test_rule_01_a_path_with_two_readings_is_refused(schema, path):
    with pytest.raises(FieldError, match="in two ways"):
        parsed(schema, meaning={"image": path})


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (closed(spec=closed(**{"a.b": TEXT})), "spec.a.b"),
        (closed(**{"spec.a": closed(b=TEXT)}), "spec.a.b"),
    ],
)
def test_rule_01_a_member_whose_name_holds_a_dot_is_not_reached(schema, path):
    with pytest.raises(FieldError, match="holds a dot"):
        parsed(schema, meaning={"image": path})


def test_rule_01_a_call_cannot_bring_a_second_reading():
    contract = parsed(closed(spec=SPEC), meaning={"image": "spec.image", "replicas": "spec.replicas"})
    catalogue = Catalogue((contract,))
    for smuggled in (
        {"spec": {"replicas": 2}, "spec.replicas": 200},
        {"spec": {"replicas": 2, "Replicas": 200}},
        {"spec": [{"replicas": 200}]},
        {"spec": {"template": {"image": "a", "replicas": 200}}},
    ):
        with pytest.raises(ContractError):
            catalogue.check(contract, smuggled)
    assert catalogue.check(contract, {"spec": {"replicas": 2}}) == {"spec": {"replicas": 2}}


@pytest.mark.parametrize(
    "words", [{"text": "spec", "command": "spec.image"}, {"command": "spec.image", "text": "spec"}]
)
def test_a_parameter_means_nothing_as_a_whole_and_in_its_part(words):
    with pytest.raises(FieldError, match="as a whole and in its part"):
        parsed(closed(spec=SPEC), meaning=words)
    assert len(parsed(closed(spec=SPEC), meaning=dict.fromkeys(words, "spec.image")).meaning) == 2


@pytest.mark.parametrize(
    ("server", "fits"),
    [
        (closed(spec=SPEC, note=TEXT), True),
        (closed(spec=SPEC), True),
        (closed(note=TEXT), False),
        (closed(spec=closed(image=TEXT), note=TEXT), False),
        (closed(**{"spec": SPEC, "app.name": TEXT}), True),
    ],
)
@pytest.mark.parametrize(
    "reads",
    [
        {"meaning": {"image": "spec.image"}},
        {"cost": [{"parameter": "spec.image"}]},
        {"verify": {"parameters": {"name": {"parameter": "spec.image"}}, "expect": {"a": {"present": True}}}},
        {"verify": {"expect": {"a": {"equals": {"parameter": "spec.image"}}}}},
    ],
)
def test_a_contract_is_not_cut_where_it_reads(server, fits, reads):
    entry = {"name": "scale", "schema": closed(spec=SPEC, note=TEXT), **reads}
    assert (cut_to(entry, server) is not None) is fits


def test_a_contract_is_not_cut_where_a_name_with_dots_is_read():
    entry = {"schema": closed(**{"app.image": TEXT, "note": TEXT}), "meaning": {"image": "app.image"}}
    assert cut_to(entry, closed(note=TEXT)) is None
    assert cut_to(entry, closed(**{"app.image": TEXT})) is not None
