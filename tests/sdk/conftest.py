"""The fixtures of the SDK's own kit, and its source on the path where the wheel is not installed."""

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("bywire_sdk") is None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "sdk" / "src"))

from bywire_sdk.testing.plugin import bywire_client, bywire_gateway  # noqa: F401


@pytest.fixture(autouse=True)
def loop():
    """Frameworks' blocking calls take the current event loop, and make one that nobody closes where there is none."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    asyncio.set_event_loop(None)
    made.close()


@pytest.fixture(scope="session")
def real_world(tmp_path_factory):
    """One served workspace for every test that needs the real gateway."""
    import worlds

    with worlds.real(tmp_path_factory.mktemp("sdk") / "scene") as running:
        yield running
