"""Which bundles have a short way for reads that regorus's virtual machine may take.

The machine answers `undefined` where the interpreter raises. So it is asked one thing only: whether a read is allowed
by `read.rego`, every part of which is stated positively, so that what quietly vanishes makes it false. Only a text of
`read.rego` that was examined for this is compiled, and only where `action.rego` asks it before anything else.
"""

from collections.abc import Mapping

from bywire.seal.digest import sha256_hex

ENTRYPOINT = "data.bywire.action.decision"
ASKED = "data.bywire.read_alone.answer"
# sha256 of each text of read.rego in whose `allowed` no negation stands, and no comprehension over what can fail.
EXAMINED = frozenset({"a8d1d1ca76019073559e7f97fe782caea4b887e77f72f1c88a3bcf530749f99f"})
_FIRST = "\ndecision := data.bywire.read.answer if data.bywire.read.allowed\n"
_ALONE = """package bywire.read_alone

answer := data.bywire.read.answer if data.bywire.read.allowed
"""


def short_way(modules: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The modules of the short way, of a bundle's (path -> text); none when it has another one than was examined."""
    read, action = modules.get("read.rego", ""), modules.get("action.rego", "")
    asks_first = action.find("\ndecision := ") == action.find(_FIRST) >= 0
    if not asks_first or sha256_hex(read.encode()) not in EXAMINED:
        return ()
    return (("read.rego", read), ("read_alone.rego", _ALONE))
