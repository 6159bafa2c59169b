"""What follows from a denial: patches, commands for whoever can make the evidence, and what only a person can do."""

from typing import Any

import msgspec

from bywire.model.errors import EvidenceError
from bywire.seal.digest import sha256_hex


class Patch(msgspec.Struct, frozen=True):
    """One new file. `rule` is the reason it answers; `explanation` is for the person who reviews the branch."""

    path: str
    content: bytes
    rule: str
    explanation: str


class CommandStep(msgspec.Struct, frozen=True):
    """A command for `who` to run, as an argument list; it makes evidence again rather than changing it (RULES 21)."""

    rule: str
    argv: tuple[str, ...]
    who: str


class Unsupported(msgspec.Struct, frozen=True):
    """A reason without an automatic answer, and what a person must do."""

    rule: str
    todo: str


class Recourse(msgspec.Struct, frozen=True):
    """The answer to the denial `decision`.

    `cleared` are the rules that a re-check with the patches no longer gives, `remaining` those it still gives; both are
    empty until `confirm` ran.
    """

    decision: str
    patches: tuple[Patch, ...]
    commands: tuple[CommandStep, ...]
    unsupported: tuple[Unsupported, ...]
    cleared: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The predicate of the recourse statement: patches by path and digest, with their text."""
        return {
            "decision": self.decision,
            "patches": [
                {
                    "path": patch.path,
                    "sha256": sha256_hex(patch.content),
                    "content": patch.content.decode(),
                    "rule": patch.rule,
                    "explanation": patch.explanation,
                }
                for patch in self.patches
            ],
            "commands": [msgspec.to_builtins(step) for step in self.commands],
            "unsupported": [msgspec.to_builtins(item) for item in self.unsupported],
            "cleared": list(self.cleared),
            "remaining": list(self.remaining),
        }


def refuse_path(path: str) -> EvidenceError:
    """The error for a patch aimed at evidence, keys, policy or CI."""
    return EvidenceError(
        f"{path} is not desired state; a patch never writes it",
        code="recourse_path_refused",
        next_step="evidence is made again by its producer, policy and keys are the operator's",
    )
