"""Which tools a principal is shown: those that its registration and the capability table could ever let it use.

A list is not a permission. It leaves out what would be denied whatever the parameters, so that nobody plans with it.
"""

from typing import Any

from bywire.gateway.contract import Contract
from bywire.identity.registration import Registration
from bywire.model.connected import PRODUCTION
from bywire.policy.bundle import Bundle

FORBIDDEN = "forbidden"


def could_be_allowed(contract: Contract, registration: Registration, bundle: Bundle, environment: str) -> bool:
    """`environment` is the operator's own, where a built-in tool acts."""
    if contract.name not in registration.tools:
        return False
    row = _row(contract, bundle)
    return any(
        place in registration.environments and row.get(place, {}).get("posture", FORBIDDEN) != FORBIDDEN
        for place in _environments(contract, environment)
    )


def _environments(contract: Contract, environment: str) -> frozenset[str]:
    """Every environment that the tool's parameters could lead to."""
    if contract.place is None:
        return frozenset({environment})
    if contract.place.parameter:
        return frozenset({*contract.place.values.values(), PRODUCTION})
    return frozenset({contract.place.environment})


def _row(contract: Contract, bundle: Bundle) -> dict[str, Any]:
    named = bundle.tables.get("capabilities", {}).get(contract.name)
    if named is None and contract.upstream:
        named = bundle.tables.get("connected", {}).get(contract.category)
    return dict(named["environments"]) if named else {}
