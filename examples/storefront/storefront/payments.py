"""Payments: at most one charge for each idempotency key, whatever the card network does.

When the network is slow the answer is `pending`, never a second charge: asking again with the same key asks the
network what became of the first. Records live in memory and the oldest settled ones are forgotten; the network's own
idempotency outlives them.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from storefront.card_network import CardNetwork, Charge, Garbled, Unreachable

NETWORK_TIMEOUT_SECONDS = 0.8
RECORDS_MAX = 20_000

Status = Literal["approved", "declined", "pending"]


class KeyReused(Exception):
    """The idempotency key was used before for another payment."""


class TooManyOpen(Exception):
    """Too many payments wait for the card network; no more are taken on."""


@dataclass(slots=True)
class _Record:
    charge: Charge
    status: Status = "pending"
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    sent: bool = False
    users: int = 0

    def may_be_forgotten(self) -> bool:
        return self.users == 0 and (self.status != "pending" or not self.sent)


class Payments:
    """Charges through `network`, waiting at most `timeout_seconds` for each answer."""

    def __init__(self, network: CardNetwork, timeout_seconds: float = NETWORK_TIMEOUT_SECONDS) -> None:
        self._network = network
        self._timeout_seconds = timeout_seconds
        self._records: dict[str, _Record] = {}

    async def pay(self, charge: Charge) -> Status:
        """Charge once and return what is known.

        Raises `KeyReused` when the key belongs to another charge, `TooManyOpen` when no record is free, and
        `Unreachable` when nothing was sent, so that the caller may retry.
        """
        record = self._records.get(charge.key) or self._open(charge)
        if record.charge != charge:
            raise KeyReused(charge.key)
        record.users += 1
        try:
            async with record.turn:
                if record.status == "pending":
                    record.status = await self._ask(record)
                return record.status
        finally:
            record.users -= 1

    def _open(self, charge: Charge) -> _Record:
        if len(self._records) >= RECORDS_MAX:
            oldest = next((key for key, record in self._records.items() if record.may_be_forgotten()), None)
            if oldest is None:
                raise TooManyOpen(charge.key)
            del self._records[oldest]
        record = self._records[charge.key] = _Record(charge)
        return record

    async def _ask(self, record: _Record) -> Status:
        first = not record.sent
        record.sent = True  # before the first byte leaves: an interrupted send counts as sent
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if first:
                    return await self._network.charge(record.charge)
                return await self._network.find(record.charge.key) or "pending"
        except Unreachable:
            if not first:
                return "pending"
            record.sent = False
            raise
        except (TimeoutError, OSError, Garbled):
            return "pending"
