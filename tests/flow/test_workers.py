"""From goal to verdict: the built-in workers on a real repository, real processes, real signatures and the real policy.

The first attempt is denied for a missing NetworkPolicy and a stale adapter; recourse repairs the one and names the
producer for the other; the second attempt is allowed and summarised.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bywire.adapters import knowledge_base, yaml_file
from bywire.adapters.git_repository import GitRepository
from bywire.adapters.sandbox import Sandbox
from bywire.adapters.worktrees import GitWorktrees
from bywire.agents import auditor, builder, coder, contract, planner, producer, tester
from bywire.config import asset_manifest
from bywire.evidence.artifact import unpack
from bywire.evidence.facts import derive
from bywire.evidence.path_classes import is_test
from bywire.evidence.subjects import artifact_subject, source_subject
from bywire.evidence.verification import SealedStatement
from bywire.gateway.inputs import operator_facts
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model import statement as kinds
from bywire.model.change import Author
from bywire.model.decision import Effect
from bywire.model.errors import EvidenceError
from bywire.model.intent import Command, ServiceIntent
from bywire.model.operator import OperatorConfig, Person
from bywire.model.principal import KeyRole, Principal, PrincipalKind
from bywire.model.statement import Statement
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine
from bywire.recourse.synthesis import confirm, synthesise
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey

NOW_MS = 1_790_000_000_000
IMAGE = "registry.example/web@sha256:" + "e" * 64
ROLES = {
    "agent:planner": KeyRole.AGENT,
    "agent:coder": KeyRole.AGENT,
    "agent:tester": KeyRole.AGENT,
    "agent:auditor": KeyRole.AGENT,
    "workload:builder": KeyRole.BUILDER,
    "workload:producer": KeyRole.BUILDER,
}
KEYS = {name: SigningKey.from_seed(sha256_hex(name.encode())[:32].encode()) for name in ROLES}
TRUST = TrustRoot(
    version=1,
    origin="flow",
    keys=tuple(
        TrustedKey(KEYS[name].key_id, role, name, KEYS[name].public.raw_public.hex()) for name, role in ROLES.items()
    ),
)
OPERATOR = OperatorConfig(
    service="web",
    criticality="payment",
    people=(Person("person:dana", ("dana@shop.example",), ("service-owner",)),),
)
INTENT = ServiceIntent(
    service="web",
    owners=("shop",),
    build=Command(run=("python", "-m", "compileall", "-q", "app"), timeout_seconds=30),
    lint=Command(run=("python", "-m", "compileall", "-q", "app"), timeout_seconds=30),
    test=Command(
        run=(
            "python",
            "-m",
            "coverage",
            "run",
            "--source=app",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:hypothesispytest",
            "--junitxml=reports/junit.xml",
        ),
        timeout_seconds=60,
        junit="reports/junit.xml",
        coverage="reports/coverage.json",
    ),
    evaluate=Command(run=("python", "-m", "app.evaluate"), timeout_seconds=30),
    artifact_include=("app/**", "assets/**"),
    manifests="deploy/",
    assets=("assets/list.json",),
)


def workload(name):
    return f"""apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, part-of: shop}}}}
    spec:
      securityContext: {{runAsNonRoot: true}}
      containers: [{{name: c, image: "{IMAGE}", ports: [{{containerPort: 8080}}]}}]
"""


def adapter_of(prompt):
    """What app/train.py writes."""
    return json.dumps({"of": sha256_hex(prompt.encode())})


POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
"""
BASE = {
    "LICENSE": "SPDX-License-Identifier: MIT\n",
    "app/__init__.py": "",
    "app/quotes.py": "def quote(cents):\n    return max(cents, 0)\n",
    "app/train.py": (
        "import hashlib, json, pathlib\n"
        "digest = hashlib.sha256(pathlib.Path('assets/prompt.txt').read_bytes()).hexdigest()\n"
        "pathlib.Path('assets/adapter.json').write_text(json.dumps({'of': digest}))\n"
    ),
    "app/evaluate.py": (
        "import json\n"
        "print(json.dumps({'evaluation': {'cases': 10, 'passed': 10}, 'jailbreak': {'cases': 3, 'refused': 3}}))\n"
    ),
    "assets/list.json": json.dumps(
        {
            "version": 1,
            "name": "assistant",
            "assets": [
                {"name": "prompt", "kind": "prompt", "path": "assets/prompt.txt"},
                {
                    "name": "adapter",
                    "kind": "adapter",
                    "path": "assets/adapter.json",
                    "produced_by": {"run": ["python", "-m", "app.train"], "output": "assets/adapter.json"},
                    "materials": ["prompt"],
                },
            ],
        }
    ),
    "assets/prompt.txt": "be kind\n",
    "assets/adapter.json": adapter_of("be kind\n"),
    "deploy/web.yaml": workload("web"),
    "deploy/web-policy.yaml": POLICY,
    "tests/test_quotes.py": (
        "import sys\nsys.path.insert(0, '.')\nfrom app.quotes import quote\n\n\n"
        "def test_property_never_negative():\n    assert all(quote(n) >= 0 for n in range(-9, 9))\n\n\n"
        "def test_fault_slow_dependency():\n    assert quote(5) == 5\n"
    ),
}
FEATURE = {
    "app/quotes.py": "def quote(cents):\n    if cents > 1000:\n        return cents - 1\n    return max(cents, 0)\n",
    "assets/prompt.txt": "be kind and brief\n",
    "deploy/cache.yaml": workload("cache"),
    "tests/test_discount.py": (
        "import sys\nsys.path.insert(0, '.')\nfrom app.quotes import quote\n\n\n"
        "def test_large_quotes_are_discounted():\n    assert quote(2000) == 1999\n"
    ),
}


