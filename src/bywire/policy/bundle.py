"""A policy bundle: a content-addressed set of Rego modules and tables, parsed from bytes and nothing else.

Files of a bundle, by path: `manifest.json`; `**/*.rego`, the modules; `table/NAME.json`, mounted at
`data.bywire.table.NAME`; `agents/NAME.rego`, the policy of `agent:NAME` alone (see `agent_policies`). Two kinds travel
with it and decide nothing, so they do not count towards the digest: `**/*_test.rego` and `messages.json`. Anything else
refuses the whole bundle.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import rfc8785

from bywire.model.errors import PolicyError
from bywire.seal.digest import sha256_hex

FILES_MAX = 4_608
FILE_BYTES_MAX = 256 * 1024
BUNDLE_BYTES_MAX = 16 * 1024 * 1024
AGENTS_MAX = 2_048
INPUT_VERSION = 1

_PATH = re.compile(r"(?:[a-z0-9][a-z0-9_-]*/){0,4}[a-z0-9][a-z0-9_-]*\.(?:rego|json)")
_TABLE = re.compile(r"table/([a-z][a-z0-9_]*)\.json")
_AGENT = re.compile(r"agents/([a-z0-9][a-z0-9_-]{0,62}?)(_test)?\.rego")
AGENTS_FOLDER = "agents/"
MANIFEST = "manifest.json"
MESSAGES = "messages.json"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says of itself: its revision, the input version it reads and the rules that answer."""

    revision: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    input_version: int
    entrypoints: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=r"^data\.bywire(\.[a-z_]+)+$")], ...],
        msgspec.Meta(min_length=1, max_length=16),
    ]


class Module(msgspec.Struct, frozen=True):
    """One Rego file: its path inside the bundle and its text."""

    path: str
    source: str


class Bundle(msgspec.Struct, frozen=True):
    """A parsed bundle. `tables` maps a table's name to its JSON value; `digest` is `bundle_digest` of its files.

    `agents` and `agent_tests` map an agent's name to its own policy and the tests of that; `modules` and `tests` are
    all the others.
    """

    manifest: Manifest
    modules: tuple[Module, ...]
    tables: dict[str, Any]
    tests: tuple[Module, ...]
    messages: dict[str, Any]
    digest: str
    agents: dict[str, Module] = {}
    agent_tests: dict[str, Module] = {}

    def data_json(self) -> str:
        """The data document that the modules see: `{"bywire": {"table": tables}}`."""
        return msgspec.json.encode({"bywire": {"table": self.tables}}, order="sorted").decode()


def bundle_digest(files: Mapping[str, bytes]) -> str:
    """sha256 hex over JCS of `{files: {path: sha256}, input_version, revision}`, tests and messages left out."""
    manifest = _manifest(files)
    counted = {path: sha256_hex(body) for path, body in files.items() if decides(path)}
    named: dict[str, Any] = {"files": counted, "input_version": manifest.input_version, "revision": manifest.revision}
    return sha256_hex(rfc8785.dumps(named))


def parse_bundle(files: Mapping[str, bytes]) -> Bundle:
    """Parse `files` (path -> bytes) into a Bundle.

    Raises PolicyError `bundle_too_large`, `bundle_path`, `bundle_manifest`, `bundle_encoding`, `bundle_table`.
    """
    _check_sizes(files)
    texts = {path: _text(path, body) for path, body in sorted(files.items())}
    rego = {path: Module(path, text) for path, text in texts.items() if path.endswith(".rego")}
    shared = {path: module for path, module in rego.items() if not path.startswith(AGENTS_FOLDER)}
    return Bundle(
        manifest=_manifest(files),
        modules=tuple(module for path, module in shared.items() if decides(path)),
        tables={m[1]: _table(path, text) for path, text in texts.items() if (m := _TABLE.fullmatch(path))},
        tests=tuple(module for path, module in shared.items() if not decides(path)),
        messages=_table(MESSAGES, texts[MESSAGES]) if MESSAGES in texts else {},
        digest=bundle_digest(files),
        agents=_of_agents(rego, tests=False),
        agent_tests=_of_agents(rego, tests=True),
    )


def decides(path: str) -> bool:
    """Whether a file of a bundle can change a decision; tests and messages cannot."""
    return not path.endswith("_test.rego") and path != MESSAGES


def _of_agents(rego: Mapping[str, Module], *, tests: bool) -> dict[str, Module]:
    found = {path: _AGENT.fullmatch(path) for path in rego}
    return {match[1]: rego[path] for path, match in found.items() if match and bool(match[2]) is tests}


def _check_sizes(files: Mapping[str, bytes]) -> None:
    total = sum(len(body) for body in files.values())
    agents = sum(path.startswith(AGENTS_FOLDER) and decides(path) for path in files)
    if len(files) > FILES_MAX or total > BUNDLE_BYTES_MAX or agents > AGENTS_MAX:
        raise PolicyError(
            f"the policy bundle has {len(files)} files, {agents} of agents, and {total} bytes;"
            f" at most {FILES_MAX}, {AGENTS_MAX} and {BUNDLE_BYTES_MAX}",
            code="bundle_too_large",
            next_step="split the tables or drop what no rule reads",
        )
    for path, body in files.items():
        if not _PATH.fullmatch(path) or not _is_known(path):
            raise PolicyError(
                f"{path!r} is no file of a policy bundle",
                code="bundle_path",
                next_step="keep manifest.json, messages.json, table/NAME.json, agents/NAME.rego, *.rego; in lower case",
            )
        if len(body) > FILE_BYTES_MAX:
            raise PolicyError(
                f"{path} has {len(body)} bytes; at most {FILE_BYTES_MAX}",
                code="bundle_too_large",
                next_step="split the file by topic",
            )


def _is_known(path: str) -> bool:
    if path.startswith(AGENTS_FOLDER):
        return _AGENT.fullmatch(path) is not None
    return path.endswith(".rego") or path in {MANIFEST, MESSAGES} or _TABLE.fullmatch(path) is not None


def _manifest(files: Mapping[str, bytes]) -> Manifest:
    try:
        manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
    except (KeyError, msgspec.DecodeError) as error:
        raise PolicyError(
            f"the policy bundle has no valid manifest.json: {error if MANIFEST in files else 'there is none'}",
            code="bundle_manifest",
            next_step='write {"revision": 1, "input_version": 1, "entrypoints": ["data.bywire.action.decision"]}',
        ) from error
    if manifest.input_version != INPUT_VERSION:
        raise PolicyError(
            f"the bundle reads input version {manifest.input_version}; this release writes version {INPUT_VERSION}",
            code="bundle_manifest",
            next_step="use a bundle made for this release",
        )
    return manifest


def _text(path: str, body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise PolicyError(
            f"{path} is not UTF-8 at byte {error.start}",
            code="bundle_encoding",
            next_step="save the file as UTF-8",
        ) from error


def _table(path: str, text: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise PolicyError(
            f"{path} is not a JSON object: {error}",
            code="bundle_table",
            next_step="correct the JSON at the byte named",
        ) from error
    return table
