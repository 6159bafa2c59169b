"""How tools are named: built-in ones by one word, tools of an upstream by `UPSTREAM.TOOL`."""

import re

BUILT_IN = r"[a-z][a-z0-9_]{0,63}"
UPSTREAM = r"[a-z][a-z0-9-]{0,31}"
CONNECTED = rf"{UPSTREAM}\.[A-Za-z0-9_./-]{{1,95}}"
TOOL = rf"{BUILT_IN}|{CONNECTED}"


def is_connected(name: str) -> bool:
    """Whether this is how a tool of an upstream is named."""
    return re.fullmatch(CONNECTED, name) is not None
