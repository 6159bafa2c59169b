"""One of several processes that do the same thing to one database at once; started by test_approval_races.

`python approval_racer.py DATABASE what`: opens the database, waits for a line on standard input, acts, prints how often
it succeeded.
"""

import sys
from pathlib import Path

from approval_world import GLASS, KEYS, NOW, SPARE, packet, signed

from bywire.adapters.sqlite_approvals import SqliteApprovals
from bywire.adapters.sqlite_break_glass import SqliteBreakGlass, consume_break_glass
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Writer
from bywire.approvals.break_glass import sign_break_glass
from bywire.model.errors import ConflictError


def main():
    path, what, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with Writer(path) as writer:
        reader = Reader(path)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        sys.stdout.write(f"{act(writer, reader, what, number)}\n")
        reader.close()


def act(writer, reader, what, number):
    if what == "answer":  # one person, with another of their keys in each process
        said = signed(packet(quorum=2), key=(KEYS["alice"], SPARE)[number])
        return attempt(lambda: SqliteApprovals(writer, reader).settle(*said, NOW))
    if what == "complete":  # two persons, one signature short
        said = signed(packet(quorum=2), who=("bob", "carol")[number])
        return attempt(lambda: SqliteApprovals(writer, reader).settle(*said, NOW))
    if what == "use":
        return sum(writer.run(lambda tx: consume_break_glass(tx, GLASS.id, NOW)) for _ in range(10))
    envelope = sign_break_glass(opened(number), KEYS["alice"])
    return attempt(lambda: SqliteBreakGlass(writer, reader).open(opened(number), envelope, KEYS["alice"].key_id, NOW))


def opened(number):
    """Two glasses of one person."""
    return type(GLASS)(**{**{name: getattr(GLASS, name) for name in GLASS.__struct_fields__}, "uses": number + 1})


def attempt(run):
    try:
        run()
    except ConflictError:
        return 0
    return 1


if __name__ == "__main__":
    main()
