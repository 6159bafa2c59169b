"""`bywire approvals link`, `sign-in` and `channels`: getting to the pages without a password, and how messages fare."""

from pathlib import Path

import click

from bywire.adapters.channel_store import ChannelStore
from bywire.adapters.key_files import draw_id
from bywire.approvals.channel_sign_in import AGE_MS_MAX, SignIn, sign_in
from bywire.cli.approvals import approvals, as_json_option, key_option, signs, ssh_agent_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.model.errors import ConfigError
from bywire.wiring.approving import principal_of
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.workspace import Workspace

_as = click.option("--as", "person", required=True, help="Who you are, e.g. oncall.")


@approvals.command()
@_as
@key_option
@ssh_agent_option
@as_json_option
@click.pass_obj
def link(place: Place, person: str, key: Path | None, ssh_agent: str, *, as_json: bool) -> None:
    """A link that signs you in to the approval pages: once, within five minutes, signed with your own key."""
    with workspace(place) as opened:
        url = read_gateway(opened).url
        proof = _proof(opened, person, "", key, ssh_agent)
    found = f"{url}/approvals/sign-in?proof={proof}"
    if as_json:
        print_json({"url": found, "person": principal_of(person), "valid_seconds": AGE_MS_MAX // 1_000})
        return
    click.echo(found)
    console().print("it works once, for five minutes; whoever opens it is you: send it to nobody")


@approvals.command("sign-in")
@click.argument("challenge")
@_as
@key_option
@ssh_agent_option
@as_json_option
@click.pass_obj
def sign_in_(place: Place, challenge: str, person: str, key: Path | None, ssh_agent: str, *, as_json: bool) -> None:
    """Sign the challenge that the sign-in page shows you; paste what this prints into that page."""
    with workspace(place) as opened:
        proof = _proof(opened, person, challenge.strip().upper(), key, ssh_agent)
    if as_json:
        print_json({"proof": proof, "person": principal_of(person), "valid_seconds": AGE_MS_MAX // 1_000})
        return
    click.echo(proof)


@approvals.command()
@as_json_option
@click.pass_obj
def channels(place: Place, *, as_json: bool) -> None:
    """Where requests are told, and how many messages wait, arrived or were given up."""
    with workspace(place) as opened:
        said, counts = read_gateway(opened).channels, ChannelStore(opened.writer, opened.reader).counts()
    names = [name for name in ("slack", "teams", "webhook") if getattr(said, name) is not None]
    found = [
        {
            "channel": name,
            "people": len(said.people(name)),
            **{state: counts.get(name, {}).get(state, 0) for state in ("waiting", "sent", "dead")},
        }
        for name in names
    ]
    if as_json:
        print_json({"web_verdicts": said.web.verdicts, "channels": found})
        return
    for one in found:
        told = (
            f"{one['sent']} sent, {one['waiting']} waiting, {one['dead']} given up; {one['people']} people may answer"
        )
        console().print(f"{one['channel']:<9}{literal(told)}")
    answers = "up to the tier of a channel" if said.web.verdicts else "with a person's own key only"
    console().print(f"{'pages':<9}answers {answers}")


def _proof(opened: Workspace, person: str, challenge: str, key: Path | None, ssh_agent: str) -> str:
    principal = principal_of(person)
    if principal not in {known.id for known in opened.operator.people}:
        raise ConfigError(
            f"{principal} is not one of the people", code="person_unknown", next_step="add them to operator.yaml first"
        )
    said = SignIn(principal, draw_id(), challenge, opened.trust.origin, opened.clock.now_ms())
    return sign_in(said, signs(opened, key, ssh_agent)(principal))
