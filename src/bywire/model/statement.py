"""in-toto Statement v1: the one format for whatever must be believed later.

Source: in-toto attestation framework, spec/v1/statement.md. Digests must be lower-case sha256 hex.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PAYLOAD_TYPE = "application/vnd.in-toto+json"

Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def predicate_type(kind: str) -> str:
    """The predicate type of one of bywire's own statement kinds."""
    return f"https://bywire.dev/{kind}/v1"


PLAN = predicate_type("plan")
CHANGE_SET = predicate_type("change-set")
TEST_REPORT = predicate_type("test-report")
EVALUATION_REPORT = predicate_type("evaluation-report")
DECISION = predicate_type("decision")
OUTCOME = predicate_type("outcome")
APPROVAL = predicate_type("approval")
APPROVAL_REVOCATION = predicate_type("approval-revocation")
APPROVAL_SIGN_IN = predicate_type("approval-sign-in")
BREAK_GLASS = predicate_type("break-glass")
BREAK_GLASS_POSTMORTEM = predicate_type("break-glass-postmortem")
VERDICT = predicate_type("judge-verdict")
RECOURSE = predicate_type("recourse")
DELIVERY_END = predicate_type("delivery-end")
AGENT_REGISTRATION = predicate_type("agent-registration")
KEY_CHANGE = predicate_type("key-change")
RETENTION = predicate_type("retention")
FORK = predicate_type("fork")
BACKUP = predicate_type("backup")
RECONCILE_FINDING = predicate_type("reconcile-finding")
RECONCILE_EXPLANATION = predicate_type("reconcile-explanation")
INTENT_SETTLEMENT = predicate_type("intent-settlement")
POLICY_BUNDLE = predicate_type("policy-bundle")
SHADOW_RULE = predicate_type("shadow-rule")
SBOM = "https://cyclonedx.org/bom"
PROVENANCE = "https://slsa.dev/provenance/v1"
VSA = "https://slsa.dev/verification_summary/v1"


class Subject(BaseModel):
    """What a statement is about: a name and its digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    digest: dict[Literal["sha256"], Sha256Hex] = Field(min_length=1)

    @property
    def sha256(self) -> str:
        """The digest, hex."""
        return self.digest["sha256"]


class Statement(BaseModel):
    """A verified or to-be-signed in-toto Statement v1."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(default="https://in-toto.io/Statement/v1", alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1, max_length=256)
    predicateType: Annotated[str, StringConstraints(min_length=8, max_length=256)]  # noqa: N815  the spec's own name
    predicate: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The wire form, with the spec's field names."""
        return self.model_dump(by_alias=True, mode="json")


def subject(name: str, sha256: str) -> Subject:
    """A subject with one sha256 digest."""
    return Subject(name=name, digest={"sha256": sha256})
