"""A gateway to test against: real HTTP on loopback, scripted rules, every call on record.

`FakeGateway` answers in the shapes of `bywire serve`; the same contract tests run against both. For the fixtures
`bywire_gateway` and `bywire_client`, a project's conftest.py says `pytest_plugins = ["bywire_sdk.testing.plugin"]`:
nothing of this package loads into a test run that did not ask for it.
"""

from bywire_sdk.testing.gateway import FakeGateway
from bywire_sdk.testing.script import Heard
from bywire_sdk.testing.server import Served

__all__ = ["FakeGateway", "Heard", "Served"]
