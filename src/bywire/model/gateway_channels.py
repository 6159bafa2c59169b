"""Section `channels` of gateway.yaml: where requests for approval are told, and from where a verdict may be heard.

A person is named in `people` by the id that the platform gives them, never by a name that they choose themselves.
"""

import msgspec

from bywire.model.gateway_credentials import Found

SLACK = "https://slack.com"


class WebChannel(msgspec.Struct, frozen=True):
    """The pages under /approvals. `verdicts`: a signed-in person may answer there, up to the tier of a channel."""

    verdicts: bool = False
    session_seconds: int = 1_800


class SlackChannel(msgspec.Struct, frozen=True):
    """One Slack channel. `team` is the workspace's id (T...), `people` maps member ids (U...) to persons."""

    channel: str
    team: str
    token: Found
    signing_secret: Found
    people: dict[str, str] = {}
    address: str = SLACK
    private: bool = False


class TeamsChannel(msgspec.Struct, frozen=True):
    """One Teams channel: `url` is its workflow's address, which is a secret, `secret` the outgoing webhook's.

    `people` maps directory object ids to persons; `tenant` is the directory's id.
    """

    url: Found
    secret: Found
    tenant: str
    people: dict[str, str] = {}
    private: bool = False


class WebhookChannel(msgspec.Struct, frozen=True):
    """A receiver of Standard Webhooks. `verdict_secret` None: nothing is heard from it."""

    url: str
    secret: Found
    verdict_secret: Found | None = None
    people: dict[str, str] = {}
    private: bool = False


class Channels(msgspec.Struct, frozen=True):
    """The whole section; a channel that is not named neither tells nor hears anything."""

    web: WebChannel = WebChannel()
    slack: SlackChannel | None = None
    teams: TeamsChannel | None = None
    webhook: WebhookChannel | None = None

    def people(self, channel: str) -> dict[str, str]:
        """Who somebody on this channel is; nobody where it is not configured."""
        found = {"slack": self.slack, "teams": self.teams, "webhook": self.webhook}.get(channel)
        return found.people if found is not None else {}
