"""A service whose assets were attested for years: its deliveries are judged, and its retreats derived, all the same."""

from types import SimpleNamespace

from bywire.adapters.sqlite_deliveries import StatementRow
from bywire.evidence.verification import STATEMENTS_MAX
from bywire.wiring.door import ASSETS_CHANGE, Shelf


class Deliveries:
    def statements(self, change):
        if change == ASSETS_CHANGE:
            return [StatementRow(entry, "provenance", f"asset-{entry}", entry) for entry in range(2 * STATEMENTS_MAX)]
        return [StatementRow(9_000 + entry, "plan", f"{change}-{entry}", 0) for entry in range(3)]

    def envelope(self, digest):
        return digest.encode()


def test_the_newest_asset_statements_and_all_of_the_delivery_are_read_within_the_bound():
    found = Shelf(SimpleNamespace(deliveries=Deliveries())).statements("dl-1")
    assert len(found) <= STATEMENTS_MAX
    assert [item.envelope for item in found[-4:]] == [b"asset-1023", b"dl-1-0", b"dl-1-1", b"dl-1-2"]