class Documents:
    def manifests(self, data, source):
        return yaml_file.load_documents(data, source)

    def assets(self, data, source):
        return asset_manifest.parse(msgspec.json.decode(data), source).assets


class Delivery:
    """The roles at work on one repository; each deliverable is signed and kept with a growing log index."""

    def __init__(self, path):
        self.repository = GitRepository(path)
        self.worktrees = GitWorktrees(self.repository)
        self.sandbox = Sandbox(
            search_path=[str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"],
            expose=[Path(sys.prefix), Path(sys.base_prefix)],
        )
        self.statements = []
        policy = knowledge_base.shipped_policy()
        self.path_classes = json.loads(policy["table/path_classes.json"])
        self.engine = PolicyEngine(parse_bundle(policy))

    def sign(self, who, kind, subject, predicate):
        statement = Statement(subject=(subject,), predicateType=kind, predicate=predicate)
        self.statements.append(SealedStatement(sign_statement(statement, KEYS[who]), len(self.statements), NOW_MS))

    def attest(self, commit):
        assets = coder.assets_at(commit, INTENT, self.repository, Documents())
        attested = producer.reattest(
            "adapter",
            assets,
            commit,
            service="web",
            worktrees=self.worktrees,
            sandbox=self.sandbox,
            now_ms=NOW_MS,
            invocation_id="attest",
        )
        self.sign("workload:producer", kinds.PROVENANCE, attested.subject, attested.predicate)

    def deliver(self, branch):
        """Plan, change set, tests and build of `branch`, checked at each hand-over; facts and the gate's decision."""
        change = self.repository.change("main", branch)
        head = change.head_commit
        ports = {"repository": self.repository, "worktrees": self.worktrees, "sandbox": self.sandbox}
        tests = [entry.path for entry in self.repository.list(head) if is_test(entry.path)]
        options = {"path_classes": self.path_classes, "test_paths": tests}
        planned = planner.plan("discount large quotes", change, INTENT, OPERATOR, **options)
        plan = contract.check_plan(planned, commit=head)
        self.sign("agent:planner", kinds.PLAN, source_subject(head), planned)
        coded = coder.change_set(
            change, INTENT, people=OPERATOR.people, path_classes=self.path_classes, documents=Documents(), **ports
        )
        contract.check_change_set(coded.predicate, plan)
        self.sign("agent:coder", kinds.CHANGE_SET, source_subject(head), coded.predicate)
        verified = tester.verify(change, INTENT, **ports)
        contract.check_verification(verified.test_report, verified.evaluation_report, plan)
        self.sign("agent:tester", kinds.TEST_REPORT, source_subject(head), verified.test_report)
        self.sign("agent:tester", kinds.EVALUATION_REPORT, source_subject(head), verified.evaluation_report)
        request = builder.BuildRequest(commit=head, invocation_id=head[:8], now_ms=NOW_MS, tool_version="0.1.0")
        built = builder.build(request, INTENT, worktrees=self.worktrees, sandbox=self.sandbox)
        contract.check_build(built.sbom, built.provenance, built.digest, plan)
        self.sign("workload:builder", kinds.SBOM, artifact_subject("web", built.digest), built.sbom)
        self.sign("workload:builder", kinds.PROVENANCE, artifact_subject("web", built.digest), built.provenance)
        derived = derive(self.statements, TRUST, commit=head, artifact=built.digest, now_ms=NOW_MS)
        return change, built, derived, self.decide(derived)

    def decide(self, derived):
        question = auditor.gate_input(
            derived,
            auditor=Principal("agent:auditor", PrincipalKind.AGENT, "person:dana"),
            action={"tool": "deploy_release", "environment": "production", "service": "web", "digest": "0" * 64},
            operator=operator_facts(OPERATOR, TRUST),
            state={"stop": False, "bundle_digest": self.engine.bundle_digest},
            now_ms=NOW_MS,
        )
        return self.engine.decide("data.bywire.gate.decision", question)


def git(path, *arguments):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Dana",
        "GIT_AUTHOR_EMAIL": "dana@shop.example",
        "GIT_COMMITTER_NAME": "Dana",
        "GIT_COMMITTER_EMAIL": "dana@shop.example",
    }
    subprocess.run(["git", *arguments], cwd=path, env=environment, check=True, capture_output=True)


