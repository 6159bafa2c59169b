"""Price quotes: a list price in euro cents, converted by a fixed table into the minor unit of the asked currency."""

from dataclasses import dataclass
from typing import Any

from storefront.catalogue import Product

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of the price table: units per million euro, and decimals of its minor unit (ISO 4217)."""

    code: str
    per_million_euro: int
    decimals: int


CURRENCIES = {
    currency.code: currency
    for currency in (
        Currency("EUR", 1_000_000, 2),
        Currency("USD", 1_083_400, 2),
        Currency("GBP", 842_650, 2),
        Currency("CHF", 946_300, 2),
        Currency("JPY", 162_310_000, 0),
    )
}


@dataclass(frozen=True, slots=True)
class Quote:
    """What one product costs in one currency; `amount_minor` counts the currency's smallest unit."""

    product: Product
    currency: Currency
    amount_minor: int

    @property
    def display(self) -> str:
        """The amount as a person reads it, such as `23.10 EUR`."""
        return f"{format_minor(self.amount_minor, self.currency.decimals)} {self.currency.code}"

    def as_json(self) -> dict[str, Any]:
        """Return the public shape of a quote."""
        return {
            "product": self.product.number,
            "name": self.product.name,
            "currency": self.currency.code,
            "amount_minor": self.amount_minor,
            "display": self.display,
        }


def quote(product: Product, currency: Currency) -> Quote:
    """Return the price of `product` in `currency`."""
    return Quote(product, currency, convert(product.list_price_cents, currency))


def convert(euro_cents: int, currency: Currency) -> int:
    """Return `euro_cents` in the minor unit of `currency`, rounded half to even, in integer arithmetic."""
    unit: int = 10**currency.decimals
    divisor = 100 * _MILLION
    amount, rest = divmod(euro_cents * currency.per_million_euro * unit, divisor)
    if 2 * rest > divisor or (2 * rest == divisor and amount % 2 == 1):
        amount += 1
    return amount


def format_minor(amount_minor: int, decimals: int) -> str:
    """Return `amount_minor` with its decimal point: (2310, 2) gives `23.10`."""
    if decimals == 0:
        return str(amount_minor)
    whole, fraction = divmod(amount_minor, 10**decimals)
    return f"{whole}.{fraction:0{decimals}d}"
