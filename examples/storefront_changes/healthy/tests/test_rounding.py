"""An amount exactly between two units goes to the even one, so that errors cancel out over many quotes."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storefront.quotes import CURRENCIES, Currency, convert

HALF = Currency("XTS", 500_000, 2)


@pytest.mark.parametrize(("euro_cents", "amount"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)])
def test_a_tie_goes_to_the_even_unit(euro_cents, amount):
    assert convert(euro_cents, HALF) == amount


@given(st.integers(0, 10**9), st.sampled_from(sorted(CURRENCIES)))
def test_conversion_agrees_with_decimal(euro_cents, code):
    currency = CURRENCIES[code]
    exact = Decimal(euro_cents) * currency.per_million_euro * 10**currency.decimals / (100 * 1_000_000)
    assert convert(euro_cents, currency) == int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))


@given(st.integers(0, 10**6))
def test_ties_cancel_out_in_pairs(euro_cents):
    drift = sum(2 * convert(euro_cents + step, HALF) - (euro_cents + step) for step in range(4))
    assert drift == 0
