"""SLSA verification summaries v1: the gate's verdict in the field's form (slsa.dev/spec/v1.0/verification_summary)."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from bywire.evidence.timestamps import rfc3339
from bywire.model.errors import EvidenceError
from bywire.model.json_value import JsonObject

VERIFIER = "https://bywire.dev/verifier/gate/v1"
SLSA_VERSION = "1.0"


class _Policy(msgspec.Struct, frozen=True):
    uri: str
    digest: dict[str, str]


class Summary(msgspec.Struct, frozen=True):
    """The parts of a summary that decisions use."""

    resourceUri: str  # noqa: N815  the spec's own names
    policy: _Policy
    verificationResult: Literal["PASSED", "FAILED"]  # noqa: N815

    @property
    def passed(self) -> bool:
        """Whether the verdict is PASSED."""
        return self.verificationResult == "PASSED"

    @property
    def bundle(self) -> str:
        """sha256 of the policy bundle that judged."""
        return self.policy.digest.get("sha256", "")


def predicate(
    *,
    resource_uri: str,
    passed: bool,
    level: int,
    bundle_digest: str,
    decision_id: str,
    inputs: Sequence[str],
    verifier_version: str,
    now_ms: int,
) -> dict[str, Any]:
    """The summary predicate. `inputs` are sha256 of the judged envelopes; `level` is named only when passed."""
    return {
        "verifier": {"id": VERIFIER, "version": {"bywire": verifier_version}},
        "timeVerified": rfc3339(now_ms),
        "resourceUri": resource_uri,
        "policy": {"uri": f"bywire:decision:{decision_id}", "digest": {"sha256": bundle_digest}},
        "inputAttestations": [
            {"uri": f"bywire:statement:{digest}", "digest": {"sha256": digest}} for digest in sorted(set(inputs))
        ],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [f"SLSA_BUILD_LEVEL_{level}"] if passed else [],
        "slsaVersion": SLSA_VERSION,
    }


def parse(value: JsonObject) -> Summary:
    """Read a summary predicate. Raises EvidenceError `vsa_malformed`."""
    try:
        return msgspec.convert(value, Summary)
    except msgspec.ValidationError as error:
        raise EvidenceError(
            f"the verification summary is malformed: {error}",
            code="vsa_malformed",
            next_step="run the gate again; it writes a new summary",
        ) from error
