import pytest
from knowledge import bundle

from bywire.model.errors import PolicyError
from bywire.policy import lint
from bywire.policy.bundle import Module, parse_bundle
from bywire.policy.rego_syntax import NESTING_MAX, check_nesting

HEAD = "package bywire.a\n"
TOTAL = HEAD + 'default decision := {"effect": "deny"}\n'
ENTRY = b'{"revision": 1, "input_version": 1, "entrypoints": ["data.bywire.a.decision"]}'


def bundle_of(source, **more):
    others = {f"{name}.rego": text.encode() for name, text in more.items()}
    return parse_bundle({"manifest.json": ENTRY, "table/t.json": b'{"x": 1}', "a.rego": source.encode()} | others)


def test_the_knowledge_base_passes():
    assert lint.lint(bundle()) == ()
    lint.check(bundle())


PLAIN = """package bywire.a
import data.bywire.b as other
default decision := {}
decision := {"effect": "allow"} if {
    some path, content in input.files
    every line in content { not startswith(line, other.prefix) }
    names := [name | some name in data.bywire.table.t; count(pair(name, [path, 1])) > 0]
    input.x[path] == names
} else := {"effect": "deny"} if count(input.files) == 0
pair(name, [first, _]) := {name, first}
"""


def test_a_plain_policy_passes():
    assert [str(found) for found in lint.lint(bundle_of(PLAIN, b='package bywire.b\nprefix := "x"\n'))] == []


REFUSED = [
    ("x := time.now_ns()", "reads the clock"),
    ('x := rand.intn("a", 3)', "random"),
    ('x := uuid.rfc4122("a")', "random"),
    ('x := http.send({"url": "a"})', "reaches the network"),
    ('x := net.lookup_ip_addr("a")', "reaches the network"),
    ("x := opa.runtime()", "run-time"),
    ('x if trace("a")', "writes while deciding"),
    ('x if print("a")', "writes while deciding"),
    ('x := sprintf("%q", ["a"])', "%q"),
    ('x := io.jwt.decode("a")', "keys or tokens"),
    ("x if { walk(input, [p, v]); p == v }", "no bound"),
    ("x := nosuch(1)", "neither defined"),
    ("x := count(1, 2)", "takes 1 arguments"),
    ("f(a) := a\nx := f(1, 2)", "takes 1 arguments"),
    ("x := y", "y is not defined"),
    ("x if { y == z }", "is not defined"),
    ("x contains p if true", "p is not defined"),
    ("x if input.a[_] == 1", "wildcard"),
    ("x if input.a[i] == 1", "i is not defined"),
    ("x if { some i; input.a[i] == 1 }", "SomeVars"),
    ("x if input.a = 1", "`=` unifies"),
    ("x = 1", "form of rule"),
    ("x[k] := v if some k, v in input.o", "form of rule"),
    ("x.y := 1", "form of rule"),
    ("x if decision with input as 1", "`with` is for tests"),
    ("x := data.secrets.key", "data.secrets.key is not defined"),
    ("x := data.bywire.table.other", "data.bywire.table.other is not defined"),
    ("x := data.bywire", "data.bywire is not defined"),
    ("x := data[input.k]", "data is not defined"),
    ("x := 1 if input.a\nx := 2 if input.b", "several definitions"),
    ("x if input.a\nx := false if input.b", "several definitions"),
    ("x if y\ny if z\nz if x", "depends on itself"),
    ("f(n) := f(n)", "depends on itself"),
    ("x if { decision := 1; decision == 1 }", "hides"),
    ("x if { some a in input; some b in a; some c in b; some d in c; d }", "nested iterations"),
    (
        "x := [1 | some a in input; y := [1 | some b in a; z := [1 | some c in b; w := [d | some d in c]]]]",
        "nested",
    ),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_rule_07_what_leaves_the_subset_is_named_with_its_place(text, said):
    found = lint.lint(bundle_of(TOTAL + text + "\n"))
    assert any(said in str(finding) for finding in found), [str(finding) for finding in found]
    assert all(finding.place.file == "a.rego" and finding.place.line >= 3 and finding.remedy for finding in found)
    with pytest.raises(PolicyError) as refused:
        lint.check(bundle_of(TOTAL + text + "\n"))
    assert refused.value.code == "policy_lint"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("package other.a\n", "not ours to define"),
        ("package bywire.table.t\n", "not ours to define"),
        (HEAD + "import future.keywords\n", "Rego v0"),
        (HEAD + "import rego.v1\n", "Rego v0"),
        (HEAD + "import data.nothing.here\n", "names no package"),
        (HEAD + "import input.user\n", "names no package"),
        (HEAD + "decision := 1 if input.a\n", "undefined"),
        (HEAD, "undefined"),
    ],
)
def test_modules_keep_to_their_place(source, said):
    assert any(said in str(finding) for finding in lint.lint(bundle_of(source)))


def test_a_rule_may_not_share_its_name_with_a_package():
    found = lint.lint(bundle_of(TOTAL + "b := 1\n", b="package bywire.a.b\nx := 1\n"))
    assert any("both a rule and a package" in str(finding) for finding in found)


@pytest.mark.parametrize("source", ["p { true }", "p[x] { x := 1 }", "p := {", 'p := "%', "p if"])
def test_a_syntax_error_is_one_clear_error(source):
    with pytest.raises(PolicyError) as refused:
        lint.check(bundle_of(HEAD + source + "\n"))
    assert refused.value.code == "policy_syntax"
    assert refused.value.message.startswith("a.rego:")
    assert "backtrace" not in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("opened", ["[" * 30, "{" * 30, '{"a": ' * 30, "[{" * 15, "if " + "{" * 13])
def test_brackets_that_the_parser_would_try_for_hours_are_refused_at_once(opened):
    with pytest.raises(PolicyError, match=f"nests deeper than {NESTING_MAX}") as refused:
        lint.check(bundle_of(HEAD + f"\np := {opened}1\n"))
    line = HEAD.count("\n") + 2
    assert refused.value.message.startswith(f"a.rego:{line}:")


@pytest.mark.parametrize("written", ['"{}"', "`{}`", '"\\"{}"', '"a" # {}'])
def test_brackets_in_texts_and_comments_nest_nothing(written):
    check_nesting(Module("a.rego", HEAD + f"p := {written.replace('{}', '[{' * 30)}\n"))
    check_nesting(Module("a.rego", HEAD + f"p := {'[' * NESTING_MAX}1{']' * NESTING_MAX}\n"))
    check_nesting(Module("a.rego", HEAD + "p := [1]\n" * 99))


def test_a_broken_test_file_refuses_the_bundle():
    with pytest.raises(PolicyError, match=r"^x_test\.rego:2"):
        lint.check(bundle_of(TOTAL, x_test="package bywire.x_test\np {\n"))


def test_many_findings_are_counted_not_poured_out():
    source = TOTAL + "".join(f"x{n} := y{n}\n" for n in range(50))
    with pytest.raises(PolicyError, match="and 30 more"):
        lint.check(bundle_of(source))
