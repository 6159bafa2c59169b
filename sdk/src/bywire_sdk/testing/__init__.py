"""A gateway to test against: real HTTP on loopback, scripted rules, every call on record.

`FakeGateway` answers in the shapes of `bywire serve`; the same contract tests run against both. Pytest finds the
fixtures `bywire_gateway` and `bywire_client` by itself once this package is installed.
"""

from bywire_sdk.testing.gateway import FakeGateway
from bywire_sdk.testing.script import Heard
from bywire_sdk.testing.server import Served

__all__ = ["FakeGateway", "Heard", "Served"]
