"""The fixtures of the SDK's own kit, and its source on the path where the wheel is not installed."""

import importlib.util
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("bywire_sdk") is None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "sdk" / "src"))

from bywire_sdk.testing.plugin import bywire_client, bywire_gateway  # noqa: F401


@pytest.fixture(scope="session")
def real_world(tmp_path_factory):
    """One served workspace for every test that needs the real gateway."""
    import worlds

    with worlds.real(tmp_path_factory.mktemp("sdk") / "scene") as running:
        yield running