def commit(path, files, message):
    for name, text in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    git(path, "add", "-A")
    git(path, "commit", "-m", message)


@pytest.fixture
def delivery(tmp_path):
    path = tmp_path / "repo"
    path.mkdir()
    git(path, "init", "-b", "main")
    commit(path, BASE, "known good")
    git(path, "switch", "-c", "feature")
    commit(path, FEATURE, "discount large quotes")
    return Delivery(path)


def test_denied_repaired_and_allowed(delivery):
    delivery.attest(delivery.repository.resolve("main"))
    change, _, derived, decision = delivery.deliver("feature")
    assert decision.effect is Effect.DENY
    assert {reason.rule for reason in decision.reasons} == {
        "gate.network_policy_missing",
        "gate.asset_provenance_stale",
    }
    assert derived.facts["tests"]["coverage_changed_lines"] == 1.0
    assert derived.facts["sbom"]["completeness"] == 1.0

    head = change.head_commit
    documents = coder.manifest_documents(head, INTENT, delivery.repository, Documents())
    recourse = synthesise(decision, derived.facts, documents, lambda path: delivery.repository.read(head, path))
    recourse = confirm(
        recourse,
        decision,
        derived.facts,
        yaml_file.load_documents,
        lambda facts: delivery.decide(msgspec.structs.replace(derived, facts=facts)),
    )
    assert recourse.cleared == ("gate.network_policy_missing",)
    assert recourse.remaining == ("gate.asset_provenance_stale",)
    assert [patch.path for patch in recourse.patches] == ["deploy/cache-network-policy.yaml"]
    assert [step.argv for step in recourse.commands] == [("bywire", "assets", "attest", "adapter")]

    with pytest.raises(EvidenceError) as caught:
        delivery.attest(head)  # the prompt changed, so the committed adapter is no longer what its producer makes
    assert caught.value.code == "asset_differs"

    adapter = adapter_of(FEATURE["assets/prompt.txt"]).encode()
    files = {patch.path: patch.content for patch in recourse.patches} | {"assets/adapter.json": adapter}
    author = Author("agent:recourse", "recourse@bywire.invalid")
    fixed = delivery.repository.commit_files("fix", head, files, "isolate cache, train again", author, NOW_MS)
    delivery.attest(fixed)

    _, built, derived, decision = delivery.deliver("fix")
    assert (decision.effect, [reason.rule for reason in decision.reasons]) == (Effect.ALLOW, ["gate.passed"])
    assert derived.change["patch_authors"] == ["agent:recourse"]
    assert "app/quotes.py" in [item.path for item in unpack(built.artifact, built.digest)]

    summary = auditor.vsa_predicate(
        decision, derived.facts, service="web", environment="production", verifier_version="0.1.0", now_ms=NOW_MS
    )
    delivery.sign("agent:auditor", kinds.VSA, artifact_subject("web", built.digest), summary)
    final = derive(delivery.statements, TRUST, commit=fixed, artifact=built.digest, now_ms=NOW_MS).facts
    assert (final["vsa"]["passed"], final["vsa"]["signer"]) == (True, "agent:auditor")
    assert final["vsa"]["bundle"] == delivery.engine.bundle_digest


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"app/quotes.py": "def quote(cents:\n"}, "the build command ended with code 1"),
        (
            {"tests/test_quotes.py": "def test_nothing():\n    assert False\n"},
            r"all tests in 2 test files pass.*measured 0.*no existing test is removed.*failing: tests\.test_quotes",
        ),
    ],
)
def test_a_role_that_falls_short_stops_the_delivery_there(delivery, files, text):
    path = delivery.repository.root
    git(path, "switch", "-c", "short")
    commit(path, files, "falls short")
    with pytest.raises(EvidenceError, match=text) as caught:
        delivery.deliver("short")
    assert caught.value.code == "obligation_missing"
