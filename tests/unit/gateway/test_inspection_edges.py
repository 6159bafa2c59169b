"""Where exactly a finding stands, how far a call is looked through, and what is found in what is written otherwise."""

import base64
import gzip

import pytest

from bywire.gateway.inspection import FINDINGS_MAX, NAME_CHARS_MAX, PATH_CHARS_MAX, STRINGS_MAX, inspect
from bywire.model.gateway_inspection import Finding, FindingClass, InspectionSettings, SensitivePattern

DEFAULT = InspectionSettings()
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
IBAN = "NO9386011117947"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
LISTED = ("kubectl",)


def found(parameters, settings=DEFAULT, **how):
    return inspect(parameters, settings=settings, **how)


def told(parameters, settings=DEFAULT, **how):
    return {(one.parameter, one.kind) for one in found(parameters, settings, **how)}


def b64(data, times=1):
    for _ in range(times):
        data = base64.b64encode(data)
    return data.decode()


# --- places ---


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        ({"a": AWS}, "a"),
        ({"a": {"b": [1, {"c": AWS}]}}, "a.b[1].c"),
        ({"a": (1, AWS)}, "a[1]"),
        ({"a": {5: AWS}}, "a.5"),
        ({"größe": AWS}, "größe"),
        ({"ä" * 15: AWS}, "ä" * 15),
        ({"ä" * 16: AWS}, '"' + "ä" * 16 + '"'),
        ({"a-plain-name-of-more-than-a-few": AWS}, "a-plain-name-of-more-than-a-few"),
        ({"Xx y.z": AWS}, '"Xx y?z"'),
        ({'a"[0]\x07': AWS}, '"a??0??"'),
        ({"": {"a": AWS}}, '"".a'),
        ({"a " * NAME_CHARS_MAX: AWS}, '"' + ("a " * NAME_CHARS_MAX)[:NAME_CHARS_MAX] + '"'),
        ({"a": {"b" * 64: {"c" * 64: {"d" * 64: {"e" * 64: AWS}}}}}, ".".join(["a", *(c * 64 for c in "bcde")])[:256]),
    ],
)
def test_a_finding_names_its_place(parameters, place):
    assert [one.parameter for one in found(parameters)] == [place]
    assert len(place) <= PATH_CHARS_MAX


@pytest.mark.parametrize("key", [IBAN, "CUST_1234", "CUSTOMER_ANA"])
def test_a_short_key_that_is_sensitive_stands_in_no_place(key):
    patterns = (SensitivePattern("customer", "CUST_[0-9]{4}|CUSTOMER_[A-Z]+"),)
    own = DEFAULT if key == IBAN else InspectionSettings(patterns=patterns)
    findings = found({key: {"x": AWS}}, own)
    assert len(findings) == 2
    assert not [one for one in findings if key in one.parameter]


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        ({"password": "hunter2hunter2"}, "password"),
        ({"passwords": ["", "hunter2hunter2"]}, "passwords[1]"),
        ({"env": [{"name": "DB_PASSWORD", "value": "plain words"}]}, "env[0].value"),
        ({"env": [{"Name": "DB_PASSWORD", "Value": "plain words"}]}, "env[0].Value"),
    ],
)
def test_what_only_a_name_calls_a_secret_is_one_without_certainty(parameters, place):
    assert found(parameters) == (Finding(place, "named_secret", FindingClass.SECRET, certain=False),)


# --- how far a call is looked through ---


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ([[1]], set()),
        ([[[1]]], {"a[0][0]"}),
        ({"b": {"c": 1}}, set()),
        ({"b": {"c": {}}}, {"a.b.c"}),
        ([{"b": 1}], set()),
        ([{"b": []}], {"a[0].b"}),
        ([{"b": "x"}, [[]]], {"a[1][0]"}),
    ],
)
def test_what_lies_deeper_than_the_bound_is_too_deep(value, places):
    assert told({"a": value}, InspectionSettings(depth_max=2)) == {(place, "depth") for place in places}


