"""A whole delivery's statements, signed by the roles' own keys, to be varied by tests."""

from bywire.evidence import provenance
from bywire.evidence.artifact import ListedFile
from bywire.evidence.sbom import SbomSource, document
from bywire.evidence.subjects import artifact_subject, asset_subject, source_subject
from bywire.evidence.verification import SealedStatement
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model import statement as kinds
from bywire.model.principal import KeyRole
from bywire.model.statement import Statement
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
BASE, COMMIT, ARTIFACT = "b" * 40, "c" * 40, "a" * 64
PROMPT, ADAPTER = sha256_hex(b"prompt"), sha256_hex(b"adapter")
PRINCIPALS = {
    "agent:planner": KeyRole.AGENT,
    "agent:coder": KeyRole.AGENT,
    "agent:tester": KeyRole.AGENT,
    "agent:auditor": KeyRole.AGENT,
    "workload:builder": KeyRole.BUILDER,
    "workload:producer": KeyRole.BUILDER,
    "person:oncall": KeyRole.APPROVER,
}
KEYS = {name: SigningKey.from_seed(sha256_hex(name.encode())[:32].encode()) for name in PRINCIPALS}
STRANGER = SigningKey.from_seed(b"\x07" * 32)


def trust(**limits):
    """The trust root; `limits` maps a principal's bare name to the index at which its key ends."""
    return TrustRoot(
        version=1,
        origin="test",
        keys=tuple(
            TrustedKey(
                key_id=KEYS[name].key_id,
                role=role,
                principal=name,
                public=KEYS[name].public.raw_public.hex(),
                to_index=limits.get(name.partition(":")[2]),
            )
            for name, role in PRINCIPALS.items()
        ),
    )


def sealed(kind, subject, predicate, signer, entry, *, age_ms=0, key=None):
    statement = Statement(subject=(subject,), predicateType=kind, predicate=predicate)
    return SealedStatement(sign_statement(statement, key or KEYS[signer]), entry, NOW_MS - age_ms)


OUTCOME = {"command": ["true"], "exit_code": 0, "timed_out": False, "seconds": 0.5, "isolation": "namespaces"}
PLAN = {
    "goal": "faster quotes",
    "service": "web",
    "base_commit": BASE,
    "commit": COMMIT,
    "tier": "medium",
    "tier_reasons": [{"tier": "medium", "because": "criticality", "paths": []}],
    "acceptance": [{"id": "tests-pass", "says": "all tests pass", "measure": "tests.all_pass", "target": 1}],
    "policies": ["gate.tests_failed"],
    "targets": {
        "provenance_level": 1,
        "sbom_completeness": 0.95,
        "coverage_changed_lines": 0.8,
        "evaluation_pass_ratio": 0.9,
        "jailbreak_refused_ratio": 1.0,
    },
    "segments": [],
    "dependencies": [],
    "loosened": ["rollout.steps"],
}
MANIFEST = {
    "path": "deploy/web.yaml",
    "api_version": "apps/v1",
    "kind": "Deployment",
    "namespace": "shop",
    "name": "web",
    "pod_labels": {"app": "web"},
    "selector": {"app": "web"},
    "run_as_non_root": True,
    "privileged": False,
    "images": ["web@sha256:" + "e" * 64],
}
CHANGE_SET = {
    "service": "web",
    "branch": "feature",
    "base_commit": BASE,
    "commit": COMMIT,
    "files": [{"path": "web/app.py", "status": "M", "added": 3, "removed": 1, "binary": False}],
    "authors": ["person:dana"],
    "patch_authors": [],
    "migrations": [{"path": "migrations/1.sql", "reversible": False, "because": "drops"}],
    "pipeline_changes": [],
    "asset_changes": [],
    "intent_changes": [],
    "build": OUTCOME,
    "lint": None,
    "artifact_manifest": [{"path": "web/app.py", "sha256": "f" * 64, "bytes": 3}],
    "manifests": [MANIFEST],
    "assets": [
        {"name": "adapter", "kind": "adapter", "path": "assets/a.json", "digest": ADAPTER, "materials": ["prompt"]},
        {"name": "prompt", "kind": "prompt", "path": "assets/p.txt", "digest": PROMPT, "materials": []},
    ],
}
TESTS = {
    "passed": 41,
    "failed": 0,
    "errors": 0,
    "skipped": 0,
    "timed_out": False,
    "property_tests": 3,
    "fault_injections": 1,
    "changed_lines": 40,
    "coverage_changed_lines": 0.93,
    "removed_tests": 0,
    "isolation": "namespaces",
}
TEST_REPORT = {
    "service": "web",
    "commit": COMMIT,
    "run": OUTCOME,
    "tests": TESTS,
    "coverage": [],
    "failures": [],
    "removed": [],
    "newly_skipped": [],
    "unmeasured": [],
    "notes": [],
}
EVALUATION = {
    "service": "web",
    "commit": COMMIT,
    "run": OUTCOME,
    "evaluation": {"cases": 40, "passed": 39},
    "jailbreak": {"cases": 12, "refused": 12},
    "failures": [],
}
SBOM = document(
    SbomSource("web", ARTIFACT, COMMIT, NOW_MS, ("shop",), "MIT", "0"),
    [ListedFile("web/app.py", "f" * 64, 3)],
    [],
    locked=False,
)


def built(commit=COMMIT):
    source = provenance.Resource(uri="git+service:web", digest={"gitCommit": commit})
    return provenance.predicate(
        provenance.ARTIFACT_BUILD, {}, {}, [source], invocation_id="1", started_ms=NOW_MS, finished_ms=NOW_MS
    )


def produced(**materials):
    found = [provenance.Resource(name=name, digest={"sha256": digest}) for name, digest in materials.items()]
    return provenance.predicate(
        provenance.ASSET_BUILD, {}, {}, found, invocation_id="2", started_ms=NOW_MS, finished_ms=NOW_MS
    )


def delivery(**replaced):
    """Statements by name; pass `name=sealed(...)` to replace one, `name=None` to leave it out."""
    source, artifact = source_subject(COMMIT), artifact_subject("web", ARTIFACT)
    adapter = asset_subject("assets/a.json", ADAPTER)
    whole = {
        "plan": sealed(kinds.PLAN, source, PLAN, "agent:planner", 1),
        "change_set": sealed(kinds.CHANGE_SET, source, CHANGE_SET, "agent:coder", 2),
        "tests": sealed(kinds.TEST_REPORT, source, TEST_REPORT, "agent:tester", 3),
        "evaluation": sealed(kinds.EVALUATION_REPORT, source, EVALUATION, "agent:tester", 4),
        "sbom": sealed(kinds.SBOM, artifact, SBOM, "workload:builder", 5),
        "provenance": sealed(kinds.PROVENANCE, artifact, built(), "workload:builder", 6),
        "adapter": sealed(
            kinds.PROVENANCE, adapter, produced(prompt=PROMPT), "workload:producer", 0, age_ms=3 * DAY_MS
        ),
    }
    return [item for item in {**whole, **replaced}.values() if item is not None]
