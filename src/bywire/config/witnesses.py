"""Witnesses in operator.yaml: who must have seen the log, where they are reached, and how far behind they may be."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from bywire.config.reading import Node
from bywire.model.operator import Witness, Witnessing

WITNESSES_MAX = 8
WITNESS_NAME = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}"
KEY = r"[0-9a-f]{64}"
DIRECTORY = r"/[^\x00-\x1f]{0,500}"
URL = r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/-]*)?"
LAG_ENTRIES = (1, 1_000_000)
_LOOPBACK = re.compile(r"127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|::1|localhost")


def read_witnessing(fields: Mapping[str, Node]) -> Witnessing:
    """The three fields of operator.yaml. The quorum is one when there is any witness, unless written."""
    witnesses = _witnesses(fields["witnesses"]) if "witnesses" in fields else ()
    quorum = min(1, len(witnesses))
    if "witness_quorum" in fields:
        quorum = fields["witness_quorum"].integer(0, len(witnesses), "witnesses")
    lag = Witnessing().lag_entries
    if "witness_lag_entries" in fields:
        lag = fields["witness_lag_entries"].integer(*LAG_ENTRIES, "entries")
    return Witnessing(witnesses=witnesses, quorum=quorum, lag_entries=lag)


def _witnesses(node: Node) -> tuple[Witness, ...]:
    found: list[Witness] = []
    for item in node.items("witnesses", least=0, most=WITNESSES_MAX):
        witness = _witness(item)
        if any(witness.name == other.name or witness.key == other.key for other in found):
            raise item.refuse(f"{witness.name} or its key is listed twice", "keep one of the two")
        found.append(witness)
    return tuple(found)


def _witness(node: Node) -> Witness:
    fields = node.fields(("name", "key", "directory", "url"), required=("name", "key"))
    if ("directory" in fields) == ("url" in fields):
        raise node.refuse("a witness has either a directory or a url", "keep one of 'directory:' and 'url:'")
    name = fields["name"].text("a name such as witness.example/w1", pattern=WITNESS_NAME)
    key = fields["key"].text("an Ed25519 public key of 64 hex digits", pattern=KEY)
    if "directory" in fields:
        place = fields["directory"].text("an absolute directory", pattern=DIRECTORY)
        return Witness(name=name, key=key, directory=place)
    return Witness(name=name, key=key, url=_url(fields["url"]))


def _url(node: Node) -> str:
    what = "https://HOST[/PATH], or http:// on loopback"
    text = node.text(what, pattern=URL, most=512)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise node.expected(what) from error
    if not host or port == 0 or (parts.scheme == "http" and _LOOPBACK.fullmatch(host) is None):
        raise node.expected(what)
    return text
