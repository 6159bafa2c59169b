"""`channels` of gateway.yaml: which secrets it wants, and which mistakes it refuses."""

import pytest

from bywire.config.gateway_config import parse
from bywire.config.reading import FieldError
from bywire.model.gateway_channels import Channels
from bywire.model.gateway_credentials import Found

SLACK = {
    "channel": "C0OPS",
    "team": "T0BYWIRE",
    "token_env": "SLACK_TOKEN",
    "signing_secret_file": "/run/secrets/slack",
    "people": {"U0ONCALL": "person:oncall"},
}
WEBHOOK = {"url": "https://hooks.example/bywire", "secret_env": "OUT", "verdict_secret_env": "IN"}
TENANT = "0a0a0a0a-1111-2222-3333-444444444444"
TEAMS = {"url_file": "/run/teams-url", "secret_env": "TEAMS", "tenant": TENANT}


def read(**channels):
    return parse({"version": 1, "channels": channels}, "gateway.yaml").channels


def test_nothing_is_heard_by_default():
    assert read() == Channels()
    assert Channels().web.verdicts is False
    assert Channels().people("slack") == {}


def test_a_whole_section():
    found = read(web={"verdicts": True}, slack=SLACK, teams=TEAMS, webhook=WEBHOOK)
    assert found.slack.signing_secret == Found(token_file="/run/secrets/slack")
    assert found.people("slack") == {"U0ONCALL": "person:oncall"}
    assert found.webhook.verdict_secret == Found(token_env="IN")


@pytest.mark.parametrize(
    ("channels", "says"),
    [
        ({"slack": {**SLACK, "people": {"oncall": "person:oncall"}}}, "no name for one of the people"),
        ({"slack": {**SLACK, "people": {"U0ONCALL": "agent:oncall"}}}, "a person such as"),
        ({"slack": {**SLACK, "token_file": "/x"}}, "one of token_env and token_file"),
        ({"slack": {**SLACK, "address": "http://slack.example"}}, "http is for private"),
        ({"slack": {"channel": "C0OPS"}}, "'team' is missing"),
        ({"slack": {**SLACK, "channel": "#ops"}}, "a channel's id"),
        ({"webhook": {**WEBHOOK, "verdict_secret_env": "OUT"}}, "one secret"),
        ({"webhook": {**WEBHOOK, "url": "https://user@hooks.example/"}}, "a URL such as"),
        ({"teams": {**TEAMS, "tenant": "ours"}}, "a directory's id"),
        ({"web": {"session_seconds": 5}}, "a whole number"),
        ({"irc": {}}, "unknown key"),
    ],
)
def test_what_is_refused(channels, says):
    with pytest.raises(FieldError, match=says):
        read(**channels)
