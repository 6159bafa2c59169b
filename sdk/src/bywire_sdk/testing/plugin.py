"""Pytest fixtures: `bywire_gateway` (a `FakeGateway` that answers) and `bywire_client` (a `Client` of it)."""

from collections.abc import Iterator

import pytest

from bywire_sdk import Client, Limits
from bywire_sdk.testing.gateway import TOKEN, FakeGateway
from bywire_sdk.testing.server import Served

QUICK = Limits(poll_first_seconds=0.01, poll_most_seconds=0.05, answer_seconds=10, connect_seconds=5)


@pytest.fixture
def bywire_gateway() -> Iterator[FakeGateway]:
    """A gateway at `.url` that denies everything until the test says otherwise."""
    with Served(FakeGateway()) as served:
        yield served.gateway


@pytest.fixture
def bywire_client(bywire_gateway: FakeGateway) -> Iterator[Client]:
    """A client of `bywire_gateway` that polls quickly."""
    with Client(bywire_gateway.url, token=TOKEN, limits=QUICK) as client:
        yield client
