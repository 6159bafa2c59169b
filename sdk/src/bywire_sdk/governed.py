"""`@governed`: a function that runs only with leave, on the parameters that leave was given for, once for each key.

Arguments are bound to parameters by name and copied before anything is asked; the function gets the copies, or what the
gateway made of them. The record says what was run because nobody else ever held it. What the gateway cannot see
(`self`, a session) is named to it by `identity=`: leave to act on one cluster is no leave to act on another.
"""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from bywire_sdk.async_client import AsyncClient, face_of
from bywire_sdk.client import Client
from bywire_sdk.effects import Deed, acarry_out, carry_out
from bywire_sdk.errors import BadAnswer, Invalid, Unreachable
from bywire_sdk.values import as_json, canonical, copied, key_of

P = ParamSpec("P")
R = TypeVar("R")
AnyClient = Client | AsyncClient
IDENTITY = "identity"
_run: ContextVar[str] = ContextVar("bywire_run", default="")
_used: list[AnyClient] = []


def use(client: AnyClient | None) -> None:
    """Make this the client of every governed function that names none; None takes it away."""
    _used[:] = [client] if client is not None else []


@contextmanager
def run(name: str) -> Iterator[None]:
    """Inside, governed functions belong to this run instead of the client's: each thing happens once in it."""
    token = _run.set(name)
    try:
        yield
    finally:
        _run.reset(token)


def run_of(client: Client) -> str:
    """The run that a governed function called here belongs to."""
    return _run.get() or client.run


@dataclass(frozen=True)
class Taken:
    """Arguments of one call: private copies by parameter name, and what the gateway does not see, as it is.

    `values` hold the identity of what is left out under IDENTITY, where anything is.
    """

    values: dict[str, Any]
    left_out: dict[str, Any]


class Binding:
    """How a function's arguments become parameters by name, and parameters become arguments again."""

    def __init__(
        self, function: Callable[..., Any], exclude: Iterable[str], identity: Callable[..., Any] | None = None
    ) -> None:
        _refuse_bound(function)
        self.signature = _signature(function)
        names = list(self.signature.parameters)
        kinds = {parameter.kind: name for name, parameter in self.signature.parameters.items()}
        if inspect.Parameter.VAR_POSITIONAL in kinds:
            raise TypeError(f"{function!r} takes *{kinds[inspect.Parameter.VAR_POSITIONAL]}: a parameter needs a name")
        self._rest = kinds.get(inspect.Parameter.VAR_KEYWORD, "")
        self._excluded = set(exclude)
        if unknown := self._excluded - set(names):
            raise TypeError(f"{function!r} has no parameter {', '.join(sorted(unknown))}")
        if names and (names[0] == "self" or (names[0] == "cls" and _in_class(function))):
            self._excluded.add(names[0])
        self._identity = identity
        self._check_identity(function, names)

    def take(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], depth_max: int) -> Taken:
        """Bind and copy. Raises TypeError as the function itself would, and Invalid for what is no plain JSON."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        rest = given.pop(self._rest, {}) if self._rest else {}
        if clash := set(rest) & set(given):
            raise Invalid.local(f"two arguments are both called {', '.join(sorted(clash))}", "rename one of them")
        everything = given | rest
        left_out = {name: value for name, value in everything.items() if name in self._excluded}
        values = {name: copied(value, depth_max, name) for name, value in everything.items() if name not in left_out}
        return Taken(values=values | self._identified(values, left_out, depth_max), left_out=left_out)

    def give(self, taken: Taken, parameters: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Arguments for the function out of what was permitted. Raises BadAnswer unless the names are the same."""
        if set(parameters) != set(taken.values):
            raise BadAnswer.local(
                "the gateway permitted other parameters than were asked for", "the function was not run; ask anew"
            )
        merged = {name: chosen(taken.values[name], parameters[name]) for name in taken.values} | taken.left_out
        if self._identity is not None and canonical(merged.pop(IDENTITY)) != canonical(taken.values[IDENTITY]):
            raise BadAnswer.local("the gateway permitted it for another identity", "the function was not run")
        positional = [
            merged.pop(name)
            for name, parameter in self.signature.parameters.items()
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        ]
        return positional, merged

    def _check_identity(self, function: Callable[..., Any], names: list[str]) -> None:
        hidden = ", ".join(name for name in names if name in self._excluded)
        if self._identity is None and hidden:
            raise TypeError(
                f"the gateway would not see {hidden} of {function!r}, so that leave for one would do for another: pass "
                f"identity=lambda {hidden}: ..., plain JSON that says which one it is, or take it as a parameter"
            )
        if self._identity is not None and not hidden:
            raise TypeError(f"identity= says what is left out, and nothing of {function!r} is")
        if self._identity is not None and IDENTITY in names:
            raise TypeError(f"{function!r} has a parameter {IDENTITY}, which identity= is sent as; rename it")

    def _identified(self, values: Mapping[str, Any], left_out: dict[str, Any], depth_max: int) -> dict[str, Any]:
        if self._identity is None:
            return {}
        if IDENTITY in values:
            raise Invalid.local(f"two parameters are both called {IDENTITY}", "rename the argument")
        found = copied(self._identity(**left_out), depth_max, IDENTITY)
        if found is None or found in ("", [], (), {}):
            raise Invalid.local("identity= says nothing", "return what tells this one from every other")
        return {IDENTITY: found}


