"""In which order tests are asked about a change: those that noticed its neighbours are likely to notice it, too."""

from collections.abc import Iterable, Mapping

# Distinct tests remembered for one function, and for one module.
REMEMBERED_MAX = 8
# How many times as long a test may take as another and still be asked before it, for what it noticed lately.
IN_FUNCTION = 100.0
IN_MODULE = 10.0


class Killers:
    """The tests that lately noticed changes, by function and by module."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds
        self._recent: dict[tuple[str, str | None], list[str]] = {}

    def remember(self, path: str, owner: str, killer: str | None) -> None:
        """Note what noticed a change of `owner` ("" at import); what is no test is passed over."""
        if killer not in self._seconds:
            return
        for key in ((path, owner), (path, None)):
            kept = [name for name in self._recent.get(key, []) if name != killer]
            self._recent[key] = [killer, *kept][:REMEMBERED_MAX]

    def recent(self, path: str, owner: str) -> list[str]:
        """What noticed changes of this function and of its module, the function's own first."""
        return list(dict.fromkeys([*self._recent.get((path, owner), []), *self._recent.get((path, None), [])]))

    def ordered(self, tests: Iterable[str], path: str, owner: str) -> list[str]:
        """Cheapest first, where recent killers count as cheaper than they are."""
        likelier = dict.fromkeys(self._recent.get((path, None), []), IN_MODULE)
        likelier.update(dict.fromkeys(self._recent.get((path, owner), []), IN_FUNCTION))
        return sorted(tests, key=lambda name: self._seconds.get(name, 0.0) / likelier.get(name, 1.0))
