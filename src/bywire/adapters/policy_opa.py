"""Open Policy Agent itself, where this host has it: the wheel `opa-golib-python-bindings` or an `opa` binary on PATH.

It never decides. It answers the same tests, so that a policy which only regorus reads one way is seen before it is in
force. `find_opa` runs in the asking process and names a place; `opa_at` is called in the bounded child.
"""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bywire.model.errors import PolicyError
from bywire.policy.examination import Opa

_BINDINGS = "opa_bindings"
_WHEEL = "opa-golib-python-bindings"
_AS_BINDINGS, _AS_BINARY = "bindings:", "binary:"
_SAID_MAX = 400


def find_opa() -> str:
    """Where OPA is, for `opa_at`; empty when this host has none."""
    spec = importlib.util.find_spec(_BINDINGS)
    if spec is not None and spec.origin is not None:
        return f"{_AS_BINDINGS}{Path(spec.origin).parents[1]}"
    binary = shutil.which("opa")
    return f"{_AS_BINARY}{binary}" if binary else ""


def describe_opa(where: str) -> str:
    """A place in words."""
    if where.startswith(_AS_BINDINGS):
        return f"{_WHEEL} {importlib.metadata.version(_WHEEL)}"
    return where.removeprefix(_AS_BINARY) or "none"


def opa_at(where: str) -> Opa | None:
    """The OPA at a place that `find_opa` named."""
    kind, _, place = where.partition(":")
    if f"{kind}:" == _AS_BINDINGS:
        sys.path.append(place)
        return _evaluate_bindings
    if f"{kind}:" == _AS_BINARY:
        return lambda modules, data_json, packages: _evaluate_binary(place, modules, data_json, packages)
    return None


def _evaluate_bindings(
    modules: Mapping[str, str], data_json: str, packages: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    bindings = importlib.import_module(_BINDINGS)
    try:
        with bindings.OpaEngine() as engine:
            for path, source in modules.items():
                engine.add_policy(path, source)
            engine.add_data(json.loads(data_json))
            found = {package: engine.eval_query(f"document = {package}") for package in packages}
            return {package: bindings_of[0]["document"] for package, bindings_of in found.items() if bindings_of}
    except bindings.OpaError as error:
        raise _refused(str(error)) from error


def _evaluate_binary(
    binary: str, modules: Mapping[str, str], data_json: str, packages: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as directory:
        for path, source in modules.items():
            place = Path(directory, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(source)
        Path(directory, "data.json").write_text(data_json)
        query = f"[{', '.join(packages)}]"
        done = subprocess.run(
            [binary, "eval", "--format", "json", "--data", directory, "--stdin-input", query],
            input=b"{}",
            capture_output=True,
            check=False,
            env={"PATH": os.defpath, "HOME": directory},
        )
    try:
        documents = json.loads(done.stdout)["result"][0]["expressions"][0]["value"]
    except (ValueError, LookupError, TypeError) as error:
        raise _refused((done.stdout or done.stderr).decode(errors="replace")) from error
    return dict(zip(packages, documents, strict=True))


def _refused(said: str) -> PolicyError:
    return PolicyError(
        f"Open Policy Agent refuses the policy: {' '.join(said.split())[:_SAID_MAX]}",
        code="policy_opa",
        next_step="write it so that both engines read it: bywire policy check",
    )
