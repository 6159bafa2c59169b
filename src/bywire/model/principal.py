"""Who asks. Agents, people and workloads are three kinds that no code path converts into one another."""

from enum import StrEnum

import msgspec


class PrincipalKind(StrEnum):
    """What a principal is; the prefix of its id (`agent:planner`, `person:alice`, `workload:builder`)."""

    AGENT = "agent"
    PERSON = "person"
    WORKLOAD = "workload"


class KeyRole(StrEnum):
    """What a signing key may be believed for (RULES 3: roles never overlap)."""

    AGENT = "agent"
    APPROVER = "approver"
    BUILDER = "builder"
    CHANNEL = "channel"
    LOG = "log"
    TOKEN = "token"  # noqa: S105  the name of a role


class Principal(msgspec.Struct, frozen=True):
    """An authenticated identity.

    `id` is `kind:name`; `owner` is the person answerable for an agent or workload (`person:...`), empty for a person.
    """

    id: str
    kind: PrincipalKind
    owner: str = ""

    @property
    def name(self) -> str:
        """The id without its kind."""
        return self.id.partition(":")[2]
