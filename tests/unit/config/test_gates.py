"""Who must agree, when, and how soon: gates, rates, change windows and reminders of operator.yaml."""

import jsonschema_rs
import pytest
from config_documents import OPERATOR, edited, schema
from hypothesis import given
from hypothesis import strategies as st

from bywire.config.operator_config import parse
from bywire.config.reading import FieldError
from bywire.model.operator import ChangeWindow, Gate, Reminders

SCHEMA = jsonschema_rs.validator_for(schema("operator.schema.json"))
WINDOW = {"days": ["fri", "mon"], "from": "09:00", "to": "16:00", "utc_offset": "+01:00"}


def read(**sections):
    document = {**OPERATOR, **sections}
    SCHEMA.validate(document)
    return parse(document, "operator.yaml")


def test_every_kind_of_gate_is_read():
    gates = {
        "trivial": {"kind": "automatic"},
        "low": {"kind": "single"},
        "medium": {"kind": "scheduled", "roles": ["service-owner"]},
        "high": {"kind": "multi-signer", "count": 2, "roles": ["sre-oncall", "service-owner"]},
    }
    assert read(gates=gates).gates == {
        "trivial": Gate("automatic", 0),
        "low": Gate("single", 1),
        "medium": Gate("scheduled", 1, ("service-owner",)),
        "high": Gate("multi-signer", 2, ("sre-oncall", "service-owner")),
    }


def test_windows_rates_and_reminders_are_read():
    reminders = {
        "after_seconds": [1800, 600],
        "escalate_after_seconds": 2700,
        "escalate_to": ["incident-commander"],
    }
    late = {"days": ["sun"], "from": "22:30", "to": "24:00", "utc_offset": "-05:30"}
    found = read(tool_rates={"set_canary_weight": 12}, change_windows=[WINDOW, late], reminders=reminders)
    assert found.tool_rates == {"set_canary_weight": 12}
    assert found.change_windows == (ChangeWindow((0, 4), 540, 960, 60), ChangeWindow((6,), 1350, 1440, -330))
    assert found.reminders == Reminders((600, 1800), 2700, ("incident-commander",))


def test_what_is_left_out_is_nothing():
    found = read()
    assert (found.gates, found.tool_rates, found.change_windows, found.reminders) == ({}, {}, (), Reminders())
    assert read(gates={}, tool_rates={}, change_windows=[], reminders={}) == found


MALFORMED = [
    (("gates",), [], "a mapping with", True),
    (("gates",), {"huge": {"kind": "single"}}, "unknown key 'huge'", True),
    (("gates",), {"high": {}}, "'kind' is missing", True),
    (("gates",), {"high": {"kind": "double"}}, "expected one of automatic", True),
    (("gates",), {"high": {"kind": "multi-signer"}}, "says how many sign", False),
    (("gates",), {"high": {"kind": "multi-signer", "count": 1}}, "from 2 to 10", False),
    (("gates",), {"high": {"kind": "multi-signer", "count": 11}}, "from 2 to 10", True),
    (("gates",), {"high": {"kind": "single", "count": 2}}, "from 1 to 1", False),
    (("gates",), {"low": {"kind": "automatic", "count": 1}}, "from 0 to 0", False),
    (("gates",), {"high": {"kind": "multi-signer", "count": True}}, "a whole number", True),
    (("gates",), {"high": {"kind": "multi-signer", "count": 3}}, "only 2 of the people hold a role", False),
    (("gates",), {"high": {"kind": "single", "roles": ["security"]}}, "only 0 of the people hold security", False),
    (("gates",), {"high": {"kind": "single", "roles": ["boss"]}}, "expected one of service-owner", True),
    (("gates",), {"high": {"kind": "single", "roles": []}}, "expected 1 to 5 roles", True),
    (("gates",), {"high": {"kind": "single", "more": 1}}, "unknown key 'more'", True),
    (("tool_rates",), [], "a mapping of at most", True),
    (("tool_rates",), {"Deploy": 1}, "a tool such as", True),
    (("tool_rates",), {"*": 1}, "a tool such as", True),
    (("tool_rates",), {"deploy_release": 0}, "from 1 to 100000", True),
    (("change_windows",), [{**WINDOW, "days": []}], "1 to 7 days", True),
    (("change_windows",), [{**WINDOW, "days": ["Mon"]}], "expected one of mon", True),
    (("change_windows",), [{**WINDOW, "days": ["mon", "mon"]}], "appears twice", True),
    (("change_windows",), [{**WINDOW, "from": "9:00"}], "a time of day", True),
    (("change_windows",), [{**WINDOW, "from": "24:01"}], "a time of day", True),
    (("change_windows",), [{**WINDOW, "from": 900}], "a time of day", True),
    (("change_windows",), [{**WINDOW, "to": "09:00"}], "a time after the start", False),
    (("change_windows",), [{**WINDOW, "from": "22:00", "to": "04:00"}], "a time after the start", False),
    (("change_windows",), [{**WINDOW, "utc_offset": "+15:00"}], "an offset from UTC", True),
    (("change_windows",), [{**WINDOW, "utc_offset": "Europe/Berlin"}], "an offset from UTC", True),
    (("reminders",), {"after_seconds": [0]}, "from 1 to", True),
    (("reminders",), {"after_seconds": [600, 600]}, "appears twice", True),
    (("reminders",), {"escalate_after_seconds": 600}, "both a time and somebody", True),
    (("reminders",), {"escalate_to": ["security"]}, "both a time and somebody", True),
    (("reminders",), {"every_seconds": 60}, "unknown key 'every_seconds'", True),
]


@pytest.mark.parametrize(("path", "value", "says", "schema_sees"), MALFORMED)
def test_malformed_sections_get_one_clear_message(path, value, says, schema_sees):
    document = edited(OPERATOR, path, value)
    with pytest.raises(FieldError) as caught:
        parse(document, "operator.yaml")
    assert says in caught.value.message
    assert caught.value.next_step
    assert SCHEMA.is_valid(document) is not schema_sees


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "count", "roles", "days", "from", "to", "high"]) | st.text(), inner)
    ),
    max_leaves=6,
)


@given(st.sampled_from(["gates", "tool_rates", "change_windows", "reminders"]), ANYTHING)
def test_whatever_is_written_is_read_or_refused(section, value):
    try:
        parse({**OPERATOR, section: value}, "operator.yaml")
    except FieldError as error:
        assert section in error.message
