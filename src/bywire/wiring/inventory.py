"""Every way into a pipeline that a repository holds, with its risk tier, and whether what it does goes through bywire.

Judged by path and by the commands in the text (seed 002: map all entry points, assign tiers). Text is only ever
searched: an entry point that hides what it does is one whose effect is not seen, and it says so.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from bywire.adapters.git_export import SUBMODULE, SYMLINK
from bywire.evidence.path_classes import PathClasses, classes_of
from bywire.evidence.path_pattern import matches
from bywire.wiring.workspace import Workspace

FILES_MAX = 400
TEXT_BYTES_MAX = 65_536
TARGETS_SHOWN = 8


class Through(StrEnum):
    """Whether what an entry point does to the world goes through the door, as far as its text shows."""

    YES = "yes"
    NO = "no"
    PARTLY = "partly"
    NOT_SEEN = "no effect seen"


class EntryPoint(msgspec.Struct, frozen=True):
    """One way in. `tier` is high for a path of a high-risk class (`classes`), else the operator's floor."""

    path: str
    kind: str
    tier: str
    classes: tuple[str, ...]
    through_bywire: Through
    does: tuple[str, ...]


_CI = {
    "GitHub Actions": (".github/workflows/*.y*ml", ".gitea/workflows/*.y*ml", ".forgejo/workflows/*.y*ml"),
    "GitLab CI": ("**/.gitlab-ci*.y*ml", ".gitlab/ci/**"),
    "Jenkins": ("**/Jenkinsfile*", "**/*.jenkinsfile"),
    "CircleCI": (".circleci/*.y*ml",),
    "Azure Pipelines": ("**/azure-pipelines*.y*ml", ".azure-pipelines/**"),
    "Buildkite": (".buildkite/*.y*ml",),
    "Bitbucket Pipelines": ("bitbucket-pipelines.y*ml",),
    "Drone, Woodpecker": (".drone.y*ml", ".woodpecker.y*ml", ".woodpecker/*.y*ml"),
    "Travis CI": (".travis.y*ml",),
    "cloud build": ("**/cloudbuild*.y*ml", "**/buildspec*.y*ml", "appveyor.y*ml"),
    "TeamCity": (".teamcity/**",),
    "CI script": (".ci/**",),
    "dependency bot": (".github/dependabot.y*ml", "**/renovate.json*", ".github/renovate.json*"),
    "git hook": (".husky/*", ".githooks/*"),
}
_MAKE = ("**/Makefile", "**/makefile", "**/GNUmakefile", "**/*.mk", "**/justfile", "**/Justfile")
_TASKS = ("**/Taskfile.y*ml", "**/Rakefile", "**/noxfile.py", "**/fabfile.py", "**/package.json")
_SCRIPTS = (
    "**/*deploy*.sh",
    "**/*deploy*.py",
    "**/*release*.sh",
    "**/*release*.py",
    "**/*rollback*.sh",
    "**/*publish*.sh",
    "**/scripts/*.sh",
    "scripts/*",
    "bin/*",
    "script/*",
)
_DEPLOYS = {
    "platform deployment": (
        "**/serverless.y*ml",
        "**/fly.toml",
        "app.yaml",
        "**/vercel.json",
        "**/netlify.toml",
        "**/render.yaml",
        "**/skaffold.y*ml",
        "**/Procfile",
    ),
    "infrastructure as code": ("**/*.tf", "**/Pulumi.y*ml", "**/cdk.json", "**/playbook*.y*ml", "**/ansible.cfg"),
    "cron": ("**/crontab*", "**/*.cron", "**/cron.d/*", "**/*.timer"),
}
_MERGED, _ELSEWHERE = "a controller applies what is merged here", "what reads this file acts on it"
_GITOPS_PATHS = ("**/kustomization.y*ml", "**/Chart.y*ml", "**/fleet.yaml", "**/helmfile.y*ml")
_GITOPS = re.compile(
    r"^apiVersion:\s*['\"]?(?:argoproj\.io|[a-z.]*\.toolkit\.fluxcd\.io|fleet\.cattle\.io)/", re.MULTILINE
)
_KUBERNETES = re.compile(r"^apiVersion:\s*\S", re.MULTILINE)
_CRON_JOB = re.compile(r"^kind:\s*['\"]?CronJob\b", re.MULTILINE)
_SCHEDULE = re.compile(r"^[ \t]*-?[ \t]*['\"]?(?:cron|schedule)['\"]?\s*:", re.MULTILINE)
_TARGET = re.compile(
    r"^[ \t]*[\"']?((?:[a-z0-9]+[-_:])*(?:deploy|release|publish|promote|rollout|rollback|ship|provision|push|apply)"
    r"(?:[-_:][a-z0-9]+)*)[\"']?\s*:(?!=)",
    re.MULTILINE,
)
_EFFECT = re.compile(
    r"\b(?:kubectl\s+(?:apply|set|rollout|scale|patch|delete|replace|create)|helm\s+(?:upgrade|install|rollback|uninstall)"
    r"|helmfile\s+(?:apply|sync)|(?:terraform|tofu)\s+(?:apply|destroy)|pulumi\s+(?:up|destroy)|cdk\s+deploy|sam\s+deploy"
    r"|(?:docker|podman|buildah)\s+(?:push|compose\s+up|stack\s+deploy)|argocd\s+app\s+\w+|flux\s+(?:reconcile|resume)"
    r"|aws\s+(?:ecs|lambda|s3|cloudformation|deploy|eks)\s+[\w-]+"
    r"|gcloud\s+[\w -]{0,40}deploy|az\s+[\w -]{0,40}(?:deploy|up)"
    r"|ansible-playbook|serverless\s+deploy|fly(?:ctl)?\s+deploy|heroku\s+\w+|vercel\s+(?:deploy|--prod)|netlify\s+deploy"
    r"|npm\s+publish|twine\s+upload|cargo\s+publish|gem\s+push|gh\s+(?:release\s+create|pr\s+merge|workflow\s+run)"
    r"|git\s+push|scp\s+\S|rsync\s+\S|ssh\s+\S+@)"
)
_BYWIRE = re.compile(r"\bbywire\s+(?:--\S+\s+\S+\s+)*(?:deliver|rollback)\b")


