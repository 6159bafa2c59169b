"""Every name a bundle defines, so that a reference either resolves or is refused."""

from collections.abc import Mapping
from typing import Any

import msgspec

from bywire.policy.rego_syntax import ParsedModule

ROOT = "bywire"
TABLES = "bywire.table"


class Symbols(msgspec.Struct, frozen=True):
    """Packages with their rules (`name -> arity`, None for a rule that is no function) and the names of the tables."""

    packages: dict[str, dict[str, int | None]]
    tables: frozenset[str]

    @classmethod
    def of(cls, modules: tuple[ParsedModule, ...], tables: Mapping[str, Any]) -> "Symbols":
        """Collect the names of all modules."""
        packages: dict[str, dict[str, int | None]] = {}
        for module in modules:
            names = packages.setdefault(module.package, {})
            for rule in module.rules:
                names[rule.name] = len(rule.arguments) if rule.kind == "function" else None
        return cls(packages, frozenset(tables))

    def defines(self, package: str, name: str) -> bool:
        """Whether `package` has a rule of this name."""
        return name in self.packages.get(package, {})

    def is_package_prefix(self, dotted: str) -> bool:
        """Whether some package lies under this `data...` path."""
        return any(f"data.{package}.".startswith(f"{dotted}.") for package in self.packages)

    def resolve(self, dotted: str) -> tuple[str, str] | None:
        """Split `data.bywire.gate.tests.coverage.x` into its package and rule; None when it names no rule."""
        parts = dotted.split(".")[1:]
        for size in range(len(parts) - 1, 0, -1):
            package = ".".join(parts[:size])
            if self.defines(package, parts[size]):
                return package, parts[size]
        return None

    def is_table(self, dotted: str) -> bool:
        """Whether this `data...` path reads a table that exists."""
        parts = dotted.split(".")
        return dotted.startswith(f"data.{TABLES}.") and parts[3] in self.tables
