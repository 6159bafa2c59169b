"""`bywire policy`: check, test, explain and compare policies; sign one, put one in force, shadow a rule."""

from pathlib import Path
from typing import Any

import click
import msgspec

from bywire.adapters.operator_dir import operator_path
from bywire.adapters.policy_opa import describe_opa
from bywire.cli.approvals import as_json_option, key_option, signs
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_ERROR, EXIT_OK, console, finish, literal, print_json
from bywire.cli.policy_compile import compile_
from bywire.cli.policy_history import replay, shadow_report_
from bywire.cli.policy_reading import diff, explain
from bywire.cli.policy_shadow import shadow
from bywire.cli.workspace import workspace
from bywire.policy.examination import Examination
from bywire.wiring.policies import known_person
from bywire.wiring.policy_in_force import read_candidate, unproved
from bywire.wiring.policy_review import examine_directory, loaded, sign_directory

POLICY = "policy"
bundle_option = click.option(
    "--bundle",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The policy's directory (default: the operator's).",
)


@click.group()
def policy() -> None:
    """The rules that decide: check, test, explain, compare; sign, activate, shadow."""


policy.add_command(explain)
policy.add_command(diff)
policy.add_command(shadow)
policy.add_command(compile_)
policy.add_command(replay)
shadow.add_command(shadow_report_)


@policy.command()
@bundle_option
@as_json_option
@click.pass_obj
def check(place: Place, bundle: Path | None, *, as_json: bool) -> None:
    """Whether a policy may decide: it parses, keeps to the subset, and every rule is proved by its tests."""
    directory = policy_directory(place, bundle)
    found, _ = examine_directory(directory)
    found = loaded(found)
    if as_json:
        print_json(_summary(found, directory))
    else:
        _print_check(found, directory)
    finish(EXIT_OK if found.fit else EXIT_DENIED)


@policy.command()
@bundle_option
@click.option("--require-opa", is_flag=True, help="Fail when Open Policy Agent is not here to compare with.")
@as_json_option
@click.pass_obj
def test(place: Place, bundle: Path | None, *, require_opa: bool, as_json: bool) -> None:
    """Run every Rego test here and, where it is installed, on Open Policy Agent, and compare the answers."""
    directory = policy_directory(place, bundle)
    found, where = examine_directory(directory, with_opa=True)
    found = loaded(found)
    missing = require_opa and not where
    if as_json:
        opa = {"engine": describe_opa(where), "compared": msgspec.to_builtins(found.opa)} if where else None
        print_json({**_summary(found, directory), "opa": opa})
    else:
        _print_tests(found, where, required=require_opa)
    finish(EXIT_ERROR if missing else EXIT_OK if found.fit else EXIT_DENIED)


@policy.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--as", "person", required=True, help="Who signs, e.g. oncall.")
@key_option
@as_json_option
@click.pass_obj
def sign(place: Place, directory: Path | None, person: str, key: Path | None, *, as_json: bool) -> None:
    """Sign a policy's digest and revision with your approver key. From then on only signed policies may follow."""
    with workspace(place) as opened:
        chosen = directory or opened.policies.directory
        signer = known_person(opened, person)
        written = sign_directory(opened, chosen, signer, signs(opened, key)(signer))
        bundle = read_candidate(chosen).bundle
    said = {"digest": bundle.digest, "revision": bundle.manifest.revision, "signer": signer, "file": str(written)}
    if as_json:
        print_json(said)
        return
    console().print(f"signed     revision {bundle.manifest.revision}, {bundle.digest[:16]}, by {literal(signer)}")
    console().print(f"  kept in  {literal(str(written))}")
    following = "bywire policy activate" + ("" if directory is None else f" {directory}")
    console().print(f"  next     [cyan]{literal(following)}[/]")


@policy.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@as_json_option
@click.pass_obj
def activate(place: Place, directory: Path | None, *, as_json: bool) -> None:
    """Put a policy in force (default: the operator's copy), or say why not and leave the one before it in force."""
    with workspace(place) as opened:
        done = opened.policies.activate(read_candidate(directory or opened.policies.directory))
    if as_json:
        print_json(msgspec.to_builtins(done))
        return
    when = f"ledger entry #{done.entry}" if done.entry >= 0 else "as before"
    by = f", signed by {done.signer}" if done.signer else ", not signed"
    console().print(f"[green]in force[/]   revision {done.revision}, {done.digest[:16]}{literal(by)}, {when}")


@policy.command("list")
@as_json_option
@click.pass_obj
def list_(place: Place, *, as_json: bool) -> None:
    """Every policy that was in force, oldest first; the last line is what decides now."""
    with workspace(place) as opened:
        opened.bundle()
        rows, refused = opened.policies.store.bundles(), opened.policies.refused
    if as_json:
        print_json({"bundles": msgspec.to_builtins(rows), "refused": refused.as_json() if refused else None})
        return
    for row in rows:
        state = "[green]in force[/]" if row.active else "before  "
        by = f"signed by {row.signer}" if row.signer else "not signed"
        console().print(f"{state}  revision {row.revision:<4} {row.digest[:16]}  {literal(f'{by}, {row.source}')}")


def policy_directory(place: Place, given: Path | None) -> Path:
    """The directory that a person means; the operator's copy needs no open workspace."""
    return given or operator_path(place.repo, given=place.operator) / POLICY


def _summary(found: Examination, directory: Path) -> dict[str, Any]:
    tests = found.tests
    return {
        "directory": str(directory),
        "digest": found.digest,
        "revision": found.revision,
        "engine": found.engine,
        "fit": found.fit,
        "findings": list(found.findings),
        "rules": {rule: [site.place for site in sites] for rule, sites in found.rules.items()},
        "tests": {
            "passed": len(tests.passed) if tests else 0,
            "failed": msgspec.to_builtins(tests.failed) if tests else [],
            "unproved": list(tests.unproved) if tests else [],
        },
    }


def _print_check(found: Examination, directory: Path) -> None:
    out = console()
    out.print(f"policy     {literal(str(directory))}")
    out.print(f"           revision {found.revision}, {found.digest[:16]}, {len(found.rules)} rules")
    for line in (*found.findings, *unproved(found)):
        out.print(f"[bold red]wrong[/]      {literal(line)}")
    if found.findings:
        out.print("  next     correct the lines above; they keep the policy from deciding")
        return
    passed = len(found.tests.passed) if found.tests else 0
    if found.fit:
        out.print(f"[green]fit[/]        lint passed, {passed} tests passed, every rule proved both ways")
    else:
        out.print("  next     [cyan]bywire policy test[/], then write what is missing")


def _print_tests(found: Examination, where: str, *, required: bool) -> None:
    out, tests = console(), found.tests
    for line in (*found.findings, *unproved(found), *(found.opa.differing if found.opa else ())):
        out.print(f"[bold red]wrong[/]      {literal(line)}")
    if tests is not None:
        proved = len(found.rules) - len(tests.unproved)
        out.print(f"regorus    {len(tests.passed)} passed, {len(tests.failed)} failed; {proved} rules proved both ways")
    if found.opa is not None:
        same = found.opa.tests - len(found.opa.differing)
        out.print(f"OPA        the same answer to {same} of {found.opa.tests} tests ({literal(describe_opa(where))})")
    elif not where:
        out.print("OPA        [yellow]was not here[/]: nothing was compared with Open Policy Agent")
        out.print("  next     put an `opa` binary on PATH, or install opa-golib-python-bindings")
        if required:
            out.print("[bold red]failed[/]     --require-opa")
