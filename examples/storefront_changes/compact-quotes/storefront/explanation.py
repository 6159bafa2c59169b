"""Says in one sentence or two how a quote comes about: list price, rate and rounding."""

from storefront.quotes import Quote, format_minor


def explain(quoted: Quote) -> str:
    """Return the explanation of `quoted` for a customer."""
    product, currency = quoted.product, quoted.currency
    list_price = format_minor(product.list_price_cents, 2)
    base = f"{product.name} (product {product.number}) has a list price of {list_price} EUR."
    if currency.code == "EUR":
        return f"{base} A quote in EUR is the list price itself."
    rate = f"{currency.per_million_euro / 1_000_000:.4f}".rstrip("0").rstrip(".")
    unit = "the whole unit" if currency.decimals == 0 else f"{currency.decimals} decimals"
    return (
        f"{base} Today's table has {rate} {currency.code} for one EUR, which makes {quoted.display}, rounded to {unit}."
    )
