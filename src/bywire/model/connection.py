"""Connections: which origin an executor speaks to, with whose credential, and which request each tool is."""

import msgspec


class Route(msgspec.Struct, frozen=True):
    """One request. `path` may hold `{parameter}` for parameters of the tool."""

    method: str
    path: str


class Connection(msgspec.Struct, frozen=True):
    """One executor over HTTP. Exactly one of `token_file` and `token_env` names where the credential is found."""

    executor: str
    origin: str
    routes: dict[str, Route]
    token_file: str = ""
    token_env: str = ""
    private: bool = False
