"""The decision engine; the only part of `policy` that the door imports."""

from bywire.policy.engine.canonical_input import canonical_input
from bywire.policy.engine.policy_engine import ENGINE_VERSION, INPUT_BYTES_MAX, RULES, PolicyEngine

__all__ = ["ENGINE_VERSION", "INPUT_BYTES_MAX", "RULES", "PolicyEngine", "canonical_input"]
