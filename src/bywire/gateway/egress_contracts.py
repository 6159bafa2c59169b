"""The one tool of the forward proxy: a connection to a host that the operator lists.

It is decided like a read, since it has no effect of its own, and what comes back over it is somebody else's text.
"""

from bywire.gateway.contract import Contract, Idempotency, parameters
from bywire.gateway.destination import OPEN_CONNECTION

EGRESS = "egress"

EGRESS_CONTRACTS: tuple[Contract, ...] = (
    Contract(
        OPEN_CONNECTION,
        EGRESS,
        EGRESS,
        parameters(
            {
                "host": {"type": "string", "minLength": 1, "maxLength": 255},
                "port": {"type": "integer", "minimum": 1, "maximum": 65_535},
            }
        ),
        idempotency=Idempotency.NONE,
        read=True,
        undo="none needed",
        expected="a connection through the forward proxy, counted and bounded",
        untrusted_output=True,
    ),
)
