"""An explanation names list price, rate and rounding of the quote that was asked about."""

from hypothesis import given
from hypothesis import strategies as st

from storefront.assistant import ASSETS, Assistant
from storefront.catalogue import PRODUCTS
from storefront.explanation import explain
from storefront.quotes import CURRENCIES, format_minor, quote

ASSISTANT = Assistant.load(ASSETS)


@given(st.sampled_from(PRODUCTS), st.sampled_from(sorted(CURRENCIES)))
def test_an_explanation_holds_the_numbers_of_the_quote(product, code):
    quoted = quote(product, CURRENCIES[code])
    text = explain(quoted)
    assert format_minor(product.list_price_cents, 2) in text
    assert code == "EUR" or quoted.display in text


def test_the_assistant_explains_a_named_quote():
    reply = ASSISTANT.reply("explain the quote for product 17 in USD")
    assert reply.intent == "quote_explain"
    assert reply.answer == explain(quote(PRODUCTS[17], CURRENCIES["USD"]))


def test_without_a_product_the_assistant_asks_for_one():
    assert "Name a product" in ASSISTANT.reply("explain how you calculate a quote").answer
