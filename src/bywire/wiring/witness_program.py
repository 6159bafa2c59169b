"""The witness's own work on a directory: answer each request in the inbox that asks for something new."""

import msgspec

from bywire.adapters.witness_state import WitnessState
from bywire.ledger.checkpoint import parse_checkpoint
from bywire.ledger.witness import Refusal, parse_request
from bywire.model.errors import BywireError


class Cosigned(msgspec.Struct, frozen=True):
    """What became of one log's request; `code` and `message` say why it was refused."""

    origin: str
    size: int
    code: str = ""
    message: str = ""


def cosign_inbox(state: WitnessState) -> list[Cosigned]:
    """Answer every log's request once; one that asks for what was cosigned already is no news and left out."""
    sizes = state.sizes()
    found = []
    for origin, body in state.requests():
        request = parse_request(body)
        if isinstance(request, Refusal):
            found.append(Cosigned(origin=origin, size=0, code=request.code, message=request.message))
            continue
        size = parse_checkpoint(request.note).size
        if size == sizes[origin] != request.old_size:
            continue
        found.append(_answered(state, origin, size, body))
    return found


def _answered(state: WitnessState, origin: str, size: int, body: bytes) -> Cosigned:
    try:
        answer = state.add(body)
    except BywireError as error:
        return Cosigned(origin=origin, size=size, code=error.code, message=error.message)
    if isinstance(answer, Refusal):
        return Cosigned(origin=origin, size=size, code=answer.code, message=answer.message)
    return Cosigned(origin=origin, size=size)
