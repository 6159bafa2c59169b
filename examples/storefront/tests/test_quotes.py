"""Conversion is exact to half a minor unit, never falls when the list price rises, and reads back from its display."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from conftest import CHARACTERS
from storefront.catalogue import PRODUCT_COUNT, PRODUCTS, find_product
from storefront.quotes import CURRENCIES, convert, format_minor, quote

cents = st.integers(0, 10**9)
currencies = st.sampled_from(sorted(CURRENCIES.values(), key=lambda currency: currency.code))


@given(cents, currencies)
def test_rounding_is_off_by_half_a_unit_at_most(euro_cents, currency):
    exact = Fraction(euro_cents * currency.per_million_euro * 10**currency.decimals, 100 * 1_000_000)
    assert abs(convert(euro_cents, currency) - exact) <= Fraction(1, 2)


@given(cents, cents, currencies)
def test_a_higher_list_price_is_never_a_lower_quote(one, other, currency):
    low, high = sorted((one, other))
    assert convert(low, currency) <= convert(high, currency)


@given(cents)
def test_euro_is_quoted_unchanged(euro_cents):
    assert convert(euro_cents, CURRENCIES["EUR"]) == euro_cents


@given(st.integers(0, 10**9), st.sampled_from([0, 2]))
def test_the_display_reads_back_as_the_amount(amount, decimals):
    assert Fraction(format_minor(amount, decimals)) * 10**decimals == amount


def test_every_product_is_found_by_its_number_and_has_a_name_of_its_own():
    assert all(find_product(str(product.number)) is product for product in PRODUCTS)
    assert len({product.name for product in PRODUCTS}) == PRODUCT_COUNT
    assert find_product("p-0017") is PRODUCTS[17]


@given(st.text(CHARACTERS, max_size=12))
def test_any_reference_is_a_product_or_nothing(reference):
    found = find_product(reference)
    assert found is None or found in PRODUCTS


def test_a_quote_shows_amount_and_currency():
    assert quote(PRODUCTS[0], CURRENCIES["EUR"]).display == "4.99 EUR"
    assert quote(PRODUCTS[0], CURRENCIES["JPY"]).display == "810 JPY"