@pytest.mark.parametrize(
    ("characters", "parameters", "kinds"),
    [
        (10, {"a": "x" * 9}, set()),
        (10, {"a": "x" * 10}, {"bytes"}),
        (10, {"a": "x", "b": ["x" * 5, "xx"]}, set()),
        (10, {"a": "x", "b": ["x" * 5, "xxx"]}, {"bytes"}),
        (21, {"a": AWS + " and more"}, {"bytes", "aws_key"}),
        (20, {"a": AWS + " and more"}, {"bytes"}),
        (5, {"a": "x" * 20, "b": AWS}, {"bytes"}),
        (1, {"a": "\x00"}, {"bytes"}),
        (2, {"a": "\x00"}, {"nul_byte"}),
    ],
)
def test_names_and_values_together_are_read_up_to_the_bound(characters, parameters, kinds):
    assert {kind for _, kind in told(parameters, InspectionSettings(bytes_max=characters))} == kinds


@pytest.mark.parametrize(
    ("more", "kinds"),
    [([], set()), ([""], {"strings"}), ([AWS], {"strings"}), (["x", AWS], {"strings"})],
)
def test_only_so_many_strings_are_read(more, kinds):
    assert {kind for _, kind in told({"a": [""] * (STRINGS_MAX - 1) + more})} == kinds


def test_too_many_strings_are_not_too_many_bytes():
    assert told({"a": [""] * STRINGS_MAX}, InspectionSettings(bytes_max=1)) == {("", "strings")}


def test_the_last_string_that_is_read_is_read():
    assert told({"a": [""] * (STRINGS_MAX - 2) + [AWS]}) == {(f"a[{STRINGS_MAX - 2}]", "aws_key")}


@pytest.mark.parametrize(("times", "kind"), [(1, "png"), (7, "png"), (8, "nested")])
def test_what_is_encoded_again_and_again_is_read_seven_times(times, kind):
    assert told({"a": b64(PNG, times)}) == {("a", "base64"), ("a", kind)}


