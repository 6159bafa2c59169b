"""Compact quotes: a layout for narrow screens, prepared in the background so that no request waits for it.

On demand only the layouts used last are kept, and preparation is paced to leave the processor to requests. `warm`
prepares the whole price list; that stays for the life of the process, because prices do not change within a version.
"""

import asyncio
import json
import textwrap
from collections import OrderedDict

from storefront.catalogue import PRODUCTS
from storefront.quotes import CURRENCIES, quote

COLUMNS = 18
RECENT_MAX = 48
WANTED_MAX = 32
PAUSE_SECONDS = 0.25
WARM_BATCH = 50

Key = tuple[int, str]


class CompactLayouts:
    """Layouts by product number and currency code."""

    def __init__(self) -> None:
        self._complete: dict[Key, bytes] = {}
        self._recent: OrderedDict[Key, bytes] = OrderedDict()
        self._wanted: dict[Key, None] = {}
        self._preparing: asyncio.Task[None] | None = None

    def find(self, key: Key) -> bytes | None:
        """Return the prepared layout, or None."""
        if key in self._recent:
            self._recent.move_to_end(key)
            return self._recent[key]
        return self._complete.get(key)

    def want(self, key: Key) -> None:
        """Prepare `key` soon, in the background; forgotten when too many are wanted already."""
        if len(self._wanted) < WANTED_MAX:
            self._wanted[key] = None
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.get_running_loop().create_task(self._prepare_wanted())

    def prepare(self, key: Key) -> None:
        """Lay out `key` now and keep it among the recent ones."""
        self._recent[key] = lay_out(key)
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    async def warm(self) -> int:
        """Prepare every product in every currency and return how many layouts there are."""
        keys = [(product.number, code) for product in PRODUCTS for code in CURRENCIES]
        for start in range(0, len(keys), WARM_BATCH):
            self._complete |= {key: lay_out(key) for key in keys[start : start + WARM_BATCH]}
            await asyncio.sleep(0)
        return len(self._complete)

    async def _prepare_wanted(self) -> None:
        while self._wanted:
            await asyncio.sleep(PAUSE_SECONDS)
            key = next(iter(self._wanted))
            del self._wanted[key]
            self.prepare(key)


def lay_out(key: Key) -> bytes:
    """Return the JSON of a quote as lines of at most `COLUMNS` characters, the price flush right in the last one."""
    number, code = key
    quoted = quote(PRODUCTS[number], CURRENCIES[code])
    lines = [*textwrap.wrap(quoted.product.name, COLUMNS), quoted.display.rjust(COLUMNS)]
    document = {"product": number, "lines": lines, "amount_minor": quoted.amount_minor, "currency": code}
    return json.dumps(document, separators=(",", ":")).encode()