def chosen(asked: Any, permitted: Any) -> Any:
    """The copy of what was asked where that is what was permitted, with its own Python types; else the permitted."""
    return asked if canonical(asked) == canonical(permitted) else permitted


def governed(
    tool: str,
    *,
    client: AnyClient | Callable[[], AnyClient] | None = None,
    exclude: Iterable[str] = (),
    identity: Callable[..., Any] | None = None,
    key: Callable[[dict[str, Any]], str] | None = None,
    wait_seconds: float = 0,
    change: str = "",
    nothing_done: tuple[type[BaseException], ...] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run a function, plain or async, only under a permit for `tool`; see README.

    `exclude` names parameters that the gateway does not see (`self` and `cls` are left out by themselves). `identity`
    is called with them by name and says, as plain JSON, which ones they are: it is sent as the parameter `identity` and
    is part of the key; nothing is left out without it. `key` makes an idempotency key of the parameters where a run, a
    tool and its parameters are not what makes a thing the same. `wait_seconds` waits for people that long; otherwise
    ApprovalNeeded is raised, and calling again with the same arguments resumes. `nothing_done` are exceptions of the
    function after which nothing has happened.

    On a repeated call the value is what was recorded, as plain JSON. Raises TypeError for generators, *args, bound
    methods, partials and objects that are called, and where `identity` is missing.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        _refuse_generators(function)
        binding = Binding(function, exclude, identity)

        def deed(asked: Client, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Deed:
            taken = binding.take(args, kwargs, asked.limits.depth_max)
            named = key(as_json(taken.values)) if key is not None else key_of(run_of(asked), tool, taken.values)
            return Deed(
                ask=asked.ask(tool, taken.values, key=named, change=change),
                accept=lambda parameters: binding.give(taken, parameters),
                kept=lambda value: value,
                wait_seconds=wait_seconds,
                nothing_done=nothing_done,
                tries_again=True,
            )

        def plain(*args: Any, **kwargs: Any) -> Any:
            asked = _blocking(client)
            return carry_out(asked, deed(asked, args, kwargs), lambda given: function(*given[0], **given[1]))

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            asked = _asynchronous(client)
            made: Any = function
            return await acarry_out(
                asked, deed(asked.blocking, args, kwargs), lambda given: made(*given[0], **given[1])
            )

        return typing.cast("Callable[P, R]", _dressed(awaited if _is_async(function) else plain, function, binding))

    return decorate


def _dressed(wrapper: Callable[..., Any], function: Callable[..., Any], binding: Binding) -> Callable[..., Any]:
    """The wrapper with the function's name, documentation and signature, and without a way back to it.

    Frameworks unwrap what they are given; they would find and run the ungoverned function.
    """
    functools.update_wrapper(wrapper, function)
    del wrapper.__wrapped__  # type: ignore[attr-defined]
    wrapper.__signature__ = binding.signature  # type: ignore[attr-defined]
    wrapper.__annotations__ = {
        **{
            name: parameter.annotation
            for name, parameter in binding.signature.parameters.items()
            if parameter.annotation is not inspect.Parameter.empty
        },
        **(
            {"return": binding.signature.return_annotation}
            if binding.signature.return_annotation is not inspect.Signature.empty
            else {}
        ),
    }
    return wrapper


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """With annotations as types where their names are known, so that they mean the same away from their module."""
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:
        return inspect.signature(function)


def _in_class(function: Callable[..., Any]) -> bool:
    outer = getattr(function, "__qualname__", "").rpartition(".")[0]
    return bool(outer) and not outer.endswith("<locals>")


def _refuse_bound(function: Callable[..., Any]) -> None:
    """What holds arguments of its own holds them where the gateway does not see them."""
    owner = getattr(function, "__self__", None)
    held = owner is not None and not isinstance(owner, types.ModuleType)
    if held or not isinstance(function, types.FunctionType | types.BuiltinFunctionType):
        raise TypeError(
            f"{function!r} holds arguments that the gateway would not see: govern a function that takes them as "
            "parameters, or the method in its class with identity="
        )


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function)


def _refuse_generators(function: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} is a generator: it would be reported before it has done anything")
    if not callable(function):
        raise TypeError(f"{function!r} is not callable; put @governed below @classmethod or @staticmethod")


def _client(client: AnyClient | Callable[[], AnyClient] | None) -> AnyClient:
    if client is None:
        if not _used:
            raise Unreachable.local("no gateway is configured", "bywire_sdk.use(Client(...)), or pass client=")
        return _used[0]
    return client if isinstance(client, Client | AsyncClient) else client()


def _blocking(client: AnyClient | Callable[[], AnyClient] | None) -> Client:
    found = _client(client)
    return found.blocking if isinstance(found, AsyncClient) else found


def _asynchronous(client: AnyClient | Callable[[], AnyClient] | None) -> AsyncClient:
    found = _client(client)
    return found if isinstance(found, AsyncClient) else face_of(found)
