"""`bywire keys`: which keys are believed for what; replacing and revoking them."""

from pathlib import Path
from typing import Any

import click
import msgspec

from bywire.adapters.bundle_key import bundle_key
from bywire.adapters.yaml_file import read_bytes
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.identity.tokens import jwks as key_set
from bywire.identity.trust import TrustedKey
from bywire.model.errors import ConfigError
from bywire.model.principal import KeyRole
from bywire.seal.es256 import ALGORITHM
from bywire.wiring.key_changes import (
    KeyChanged,
    default_principal,
    replace_key,
    replace_workspace_key,
    revoke_key,
    trust_ssh_key,
)

WORKSPACE = "workspace"
# As deploy/opa.yaml names it.
OPA_KEY = "bywire"
PUBLIC_KEY_BYTES_MAX = 16_384


@click.group()
def keys() -> None:
    """Keys: list, jwks, opa, rotate, revoke, trust."""


@keys.command("list")
@as_json_option
@click.pass_obj
def list_(place: Place, *, as_json: bool) -> None:
    """Every key of the trust root, and from which to which log index it is believed."""
    with workspace(place) as opened:
        found = opened.trust.keys
    if as_json:
        print_json([_plain(key) for key in found])
        return
    for key in found:
        until = "now" if key.to_index is None else f"#{key.to_index}"
        kind = "security key" if key.application else "ed25519"
        console().print(
            literal(f"{key.key_id[:16]}  {key.role:<9} {key.principal:<26} {kind:<13} #{key.from_index} to {until}")
        )


@keys.command()
@as_json_option
@click.pass_obj
def jwks(place: Place, *, as_json: bool) -> None:  # noqa: ARG001  the set is JSON for people, too
    """The public token keys as a JSON Web Key Set (RFC 7517), for whoever else verifies our tokens."""
    with workspace(place) as opened:
        print_json(key_set(opened.trust))


@keys.command()
@as_json_option
@click.pass_obj
def opa(place: Place, *, as_json: bool) -> None:
    """What an Open Policy Agent verifies our policy bundles with: the `keys` of its configuration."""
    with workspace(place) as opened:
        key = bundle_key(opened.directory)
    if as_json:
        print_json({"keys": {OPA_KEY: {"algorithm": ALGORITHM, "key": key.public_pem}}})
        return
    lines = "".join(f"      {line}\n" for line in key.public_pem.splitlines())
    click.echo(f"keys:\n  {OPA_KEY}:\n    algorithm: {ALGORITHM}\n    key: |\n{lines}", nl=False)


@keys.command()
@click.argument("role", type=click.Choice([*(str(role) for role in KeyRole), WORKSPACE]))
@click.argument("principal", default="")
@click.option("--retire", "retiring", default="", help="Which key goes, when the principal has several.")
@click.option("--passphrase", is_flag=True, help="Protect the new key with a passphrase (asked for).")
@click.option("--reason", default="rotated", show_default=True, help="Why; kept in the ledger.")
@as_json_option
@click.pass_obj
def rotate(
    place: Place, role: str, principal: str, retiring: str, reason: str, *, passphrase: bool, as_json: bool
) -> None:
    """Draw a new key and retire the old one. What the old one signed before stays believed. Safe to run again."""
    secret = None
    if passphrase:
        secret = str(click.prompt("New passphrase", hide_input=True, confirmation_prompt=True)).encode()
    with workspace(place) as opened:
        if role == WORKSPACE:
            changed = replace_workspace_key(opened, reason)
        else:
            chosen = KeyRole(role)
            holder = principal or default_principal(opened, chosen)
            if secret is None and opened.keys.exists(chosen, holder) and not opened.keys.holds(chosen, holder):
                raise ConfigError(
                    f"the key of {holder} has a passphrase, and its successor would have none",
                    code="passphrase_missing",
                    next_step="run it again with --passphrase",
                )
            changed = replace_key(opened, chosen, holder, passphrase=secret, retiring=retiring)
    _print(changed, as_json=as_json)


@keys.command()
@click.argument("key")
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@click.option(
    "--since-index",
    type=click.IntRange(min=0),
    help="The first ledger entry that it may have signed in other hands: from there on nothing of it is believed.",
)
@as_json_option
@click.pass_obj
def revoke(place: Place, key: str, reason: str, since_index: int | None, *, as_json: bool) -> None:
    """End a key at once, with the sessions and approvals that it may have opened.

    KEY is an id as `keys list` shows it, or a principal that has one valid key.
    """
    with workspace(place) as opened:
        changed = revoke_key(opened, key, reason, since_index=since_index)
    _print(changed, as_json=as_json)


@keys.command()
@click.option("--as", "person", required=True, help="Whose key it is, e.g. oncall.")
@click.option(
    "--ssh-public",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The OpenSSH public key: ed25519 or ed25519-sk.",
)
@click.option("--role", type=click.Choice([str(KeyRole.APPROVER)]), default=str(KeyRole.APPROVER), show_default=True)
@as_json_option
@click.pass_obj
def trust(place: Place, person: str, file: Path, role: str, *, as_json: bool) -> None:
    """Believe a person's own OpenSSH key, kept in their ssh-agent or on a FIDO token, as an approver's key."""
    line = read_bytes(file, bytes_max=PUBLIC_KEY_BYTES_MAX).decode("utf-8", "replace")
    with workspace(place) as opened:
        made = trust_ssh_key(opened, person if person.startswith("person:") else f"person:{person}", line)
    if as_json:
        print_json(_plain(made))
    else:
        console().print(
            f"[green]trusted[/] key {made.key_id[:16]} of {literal(made.principal)} as {role} from #{made.from_index}"
        )


def _plain(key: TrustedKey) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(key)
    return {"application": "", "owner": "", "from_index": 0, "to_index": None, **plain, "valid": key.valid_at(None)}


def _print(changed: KeyChanged, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(changed))
        return
    what = f"{changed.role} {changed.principal}".strip()
    console().print(f"[green]{changed.change}[/] {literal(what)}, ledger entry #{changed.entry}")
    for label, key_id in (("new key", changed.added), ("ended", changed.retired)):
        if key_id:
            until = f" before #{changed.to_index}" if label == "ended" else ""
            console().print(f"  {label:<8} {key_id[:16]}{until}")
    for name, number in sorted(changed.ended.items()):
        console().print(f"  {'revoked':<8} {number} {name.replace('_', ' ')}")
