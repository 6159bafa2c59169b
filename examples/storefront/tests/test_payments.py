"""One key is charged at most once, also when the card network is slow, gone or talks nonsense."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Client
from storefront import payments as payments_module
from storefront.app import Storefront
from storefront.assistant import ASSETS, Assistant
from storefront.card_network import Charge, HttpCardNetwork, SandboxCardNetwork, Unreachable
from storefront.payments import KeyReused, Payments, TooManyOpen
from storefront.server import serving
from storefront.wire import Response, json_response

ORDER = {"idempotency_key": "order-1", "product": "17", "currency": "EUR", "card_token": "tok_visa"}


class FakeCardNetwork:
    """A card network over HTTP that counts what it is asked to charge; it can be slow or garbled."""

    def __init__(self):
        self.charged = []
        self.slow_seconds = 0.0
        self.garbled = False
        self.settled = threading.Event()

    async def answer(self, request):
        if self.garbled:
            return Response(200, b"<html>")
        if request.method == "POST":
            self.charged.append(request.json()["key"])
            await asyncio.sleep(self.slow_seconds)
            self.settled.set()
            return json_response(200, {"status": "approved"})
        known = request.path.rpartition("/")[2] in self.charged
        return json_response(200, {"status": "approved"}) if known and self.settled.is_set() else json_response(404, {})


@contextmanager
def paying(timeout_seconds):
    network = FakeCardNetwork()
    with serving(network.answer) as network_port:
        service = Storefront(
            Payments(HttpCardNetwork(f"http://127.0.0.1:{network_port}"), timeout_seconds), Assistant.load(ASSETS)
        )
        with serving(service.answer) as port:
            client = Client(port)
            yield network, client
            client.close()


def test_a_payment_is_charged_once_and_its_answer_repeated():
    with paying(2) as (network, client):
        answers = [client.post("/pay", ORDER) for _ in range(3)]
        assert client.post("/pay", ORDER | {"currency": "USD"})[0] == 409
    assert {(status, answer["status"]) for status, answer in answers} == {(200, "approved")}
    assert network.charged == ["order-1"]


def test_fault_card_network_slow_falls_back_to_pending_and_never_charges_twice():
    with paying(0.3) as (network, client):
        network.slow_seconds = 1.0
        begun = time.monotonic()
        status, answer = client.post("/pay", ORDER)
        assert time.monotonic() - begun < 0.9
        assert (status, answer["status"]) == (202, "pending")
        assert client.post("/pay", ORDER)[1]["status"] == "pending"
        assert network.settled.wait(5)
        assert client.post("/pay", ORDER)[1]["status"] == "approved"
        assert client.get("/healthz")[0] == 200
    assert network.charged == ["order-1"]


def test_fault_card_network_garbled_is_pending_until_it_is_known():
    with paying(2) as (network, client):
        network.garbled = True
        assert client.post("/pay", ORDER)[1]["status"] == "pending"
        network.garbled = False
        assert client.post("/pay", ORDER)[1]["status"] == "pending"
    assert network.charged == []


def test_fault_card_network_gone_charges_nothing_and_may_be_tried_again():
    with serving(FakeCardNetwork().answer) as port:
        pass  # the port is closed again, so connecting fails
    gone = Payments(HttpCardNetwork(f"http://127.0.0.1:{port}"))
    for _ in range(2):
        with pytest.raises(Unreachable):
            asyncio.run(gone.pay(Charge("order-1", 100, "EUR", "tok_visa")))


@pytest.mark.parametrize(
    "change",
    [
        {"idempotency_key": "a b"},
        {"idempotency_key": None},
        {"card_token": "4111111111111111"},
        {"product": "x"},
        {"currency": []},
    ],
)
def test_a_malformed_order_is_refused_and_never_repeats_the_card(client, change):
    status, body = client.send("POST", "/pay", json.dumps(ORDER | change).encode())
    assert status in (400, 404)
    assert b"4111" not in body


def test_the_sandbox_declines_on_request(client):
    assert client.post("/pay", ORDER | {"card_token": "tok_declined"})[1]["status"] == "declined"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2)), max_size=20))
def test_any_sequence_of_orders_charges_each_key_once(orders):
    sent = []

    class Counting(SandboxCardNetwork):
        async def charge(self, charge):
            sent.append(charge.key)
            await asyncio.sleep(0)
            return "approved"

    async def pay_all():
        payments = Payments(Counting())
        charges = (Charge(key, amount, "EUR", "tok_visa") for key, amount in orders)
        return await asyncio.gather(*map(payments.pay, charges), return_exceptions=True)

    answers = asyncio.run(pay_all())
    assert sorted(sent) == sorted({key for key, _ in orders})
    assert all(answer == "approved" or isinstance(answer, KeyReused) for answer in answers)


def test_open_payments_are_bounded_and_settled_ones_forgotten(monkeypatch):
    monkeypatch.setattr(payments_module, "RECORDS_MAX", 2)

    class Slow(SandboxCardNetwork):
        async def charge(self, charge):
            return await asyncio.sleep(9) if charge.card_token == "tok_slow" else "approved"

    async def fill():
        payments = Payments(Slow(), timeout_seconds=0.01)
        assert [await payments.pay(Charge(key, 1, "EUR", "tok_visa")) for key in "abc"] == ["approved"] * 3
        assert [await payments.pay(Charge(key, 1, "EUR", "tok_slow")) for key in "de"] == ["pending"] * 2
        with pytest.raises(TooManyOpen):
            await payments.pay(Charge("f", 1, "EUR", "tok_visa"))

    asyncio.run(fill())


def test_the_network_address_must_be_plain():
    for url in ("https://network", "http://", "http://network/path"):
        with pytest.raises(ValueError, match="CARD_NETWORK_URL"):
            HttpCardNetwork(url)