def inventory(workspace: Workspace) -> tuple[EntryPoint, ...]:
    """Entry points of the protected branch's tip, at most FILES_MAX files looked into."""
    repository = workspace.repository
    entries = {
        entry.path: entry
        for entry in repository.list(repository.resolve(workspace.operator.base_branch))
        if entry.mode not in (SYMLINK, SUBMODULE)
    }
    wanted = [path for path in entries if kind_of(path)][:FILES_MAX]
    texts = repository.beginnings([entries[path] for path in wanted], TEXT_BYTES_MAX)
    read = {path: data.decode("utf-8", "replace") for path, data in zip(wanted, texts, strict=True)}
    tables = workspace.bundle().tables
    return entry_points(read, tables["path_classes"], workspace.operator.tier_floor)


def entry_points(texts: Mapping[str, str], classes: PathClasses, tier_floor: str) -> tuple[EntryPoint, ...]:
    """The entry points among files (path -> text), sorted by kind and path. Pure."""
    found = [
        EntryPoint(
            path=path,
            kind=entry[0],
            tier="high" if classes_of(path, classes) else tier_floor,
            classes=classes_of(path, classes),
            through_bywire=_through(entry[0], text),
            does=entry[1],
        )
        for path, text in texts.items()
        if (entry := _entry(path, text)) is not None
    ]
    return tuple(sorted(found, key=lambda point: (point.kind, point.path)))


def kind_of(path: str) -> str:
    """What kind of entry point a path could be, or empty."""
    for kind, patterns in {**_CI, **_DEPLOYS}.items():
        if matches(path, patterns):
            return kind
    if matches(path, _GITOPS_PATHS):
        return "GitOps"
    if matches(path, (*_MAKE, *_TASKS)):
        return "build target"
    if matches(path, _SCRIPTS):
        return "script"
    return "manifest" if path.endswith((".yaml", ".yml")) else ""


def _entry(path: str, text: str) -> tuple[str, tuple[str, ...]] | None:
    """(kind, what it does) of one file; None when it is no way in after all."""
    kind = kind_of(path)
    effects = _named(_EFFECT, text)
    if kind == "GitOps" or (path.endswith((".yaml", ".yml")) and _GITOPS.search(text) is not None):
        return "GitOps", (_MERGED, *effects)
    if kind in _DEPLOYS:
        return kind, (_ELSEWHERE, *effects)
    if kind == "manifest":
        return ("cron", ("a CronJob",)) if _KUBERNETES.search(text) and _CRON_JOB.search(text) else None
    if kind == "build target":
        targets = tuple(dict.fromkeys(_TARGET.findall(text)))[:TARGETS_SHOWN]
        return (kind, (*targets, *effects)) if targets or effects else None
    if kind == "script":
        called = _TARGET.search(f"{_stem(path)}:") is not None
        return (kind, effects) if effects or called or _BYWIRE.search(text) else None
    scheduled = ("on a schedule",) if _SCHEDULE.search(text) else ()
    return (kind, (*scheduled, *effects)) if kind else None


def _through(kind: str, text: str) -> Through:
    """A manifest that a controller applies, a platform file, and every effect command go past the door."""
    past = kind in {"GitOps", *_DEPLOYS} or _EFFECT.search(text) is not None
    through = _BYWIRE.search(text) is not None
    if past:
        return Through.PARTLY if through else Through.NO
    return Through.YES if through else Through.NOT_SEEN


def _named(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    found: Sequence[str] = [" ".join(match.group().split()) for match in pattern.finditer(text)]
    return tuple(dict.fromkeys(found))[:TARGETS_SHOWN]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0].lower()
