"""Where agents may connect to through the forward proxy, and how much of it at once."""

import msgspec


class EgressRule(msgspec.Struct, frozen=True):
    """Agents that may open connections to one host, or to the names one label below `*.`, at exactly these ports.

    `private`: the operator says that the host lies on their own network or on this machine.
    """

    agents: tuple[str, ...]
    host: str
    ports: tuple[int, ...]
    private: bool = False

    def leads_to(self, host: str, port: int) -> bool:
        """Whether the rule names this destination, for whomever."""
        if port not in self.ports:
            return False
        if not self.host.startswith("*."):
            return host == self.host
        label, _, rest = host.partition(".")
        return bool(label) and rest == self.host[2:]


class EgressLimits(msgspec.Struct, frozen=True):
    """Bounds of the forward proxy: seconds, bytes of one connection, and how many connections there are at once."""

    connections: int = 512
    connections_per_agent: int = 32
    head_bytes: int = 16_384
    head_seconds: int = 10
    hello_seconds: int = 10
    resolve_seconds: int = 5
    connect_seconds: int = 10
    idle_seconds: int = 120
    total_seconds: int = 3_600
    recheck_seconds: int = 15
    upload_bytes: int = 64 * 2**20
    download_bytes: int = 4 * 2**30
