"""A mobile-web quote is a narrow layout with the same price; other clients get the quote they know."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Client
from storefront import compact
from storefront.app import assemble
from storefront.catalogue import PRODUCTS
from storefront.compact import COLUMNS, RECENT_MAX, CompactLayouts, lay_out
from storefront.quotes import CURRENCIES, quote
from storefront.server import serving

keys = st.tuples(st.integers(0, len(PRODUCTS) - 1), st.sampled_from(sorted(CURRENCIES)))


@given(keys)
def test_a_layout_fits_the_screen_and_keeps_the_price(key):
    layout = json.loads(lay_out(key))
    quoted = quote(PRODUCTS[key[0]], CURRENCIES[key[1]])
    assert layout["amount_minor"] == quoted.amount_minor
    assert layout["lines"][-1].endswith(quoted.display)
    assert all(len(line) <= COLUMNS for line in layout["lines"])


@given(st.lists(keys, unique=True, max_size=60))
def test_the_last_prepared_layouts_are_kept(wanted):
    layouts = CompactLayouts()
    for key in wanted:
        layouts.prepare(key)
    assert all(layouts.find(key) == lay_out(key) for key in wanted[-RECENT_MAX:])
    assert all(layouts.find(key) is None for key in wanted[:-RECENT_MAX])


def test_a_wanted_layout_is_prepared_in_the_background(monkeypatch):
    monkeypatch.setattr(compact, "PAUSE_SECONDS", 0)

    async def want():
        layouts = CompactLayouts()
        layouts.want((17, "USD"))
        layouts.want((18, "EUR"))
        assert layouts._preparing is not None
        await layouts._preparing
        return layouts.find((17, "USD")), layouts.find((18, "EUR"))

    assert asyncio.run(want()) == (lay_out((17, "USD")), lay_out((18, "EUR")))


@pytest.mark.parametrize("segment", ["desktop", "ios", "android"])
def test_other_clients_get_the_full_quote(client, segment):
    status, body = client.get("/quote?product=17&currency=USD", **{"x-client-segment": segment})
    assert (status, body["name"]) == (200, PRODUCTS[17].name)


def test_mobile_web_gets_the_compact_layout():
    service = assemble()
    service.compact.prepare((17, "USD"))
    with serving(service.answer) as port:
        client = Client(port)
        status, body = client.get("/quote?product=17&currency=USD", **{"x-client-segment": "mobile-web"})
        client.close()
    assert status == 200
    assert body["lines"][-1].strip().endswith("USD")


def test_warming_prepares_every_layout(client):
    assert client.post("/internal/warm", {}) == (200, {"warmed": len(PRODUCTS) * len(CURRENCIES)})
    for number in (0, 399):
        assert client.get(f"/quote?product={number}&currency=JPY", **{"x-client-segment": "mobile-web"})[0] == 200
