"""What `bywire init` makes: bywire.yaml in the repository, and an operator directory outside it."""

import os
import re
import sys
from pathlib import Path

import msgspec

from bywire.adapters import knowledge_base, yaml_file
from bywire.adapters.git_repository import GitRepository
from bywire.adapters.key_files import TRUST_FILE, KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory, operator_path
from bywire.adapters.repository_scan import scan
from bywire.config import draft, service_intent
from bywire.config.findings import Findings
from bywire.config.operator_config import PERSON
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.errors import ConfigError
from bywire.model.intent import ServiceIntent
from bywire.model.operator import Person
from bywire.model.principal import KeyRole
from bywire.wiring.workspace import DATABASE_FILE, LOG_PRINCIPAL, OPERATOR_FILE, read_operator

AGENTS = ("planner", "coder", "tester", "auditor", "release-controller", "recourse")
BUILDERS = ("builder", "producer")
POLICY_MANIFEST = "policy/manifest.json"
APPROVER_ROLES = ("sre-oncall", "service-owner")


class Initialised(msgspec.Struct, frozen=True):
    """What was made, and what was there already."""

    service: str
    intent_file: str
    intent_written: bool
    operator_dir: str
    approver: str
    approver_key: str
    approver_made: bool
    findings: Findings
    intent: ServiceIntent


def initialise(repo: Path, operator: Path | None, *, approver: str, passphrase: bytes | None = None) -> Initialised:
    """Prepare `repo`. Running it again changes nothing that is there. ConfigError when `repo` is no git repository."""
    repo = GitRepository(repo).root
    findings = scan(repo)
    person = _owner(findings)
    _check_approver(f"person:{approver}", person.id)
    place = operator_path(repo, given=operator)
    intent_file = repo / "bywire.yaml"
    if intent_file.is_symlink():  # it came with the clone, and would choose what is written
        raise ConfigError(
            "bywire.yaml is a link", code="intent_unsafe", next_step="replace it with a file, or remove it"
        )
    written = not intent_file.exists()
    if written:
        with intent_file.open("x") as file:
            file.write(draft.render(findings))
    intent = yaml_file.parse(yaml_file.read_bytes(intent_file), intent_file.name, service_intent.parse)
    findings = msgspec.structs.replace(findings, service=intent.service)
    directory = OperatorDirectory.create(place)
    if not (directory.path / OPERATOR_FILE).exists():
        text = draft.render_operator(
            findings,
            person,
            Person(id=f"person:{approver}", roles=APPROVER_ROLES),
            search_path=_search_path(),
        )
        directory.write(OPERATOR_FILE, text.encode())
    _install_policy(directory)
    new = _install_keys(directory, person.id, f"person:{approver}", passphrase)
    operator_config = read_operator(directory)
    return Initialised(
        service=operator_config.service,
        intent_file=str(intent_file),
        intent_written=written,
        operator_dir=str(directory.path),
        approver=f"person:{approver}",
        approver_key=str(directory.path / f"keys/approver--person-{approver}.pem"),
        approver_made=new,
        findings=findings,
        intent=intent,
    )


def _check_approver(approver: str, owner: str) -> None:
    if re.fullmatch(PERSON, approver) is None:
        raise ConfigError(
            f"{approver!r} cannot name a person",
            code="principal_malformed",
            next_step="bywire init --approver NAME, in a-z, 0-9 and . _ -",
        )
    if approver == owner:
        raise ConfigError(
            f"{approver} owns the agents and cannot also approve what they do",
            code="separation_of_duties",
            next_step="name somebody else: bywire init --approver NAME",
        )


def _owner(findings: Findings) -> Person:
    if findings.user is None:
        return Person(id="person:owner", roles=("service-owner",))
    name = "".join(character if character.isalnum() else "-" for character in findings.user.name.lower()).strip("-")
    return Person(id=f"person:{name or 'owner'}", emails=(findings.user.email,), roles=("service-owner",))


def _install_policy(directory: OperatorDirectory) -> None:
    """Copy the shipped policy; its manifest comes last, so that a copy that was cut short is completed."""
    if (directory.path / POLICY_MANIFEST).exists():
        return
    shipped = {f"policy/{name}": data for name, data in knowledge_base.shipped_policy().items()}
    for name in sorted(shipped, key=lambda name: (name == POLICY_MANIFEST, name)):
        if not (directory.path / name).exists():
            directory.write(name, shipped[name])


def _install_keys(directory: OperatorDirectory, owner: str, approver: str, passphrase: bytes | None) -> bool:
    """Whether keys were made; those that are there stay."""
    if (directory.path / TRUST_FILE).exists():
        return False
    keys = KeyFiles(directory)
    if (directory.path / DATABASE_FILE).exists():
        raise ConfigError(
            f"{TRUST_FILE} is missing from {directory.path}, where a log exists",
            code="trust_missing",
            next_step=f"restore {TRUST_FILE} from a backup of the operator directory; new keys cannot replace it",
        )
    keys.discard_untrusted()
    keys.create_workspace_key()
    made: list[TrustedKey] = [keys.create(KeyRole.LOG, LOG_PRINCIPAL, owner)]
    made += [keys.create(KeyRole.AGENT, f"agent:{name}", owner) for name in AGENTS]
    made += [keys.create(KeyRole.BUILDER, f"workload:{name}", owner) for name in BUILDERS]
    made.append(keys.create(KeyRole.APPROVER, approver, passphrase=passphrase))
    origin = f"bywire.dev/log/{made[0].key_id[:16]}"
    keys.save_trust(TrustRoot(version=1, origin=origin, keys=tuple(made)))
    return True


def _search_path() -> tuple[str, ...]:
    """The PATH for builds and tests: this program's own interpreter first, then the system's."""
    own = str(Path(sys.executable).parent)
    known = [own, *os.defpath.split(os.pathsep), "/usr/local/bin", "/usr/bin", "/bin"]
    return tuple(dict.fromkeys(part for part in known if part and Path(part).is_dir()))
