"""The products on sale: 400 of them, numbered from 0, each with a name and a list price in euro cents.

The list is a pure function of the number, so every instance of one version quotes the same prices.
"""

import re
from dataclasses import dataclass

PRODUCT_COUNT = 400

_FINISHES = ("Oak", "Linen", "Slate", "Brass", "Cotton", "Walnut", "Copper", "Wool", "Marble", "Cork")
_GOODS = ("lamp", "chair", "rug", "shelf", "mirror", "desk", "stool", "vase")
_REFERENCE = re.compile(r"(?:p-?)?0*(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Product:
    """One thing on sale; the price is in euro cents."""

    number: int
    name: str
    list_price_cents: int


def find_product(reference: str) -> Product | None:
    """Return the product that `reference` (`17`, `p17`, `p-0017`) names, or None."""
    match = _REFERENCE.fullmatch(reference)
    number = int(match[1]) if match else PRODUCT_COUNT
    return PRODUCTS[number] if number < PRODUCT_COUNT else None


def _product(number: int) -> Product:
    finish, goods = _FINISHES[number % len(_FINISHES)], _GOODS[number // len(_FINISHES) % len(_GOODS)]
    series = number // (len(_FINISHES) * len(_GOODS)) + 1
    return Product(number, f"{finish} {goods} {series}", 499 + number * 7919 % 49500)


PRODUCTS = tuple(_product(number) for number in range(PRODUCT_COUNT))
