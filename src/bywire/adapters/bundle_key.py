"""The key that signs policy bundles for Open Policy Agent: one file of the operator directory, drawn when first needed.

Whoever of two processes is first has made it; both use that one. It is in no trust root: it vouches to OPA alone.
"""

import contextlib
import os
import secrets
import stat

from cryptography.hazmat.primitives.asymmetric import ec

from bywire.adapters.durable_file import sync_directory
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.model.errors import ConfigError
from bywire.seal.es256 import Es256Key

BUNDLE_KEY_FILE = "keys/opa-bundle.pem"
_BYTES_MAX = 4_096
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def bundle_key(directory: OperatorDirectory) -> Es256Key:
    """The key. ConfigError `key_exposed` when others could have read it (RULES 3), EvidenceError `key_invalid`."""
    place = directory.path / BUNDLE_KEY_FILE
    if not place.exists():
        drawn = directory.write(
            f"keys/opa-bundle.new-{secrets.token_hex(8)}", Es256Key(ec.generate_private_key(ec.SECP256R1())).to_pem()
        )
        with contextlib.suppress(FileExistsError):
            os.link(drawn, place)
        drawn.unlink()
        sync_directory(place.parent)
    pem = directory.read(BUNDLE_KEY_FILE, bytes_max=_BYTES_MAX)
    if place.stat().st_mode & _OTHERS:
        raise ConfigError(
            f"{BUNDLE_KEY_FILE} is readable by others",
            code="key_exposed",
            next_step="move it away: another one is then made; give OPA that one's public half: bywire keys opa",
        )
    return Es256Key.from_pem(pem)
