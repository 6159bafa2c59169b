"""`channels` of gateway.yaml: the pages, Slack, Teams and a signed webhook. What is not named hears nothing."""

from typing import Any

from bywire.config.reading import Node, read_optional
from bywire.model.gateway_channels import SLACK, Channels, SlackChannel, TeamsChannel, WebChannel, WebhookChannel
from bywire.model.gateway_credentials import Found

PEOPLE_MAX = 1_000
SESSION_SECONDS_BOUNDS = (60, 28_800)
_PERSON = r"person:[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}"
_VARIABLE = r"[A-Z][A-Z0-9_]{0,127}"
_URL = r"https?://[A-Za-z0-9.\[\]:-]{1,255}(?:/[A-Za-z0-9._~/-]{0,500})?"
_ORIGIN = r"https?://[A-Za-z0-9.\[\]:-]{1,255}"
_SLACK_MEMBER, _SLACK_TEAM, _SLACK_PLACE = r"[UW][A-Z0-9]{2,31}", r"[TE][A-Z0-9]{2,31}", r"[CGD][A-Z0-9]{2,31}"
_GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MEMBER = r"[\x21-\x7e]{1,128}"


def read_channels(node: Node) -> Channels:
    """Raises FieldError naming the first fault."""
    fields = node.fields(("web", "slack", "teams", "webhook"))
    return Channels(
        web=read_optional(fields, "web", _web, WebChannel()),
        slack=read_optional(fields, "slack", _slack, None),
        teams=read_optional(fields, "teams", _teams, None),
        webhook=read_optional(fields, "webhook", _webhook, None),
    )


def _web(node: Node) -> WebChannel:
    fields, absent = node.fields(("verdicts", "session_seconds")), WebChannel()
    return WebChannel(
        verdicts=read_optional(fields, "verdicts", lambda item: item.boolean(), absent.verdicts),
        session_seconds=read_optional(
            fields, "session_seconds", lambda item: item.integer(*SESSION_SECONDS_BOUNDS), absent.session_seconds
        ),
    )


def _slack(node: Node) -> SlackChannel:
    names = ("channel", "team", *_ways("token"), *_ways("signing_secret"), "people", "address", "private")
    fields = node.fields(names, required=("channel", "team"))
    private = _private(fields)
    return SlackChannel(
        channel=fields["channel"].text("a channel's id such as C0123456789", pattern=_SLACK_PLACE),
        team=fields["team"].text("a workspace's id such as T0123456789", pattern=_SLACK_TEAM),
        token=_found(node, fields, "token"),
        signing_secret=_found(node, fields, "signing_secret"),
        people=_people(fields, _SLACK_MEMBER),
        address=read_optional(fields, "address", lambda item: _https(item, _ORIGIN, private=private), SLACK),
        private=private,
    )


def _teams(node: Node) -> TeamsChannel:
    names = (*_ways("url"), *_ways("secret"), "tenant", "people", "private")
    fields = node.fields(names, required=("tenant",))
    return TeamsChannel(
        url=_found(node, fields, "url"),
        secret=_found(node, fields, "secret"),
        tenant=fields["tenant"].text("a directory's id in lower case", pattern=_GUID),
        people=_people(fields, _GUID),
        private=_private(fields),
    )


def _webhook(node: Node) -> WebhookChannel:
    names = ("url", *_ways("secret"), *_ways("verdict_secret"), "people", "private")
    fields = node.fields(names, required=("url",))
    private, hears = _private(fields), any(name in fields for name in _ways("verdict_secret"))
    found = WebhookChannel(
        url=_https(fields["url"], _URL, private=private),
        secret=_found(node, fields, "secret"),
        verdict_secret=_found(node, fields, "verdict_secret") if hears else None,
        people=_people(fields, _MEMBER),
        private=private,
    )
    if found.verdict_secret == found.secret:
        raise node.refuse("what is sent and what is heard are signed with one secret", "make another verdict_secret")
    return found


def _ways(name: str) -> tuple[str, str]:
    return f"{name}_env", f"{name}_file"


def _found(node: Node, fields: dict[str, Node], name: str) -> Found:
    """Where a secret lies: a variable or a file, one of the two; never the secret itself."""
    variable, file = _ways(name)
    if (variable in fields) == (file in fields):
        raise node.refuse(f"one of {variable} and {file} is needed", f"write {file}: /path, readable for you alone")
    return Found(
        token_env=read_optional(fields, variable, lambda item: item.text("a variable's name", pattern=_VARIABLE), ""),
        token_file=read_optional(
            fields, file, lambda item: item.text("an absolute path", pattern=r"/[^\x00-\x1f]*", most=512), ""
        ),
    )


def _people(fields: dict[str, Node], member: str) -> dict[str, str]:
    def read(node: Node) -> dict[str, str]:
        listed = node.mapping("people", pattern=member, most=PEOPLE_MAX).items()
        return {name: item.text("a person such as person:dana", pattern=_PERSON) for name, item in listed}

    absent: dict[str, str] = {}
    return read_optional(fields, "people", read, absent)


def _private(fields: dict[str, Any]) -> bool:
    return read_optional(fields, "private", lambda item: item.boolean(), absent=False)


def _https(node: Node, pattern: str, *, private: bool) -> str:
    url = node.text("a URL such as https://chat.example, without user, query or fragment", pattern=pattern)
    if url.startswith("http:") and not private:
        raise node.refuse("http is for private addresses", "write https, or add `private: true`")
    return url
