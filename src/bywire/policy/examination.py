"""Everything that is asked of a bundle before it may decide, in one pure pass: parse, lint, coverage, tests, answers.

It runs where it can be killed (`adapters.policy_child`): parsing alone can take regorus for ever. So question and
answer are plain values that travel as JSON.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bywire.model.decision import Decision, Effect
from bywire.model.errors import PolicyError
from bywire.policy import lint, regotest
from bywire.policy.bundle import Bundle, parse_bundle
from bywire.policy.engine import ENGINE_VERSION, PolicyEngine
from bywire.policy.engine.canonical_input import canonical_input
from bywire.policy.rego_syntax import parse_module
from bywire.policy.rule_index import rule_sites
from bywire.seal.digest import sha256_hex

QUESTIONS_MAX = 2_000
DIFFERENCES_MAX = 20

# (modules by path, data document as JSON, packages) -> each package's document, as Open Policy Agent evaluates it.
Opa = Callable[[Mapping[str, str], str, tuple[str, ...]], dict[str, dict[str, Any]]]


class Question(msgspec.Struct, frozen=True):
    """A recorded input to be decided."""

    entrypoint: str
    input: dict[str, Any]


class Request(msgspec.Struct, frozen=True):
    """What to look at. `files` are the bundle's, by path; `opa` names where Open Policy Agent is, empty for nowhere."""

    files: dict[str, bytes]
    tests: bool = True
    opa: str = ""
    questions: tuple[Question, ...] = ()


class Written(msgspec.Struct, frozen=True):
    """One place where a rule id is given as a reason: `file:line:col` and the definition's text."""

    place: str
    text: str


class OpaReport(msgspec.Struct, frozen=True):
    """What Open Policy Agent said of the same tests: how many, and where it answers otherwise than regorus."""

    tests: int
    differing: tuple[str, ...]


class Examination(msgspec.Struct, frozen=True):
    """What was found. `error` (code, message, next_step) is why the rest is missing.

    `rules` maps rule ids to where they are written, `definitions` full rule names to a digest of their text, `tables`
    names to digests by key, `messages` rule ids to digests.
    """

    engine: str
    digest: str = ""
    revision: int = 0
    entrypoints: tuple[str, ...] = ()
    error: dict[str, str] | None = None
    findings: tuple[str, ...] = ()
    rules: dict[str, tuple[Written, ...]] = {}
    definitions: dict[str, str] = {}
    tables: dict[str, dict[str, str]] = {}
    messages: dict[str, str] = {}
    tests: regotest.Report | None = None
    opa: OpaReport | None = None
    decisions: tuple[Decision, ...] = ()

    @property
    def fit(self) -> bool:
        """Whether the bundle may decide: it loads, lints, and its tests pass and prove every rule."""
        sound = self.error is None and not self.findings and self.tests is not None and self.tests.ok
        return sound and (self.opa is None or not self.opa.differing)


def examine(request: Request, opa: Opa | None = None) -> Examination:
    """Look at a bundle. A bundle that is not fit is an answer; the process may still be killed or crash meanwhile."""
    found = Examination(engine=ENGINE_VERSION)
    try:
        bundle = parse_bundle(request.files)
        found = _described(found, bundle)
        findings = lint.lint(bundle)
        if findings:
            return msgspec.structs.replace(found, findings=tuple(map(str, findings)))
        lint.compile_rules(bundle)
        engine = PolicyEngine(bundle, linted=True)
        found = msgspec.structs.replace(found, findings=_answers_nothing(engine, bundle))
        if request.tests:
            report = regotest.run_bundle(bundle)
            found = msgspec.structs.replace(found, tests=report, opa=_compared(bundle, report, opa))
        decisions = tuple(engine.decide(question.entrypoint, question.input) for question in request.questions)
        engine.release()
        return msgspec.structs.replace(found, decisions=decisions)
    except PolicyError as error:
        return msgspec.structs.replace(found, error=error.as_json())


def _described(found: Examination, bundle: Bundle) -> Examination:
    return msgspec.structs.replace(
        found,
        digest=bundle.digest,
        revision=bundle.manifest.revision,
        entrypoints=bundle.manifest.entrypoints,
        rules={
            rule: tuple(Written(str(place), text) for place, text in ((site.place, site.text), *site.also))
            for rule, site in sorted(rule_sites(bundle).items())
        },
        definitions=_definitions(bundle),
        tables={name: {key: _digest(value) for key, value in table.items()} for name, table in bundle.tables.items()},
        messages={rule: _digest(message) for rule, message in bundle.messages.items()},
    )


def _definitions(bundle: Bundle) -> dict[str, str]:
    texts: dict[str, list[str]] = {}
    for module in map(parse_module, (*bundle.modules, *bundle.agents.values())):
        for rule in module.rules:
            texts.setdefault(f"{module.package}.{rule.name}", []).append(module.definition(rule))
    return {name: sha256_hex("\n".join(parts).encode()) for name, parts in sorted(texts.items())}


def _digest(value: Any) -> str:
    return sha256_hex(canonical_input({"value": value}))


def _answers_nothing(engine: PolicyEngine, bundle: Bundle) -> tuple[str, ...]:
    """An entrypoint must answer, and deny, even when it is told nothing."""
    decisions = ((entrypoint, engine.decide(entrypoint, {})) for entrypoint in bundle.manifest.entrypoints)
    return tuple(
        f"manifest.json:1:1: {entrypoint} answers {decision.effect} ({decision.reasons[0].rule}) to an empty question;"
        " make it deny, by a rule of its own"
        for entrypoint, decision in decisions
        if decision.effect is not Effect.DENY or decision.reasons[0].rule.startswith("engine.")
    )


def _compared(bundle: Bundle, report: regotest.Report, opa: Opa | None) -> OpaReport | None:
    if opa is None:
        return None
    everything = (*bundle.modules, *bundle.agents.values(), *bundle.tests, *bundle.agent_tests.values())
    ours = {**dict.fromkeys(report.passed, True), **{failure.test: False for failure in report.failed}}
    packages = tuple(sorted({test.rpartition(".")[0] for test in ours}))
    theirs = opa({module.path: module.source for module in everything}, bundle.data_json(), packages)
    differing = [
        f"{test}: regorus says {ours[test]}, OPA {theirs.get(package, {}).get(name, 'undefined')}"
        for test in sorted(ours)
        for package, _, name in (test.rpartition("."),)
        if (theirs.get(package, {}).get(name) is True) is not ours[test]
    ]
    return OpaReport(len(ours), tuple(differing[:DIFFERENCES_MAX]))