@pytest.mark.parametrize(("payloads", "nested"), [(4, set()), (5, {("a", "nested")})])
def test_what_unfolds_is_read_to_four_times_the_bound(payloads, nested):
    bound = 1000
    text = " ".join([b64(gzip.compress(b"x " * (bound // 2)))] * payloads)
    assert told({"a": text}, InspectionSettings(bytes_max=bound)) == {("a", "base64"), ("a", "gzip")} | nested


def test_as_many_findings_as_may_be_told_are_told():
    emails = {f"a{index:03}": "ana@example.com" for index in range(FINDINGS_MAX)}
    assert {one.kind for one in found(emails)} == {"email"}
    assert len(found(emails)) == FINDINGS_MAX
    more = found(emails | {"b": "bob@example.com"})
    assert len(more) == FINDINGS_MAX
    assert more[0] == Finding("", "findings", FindingClass.SIZE)


def test_where_there_are_too_many_the_certain_ones_stay():
    guesses = {f"a{index:03}": {"password": "hunter2hunter2"} for index in range(FINDINGS_MAX)}
    assert ("z", "aws_key") in told(guesses | {"z": AWS})


# --- what is written otherwise ---


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\n    ", "\\n"])
@pytest.mark.parametrize("note", ["", "see $(id) "])
def test_a_secret_that_goes_on_in_the_next_line_is_found(line_end, note):
    broken = f"{note}{AWS[:8]}{line_end}{AWS[8:]}"
    assert ("a", "aws_key") in told({"a": broken})
    assert ("a", "aws_key") in told({"other": "x", "a": broken, "more": "y"})
    assert {("a", "gzip"), ("a", "aws_key")} <= told({"a": b64(gzip.compress(broken.encode()))})


@pytest.mark.parametrize(
    ("word", "text", "kinds"),
    [
        ("path", "%2Fabc", {"absolute_path"}),
        ("path", b64(b"/srv/other/place"), {"base64", "absolute_path"}),
        ("host", b64(b"ops@evil.example"), {"base64", "ssh_destination", "email"}),
        ("script", b64(b"main;rm -rf /"), {"base64", "shell_chain"}),
        ("text", b64(b"main;rm -rf /"), {"base64", "shell_chain"}),
        ("text", "main;rm -rf /", set()),
        ("script", "main;rm -rf /", set()),
    ],
)
def test_what_is_encoded_is_read_as_what_its_parameter_means(word, text, kinds):
    assert {kind for _, kind in told({"p": text}, meaning={word: ("p",)})} == kinds


@pytest.mark.parametrize("data", [AWS, f"key {AWS} of ana", f"{AWS[:8]}\n{AWS[8:]}"])
def test_what_is_compressed_holds_what_it_holds(data):
    assert ("a", "aws_key") in told({"a": b64(gzip.compress(data.encode()))})
    assert Finding("a", "aws_key", FindingClass.SECRET) in found({"a": b64(gzip.compress(data.encode()))})


# --- which parameters are commands ---


@pytest.mark.parametrize(
    ("parameters", "meaning", "places"),
    [
        ({"command": "helm ls"}, {}, {"command"}),
        ({"Command": "helm ls"}, {}, {"Command"}),
        ({"command": "kubectl get", "note": "hello there"}, {}, set()),
        ({"command": "kubectl get", "note": {"command": "hello there"}}, {}, set()),
        ({"cmd": "kubectl get", "args": "helm ls"}, {}, {"args"}),
        ({"cmd": "kubectl get", "args": "helm ls"}, {"command": "cmd"}, set()),
        ({"cmd": "helm ls", "args": "kubectl get"}, {"command": "cmd"}, {"cmd"}),
        ({"cmd": "kubectl get", "run": "db.example.com"}, {"host": "run"}, set()),
        ({"cmd": {"first": "kubectl get", "then": "helm ls"}}, {}, {"cmd.then"}),
        ({"spec": {"do": "kubectl get", "then": "helm ls"}}, {"command": "spec.do"}, set()),
        ({"spec": {"do": "helm ls", "then": "helm ls"}}, {"command": "spec.do"}, {"spec.do"}),
        ({"a": {"b": {"do": ["helm", "ls"]}, "do": "helm ls"}}, {"command": "a.b.do"}, {"a.b.do"}),
        ({"spec": {"do": "kubectl get"}, "do": "helm ls", "cmd": "ls"}, {"command": "spec.do"}, set()),
        ({"cmd": {"do": "helm ls", "then": "ls"}}, {"text": "cmd.do"}, {"cmd.then"}),
        ({"cmd": {"do": "kubectl get", "then": "db.example.com"}, "run": "ls"}, {"host": "cmd.then"}, {"run"}),
        ({"spec": ["helm ls", {"do": "helm ls"}]}, {"command": "spec.do"}, set()),
        ({"cmd": {"first": ["kubectl", "get"], "then": ["helm", "ls"]}}, {}, {"cmd.then"}),
    ],
)
def test_a_list_of_programs_is_for_the_parameters_that_are_commands(parameters, meaning, places):
    said = {word: tuple(place.split(".")) for word, place in meaning.items()}
    named = {one.parameter for one in found(parameters, commands=LISTED, meaning=said) if one.kind != "raw_ip"}
    assert named == places


@pytest.mark.parametrize(
    ("arguments", "findings"),
    [
        (["kubectl", "get", "pods"], set()),
        (["kubectl", "scale", "--replicas", 5], set()),
        (["kubectl", "annotate", "pod/x", "note=a;rm b"], set()),
        (["kubectl", "annotate", "pod/x", "bash -c id"], set()),
        (["rm", "-rf", 5], {("cmd", "command_not_listed")}),
        ([5, "kubectl"], {("cmd", "command_not_listed")}),
        ([["kubectl", "get"], ["kubectl", "logs"]], set()),
        ([["kubectl", "get"], ["rm", "x"]], {("cmd[1]", "command_not_listed")}),
        (["kubectl", ["rm", "x"]], {("cmd[1]", "command_not_listed")}),
        ([{"then": "rm x"}], {("cmd[0].then", "command_not_listed")}),
        (("rm", "x"), {("cmd", "command_not_listed")}),
        ([], set()),
    ],
)
def test_a_list_of_arguments_is_one_command_and_a_list_in_it_another(arguments, findings):
    assert told({"cmd": arguments}, commands=LISTED) == findings
