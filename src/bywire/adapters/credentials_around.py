"""Credentials that a process of this user could take instead of asking the door: named, never shown.

A file is opened only where its name alone does not say whether it holds a credential; what is kept is a yes or no.
"""

import re
from collections.abc import Iterator

from bywire.adapters.surroundings import Surroundings, WayAround, exists, text

_TOKEN = re.compile(
    r"TOKEN(_|\d|$)|SECRET|PASSW|API_?KEY|ACCESS_?KEY|CREDENTIAL|PRIVATE_?KEY|(^|_)PAT(_|$)|^AWS_(PROFILE|ROLE|SHARED|WEB)"
)
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[^\s/:@]*:[^\s/@]+@")
_HELPER = re.compile(r"^[ \t]*helper\s*=\s*\S", re.MULTILINE)
_REMOTE = re.compile(r"^[ \t]*(?:push)?url\s*=\s*[a-z]+://[^\s/:@]*:[^\s/@]+@", re.MULTILINE)
_ENTRIES_MAX = 64

_GATEWAY_ONLY = "give it to the gateway's user alone"
_CLOUD = "use short-lived credentials that only the gateway's user can obtain"
# What it is, where below the home directory, what its text must hold to count (empty: being there is enough), the fix.
_FILES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("kubeconfig", (".kube/config",), "", "give agents a user without it, or a kubeconfig that may only read"),
    ("cloud credentials (AWS)", (".aws/credentials", ".aws/sso/cache"), "", _CLOUD),
    (
        "cloud credentials (GCP)",
        (".config/gcloud/application_default_credentials.json", ".config/gcloud/credentials.db"),
        "",
        _CLOUD,
    ),
    (
        "cloud credentials (Azure)",
        (".azure/msal_token_cache.json", ".azure/msal_token_cache.bin", ".azure/accessTokens.json"),
        "",
        _CLOUD,
    ),
    (
        "cloud credentials",
        (".oci/config", ".config/doctl/config.yaml", ".config/hcloud/cli.toml", ".terraform.d/credentials.tfrc.json"),
        "",
        _CLOUD,
    ),
    ("vault token", (".vault-token",), "", _GATEWAY_ONLY),
    ("deployment tool login", (".config/argocd/config", ".argocd/config", ".fly/config.yml"), "", _GATEWAY_ONLY),
    ("code host login", (".config/gh/hosts.yml", ".config/glab-cli/config.yml", ".config/hub"), "", _GATEWAY_ONLY),
    (
        "registry credentials",
        (".docker/config.json", ".config/containers/auth.json"),
        r'"auth"\s*:|"credsStore"|"credHelpers"',
        "keep push credentials with the builder alone",
    ),
    (
        "package publishing token",
        (".npmrc", ".pypirc", ".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials", ".m2/settings.xml"),
        r"(?i)_auth|token|password|api_key",
        "publish from the pipeline, with a token that it alone holds",
    ),
    ("git credentials", (".git-credentials", ".config/git/credentials"), "", _GATEWAY_ONLY),
    ("netrc", (".netrc",), "(?i)password", "remove it, or run agents as another user"),
    ("decryption key", (".config/sops/age/keys.txt", ".gnupg/private-keys-v1.d"), "", _GATEWAY_ONLY),
)


def credentials_around(around: Surroundings, repository_config: str = "") -> tuple[WayAround, ...]:
    """Every credential that can be seen from here. `repository_config` is the text of the repository's .git/config."""
    return (
        *_environment(around),
        *_files(around),
        *_kubernetes(around),
        *_ssh(around),
        *_git(around, repository_config),
    )


def _environment(around: Surroundings) -> Iterator[WayAround]:
    for name in around.set_names():
        if _TOKEN.search(name.upper()):
            yield WayAround("token in the environment", name, f"unset {name} where agents run")
        elif _URL_WITH_PASSWORD.search(around.environment[name]):
            yield WayAround("address with a password in the environment", name, f"unset {name} where agents run")


def _files(around: Surroundings) -> Iterator[WayAround]:
    for what, places, marker, fix in _FILES:
        for place in places:
            path = around.home / place
            if exists(path) and (not marker or re.search(marker, text(path))):
                yield WayAround(what, f"~/{place}", fix)


def _kubernetes(around: Surroundings) -> Iterator[WayAround]:
    fix = "give agents a user without it, or one that may only read"
    if around.environment.get("KUBECONFIG"):
        yield WayAround("kubeconfig", "$KUBECONFIG", f"unset it where agents run; {fix}")
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  a place, not a secret
    if exists(around.place(token)):
        yield WayAround(
            "in-cluster service account", token, "automountServiceAccountToken: false for pods that run agents"
        )


def _ssh(around: Surroundings) -> Iterator[WayAround]:
    if around.environment.get("SSH_AUTH_SOCK"):
        yield WayAround("SSH agent", "$SSH_AUTH_SOCK", "do not forward the agent to where agents run")
    names = _names(around, ".ssh")
    keys = [name for name in names if (name.startswith("id_") and not name.endswith(".pub")) or name.endswith(".pem")]
    for name in keys:
        yield WayAround("SSH key", f"~/.ssh/{name}", "run agents as another user, or keep the key in hardware")


def _git(around: Surroundings, repository_config: str) -> Iterator[WayAround]:
    for place in (".gitconfig", ".config/git/config"):
        if _HELPER.search(text(around.home / place)):
            yield WayAround("git credential helper", f"~/{place}", "let only the gateway's user push")
    if _HELPER.search(repository_config):
        yield WayAround("git credential helper", ".git/config", "let only the gateway's user push")
    if _REMOTE.search(repository_config):
        yield WayAround(
            "password in a git remote's address", ".git/config", "git remote set-url: take it out, and replace it"
        )


def _names(around: Surroundings, place: str) -> list[str]:
    try:
        return sorted(path.name for path in (around.home / place).iterdir())[:_ENTRIES_MAX]
    except OSError:
        return []
