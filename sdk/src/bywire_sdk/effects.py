"""Doing one thing under a permit: ask, do exactly what was permitted, say how it ended. The same steps for every face.

An exception says that something went wrong, not that nothing happened: it is reported as `unknown`, which a person
settles, unless the code that raised it declares otherwise. What was done once under a key is never done again under it.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from bywire_sdk import system
from bywire_sdk.async_client import AsyncClient
from bywire_sdk.client import Client, pauses
from bywire_sdk.errors import (
    Busy,
    EngineError,
    GatewayError,
    Invalid,
    ResultNotKept,
    Unreachable,
    Unreported,
    UpstreamFailed,
    made,
)
from bywire_sdk.protocol import COMMITTED, FAILED, UNKNOWN, Answer, Ask, Permitted, encoded
from bywire_sdk.values import as_json, copied

ERROR_CHARS_MAX = 500
# Keys have at most 256 characters; the rest is for the attempt's number.
KEY_CHARS_KEPT = 250
_PASSING = (Unreachable, Busy, EngineError)


class NothingDone(Exception):  # noqa: N818  it is what a function says, not that something is wrong
    """Raised by a governed function to say that it stopped before it changed anything."""


@dataclass(frozen=True)
class Deed:
    """One thing to do. `accept` turns the permitted parameters into what is done with; it runs before anything is done.

    `kept` makes of a value the plain JSON that is recorded of it. `nothing_done` are the exceptions after which nothing
    has happened. `tries_again`: what failed did nothing, so asking for it again may try it again, under a key that
    follows from the first; otherwise the failure is the answer for good.
    """

    ask: Ask
    accept: Callable[[dict[str, Any]], Any]
    kept: Callable[[Any], Any]
    wait_seconds: float = 0
    nothing_done: tuple[type[BaseException], ...] = ()
    tries_again: bool = False

    def ended(self, error: BaseException) -> str:
        """What is known after an exception."""
        return FAILED if isinstance(error, (NothingDone, *self.nothing_done)) else UNKNOWN


def carry_out(client: Client, deed: Deed, perform: Callable[[Any], Any]) -> Any:
    """Do it, or return what was recorded of having done it. Raises GatewayError, and whatever `perform` raises."""
    begun = begin(client, deed)
    return recorded(begun) if isinstance(begun, Answer) else finish(client, deed, begun, perform)


async def acarry_out(client: AsyncClient, deed: Deed, perform: Callable[[Any], Awaitable[Any]]) -> Any:
    """`carry_out` for asyncio. A cancelled one is reported as `unknown` before the cancellation goes on."""
    begun = await abegin(client, deed)
    return recorded(begun) if isinstance(begun, Answer) else await afinish(client, deed, begun, perform)


def begin(client: Client, deed: Deed) -> Permitted | Answer:
    """Leave to do it, or the record of it. Raises GatewayError."""
    for ask in _attempts(deed, client.limits.resumes_max):
        try:
            return client.permit_ask(ask, deed.wait_seconds)
        except UpstreamFailed as failed:
            before = failed
    raise before


async def abegin(client: AsyncClient, deed: Deed) -> Permitted | Answer:
    """`begin` for asyncio."""
    for ask in _attempts(deed, client.blocking.limits.resumes_max):
        try:
            return await client.permit_ask(ask, deed.wait_seconds)
        except UpstreamFailed as failed:
            before = failed
    raise before


def finish(client: Client, deed: Deed, permit: Permitted, perform: Callable[[Any], Any]) -> Any:
    """Do what was permitted and report it. Raises whatever `accept` and `perform` raise, and Unreported."""
    try:
        arguments = deed.accept(permit.parameters)
    except BaseException as error:
        _ended(client, permit, FAILED, error)
        raise
    try:
        value = perform(arguments)
        _refuse_later(value)
    except BaseException as error:
        _ended(client, permit, deed.ended(error), error)
        raise
    _done(client, permit, deed, value)
    return value


async def afinish(client: AsyncClient, deed: Deed, permit: Permitted, perform: Callable[[Any], Awaitable[Any]]) -> Any:
    """`finish` for asyncio."""
    try:
        arguments = deed.accept(permit.parameters)
    except BaseException as error:
        await _aended(client, permit, FAILED, error)
        raise
    try:
        value = await perform(arguments)
        _refuse_later(value)
    except BaseException as error:
        await _aended(client, permit, deed.ended(error), error)
        raise
    # Cancelled now, the thread goes on and the outcome is recorded all the same.
    await client.run(lambda: _done(client.blocking, permit, deed, value))
    return value


def _attempts(deed: Deed, most: int) -> Iterator[Ask]:
    """The call, and where what failed may be tried again the same call under the next key of a fixed row."""
    yield deed.ask
    for number in range(2, most + 1 if deed.tries_again else 0):
        yield replace(deed.ask, key=f"{deed.ask.key[:KEY_CHARS_KEPT]}~{number}")


def recorded(answer: Answer) -> Any:
    """The value of an earlier time. Raises ResultNotKept."""
    result = answer.result or {}
    if "value" not in result:
        raise ResultNotKept.local(
            "it was carried out before under this key, and what it returned was not kept",
            "look at the effect itself; use another key to do it another time",
        )
    return result["value"]


def _done(client: Client, permit: Permitted, deed: Deed, value: Any) -> None:
    try:
        _report(client, permit.intent, COMMITTED, _result(client, deed, value), "", client.limits.report_attempts)
    except GatewayError as error:
        unreported = Unreported(
            made(
                Unreported.code,
                f"it was done, and the gateway could not be told: {error.reason}",
                "do not repeat it; a person settles the intent with `bywire reconcile settle`",
                key=deed.ask.key,
            )
        )
        unreported.value = value
        raise unreported from error


def _result(client: Client, deed: Deed, value: Any) -> dict[str, Any]:
    """What is recorded of a value: all of it, or that it was not kept."""
    try:
        plain = as_json(copied(deed.kept(value), client.limits.depth_max, "the result"))
        size = len(encoded({"value": plain}))
    except Exception as error:  # noqa: BLE001  whatever a value does when looked at, it was returned: the deed is done
        return {"not_kept": type(value).__name__, "because": error.reason if isinstance(error, Invalid) else "no JSON"}
    if size > client.limits.result_bytes_max:
        return {"not_kept": type(value).__name__, "because": f"larger than {client.limits.result_bytes_max} bytes"}
    return {"value": plain}


def _ended(client: Client, permit: Permitted, status: str, error: BaseException) -> None:
    """Report how it ended, as far as that goes; the exception itself is what the caller hears."""
    attempts = client.limits.report_attempts if isinstance(error, Exception) else 1
    try:
        _report(client, permit.intent, status, None, told(error), attempts)
    except GatewayError as unheard:
        error.add_note(f"bywire: the gateway could not be told; the intent stays unknown: {unheard.reason}")


async def _aended(client: AsyncClient, permit: Permitted, status: str, error: BaseException) -> None:
    reporting = client.start(lambda: _ended(client.blocking, permit, status, error))
    # A closing loop or generator cannot wait any more; the thread reports all the same.
    if isinstance(error, Exception | asyncio.CancelledError):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(asyncio.wrap_future(reporting))


def _report(client: Client, intent: str, status: str, result: dict[str, Any] | None, error: str, attempts: int) -> None:
    if not intent:  # a read leaves nothing open
        return
    # The same report twice is one: the gateway answers a repeated one as it did the first.
    for attempt, pause in enumerate(pauses(client.limits), start=1):
        try:
            client.report(intent, status, result, error=error)
        except _PASSING:
            if attempt >= attempts:
                raise
            system.pause(pause)
        else:
            return


def told(error: BaseException) -> str:
    """An exception in one bounded line; the gateway redacts it."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  a broken __str__ must not hide how it ended
        text = type(error).__name__
    return " ".join(text.encode("utf-8", "replace").decode().split())[:ERROR_CHARS_MAX]


def _refuse_later(value: Any) -> None:
    """A value that has yet to happen would be recorded as done before it is. Raises TypeError."""
    if (
        inspect.isawaitable(value)
        or inspect.isgenerator(value)
        or inspect.isasyncgen(value)
        or isinstance(value, Future)
    ):
        if inspect.iscoroutine(value) or inspect.isgenerator(value):
            value.close()
        raise TypeError("a governed function returned something that is still to happen; return when it is done")
