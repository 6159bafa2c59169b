"""Connections: which origin an executor speaks to, with whose credential, and which request each tool is."""

import msgspec

JSON_BODY, FORM_BODY = "json", "form"
BODIES = (JSON_BODY, FORM_BODY)


class Route(msgspec.Struct, frozen=True):
    """One request. `path` may hold `{parameter}` for parameters of the tool; `query` names those of its query.

    `headers` maps header names in lower case to parameters. What is left travels in the `body`, as JSON or as a form.
    `with_slashes` are the one-segment parameters of the path whose value may hold a `/`, which is sent as `%2F`.
    """

    method: str
    path: str
    query: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    body: str = JSON_BODY
    with_slashes: tuple[str, ...] = ()


class Connection(msgspec.Struct, frozen=True):
    """One executor over HTTP. Exactly one of `token_file` and `token_env` names where the credential is found."""

    executor: str
    origin: str
    routes: dict[str, Route]
    token_file: str = ""
    token_env: str = ""
    private: bool = False
