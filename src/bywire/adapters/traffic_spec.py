"""What the traffic generator sends: users, segments and a request mix, drawn from one seed. Pure."""

import itertools
import json
import random
from typing import Annotated, Any, NamedTuple

import msgspec

_USERS = 2_000


class RequestSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of request. `{product}`, `{currency}` and `{request}` (unique) are replaced in path and JSON strings."""

    weight: Annotated[float, msgspec.Meta(gt=0)]
    path: Annotated[str, msgspec.Meta(pattern=r"^/[!-~]*$", max_length=1024)]
    method: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{1,16}$")] = "GET"
    json: Any = None


class ProductSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Products are numbered from 1; number n is drawn with weight n ** -zipf."""

    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 400
    zipf: Annotated[float, msgspec.Meta(ge=0, le=5)] = 1.0


class TrafficSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A spec file. `segments` are shares of users; they need not add up to 1."""

    segments: dict[str, float]
    requests: Annotated[tuple[RequestSpec, ...], msgspec.Meta(min_length=1, max_length=64)]
    product: ProductSpec = ProductSpec()
    currency: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("USD",)


class Drawn(NamedTuple):
    """One request to send."""

    segment: str
    message: bytes


class TrafficMix:
    """An endless, reproducible sequence of requests. A user keeps a segment for ever."""

    def __init__(self, spec: TrafficSpec, host: str, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  reproducible load, not a secret
        self._spec = spec
        self._seed = seed
        self._host = host
        names, shares = list(spec.segments), list(spec.segments.values())
        self._users = self._random.choices(names, shares, k=_USERS)
        self._request_weights = list(itertools.accumulate(request.weight for request in spec.requests))
        ranks = range(1, spec.product.count + 1)
        self._products = [str(rank - 1) for rank in ranks]
        self._product_weights = list(itertools.accumulate(rank**-spec.product.zipf for rank in ranks))
        self._drawn = 0

    def gap_seconds(self, rate: float) -> float:
        """Time to the next arrival of a Poisson process of `rate` a second."""
        return self._random.expovariate(rate)

    def draw(self) -> Drawn:
        """The next request, complete."""
        rng, spec = self._random, self._spec
        self._drawn += 1
        number = f"{self._seed}-{self._drawn}"
        user = rng.randrange(_USERS)
        segment = self._users[user]
        request = rng.choices(spec.requests, cum_weights=self._request_weights)[0]
        product = rng.choices(self._products, cum_weights=self._product_weights)[0]
        currency = rng.choice(spec.currency)

        def filled(text: str) -> str:
            return text.replace("{product}", product).replace("{currency}", currency).replace("{request}", number)

        body = b"" if request.json is None else filled(json.dumps(request.json)).encode()
        kind = "content-type: application/json\r\n" if body else ""
        head = (
            f"{request.method} {filled(request.path)} HTTP/1.1\r\nhost: {self._host}\r\nx-user-id: user-{user}\r\n"
            f"x-client-segment: {segment}\r\n{kind}content-length: {len(body)}\r\n\r\n"
        )
        return Drawn(segment, head.encode() + body)
