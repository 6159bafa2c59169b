"""Published attacks on a served gateway: `python -m bench.corpora --mcpsec DIR --defense-bench DIR --agentdojo FILE`.

DIR is a checkout of the corpus (of MCPSEC its directory `mcpsec`), FILE what bench/agentdojo_calls.py wrote. A line
for each attack goes to standard error, one JSON line with the counts of each corpus to standard output. Exit 1 when an
ordinary call or a corpus's own benign control is refused. No bar: a corpus is others' opinion of what an attack is.
"""

import argparse
import json
import sys
from collections import Counter

from bench import corpora_defense, corpora_dojo, corpora_mcpsec, corpora_read
from bench.corpora_mcpsec import CONTROL_FAILED
from bench.measured import tell


def main(arguments):
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.corpora")
    for name in ("mcpsec", "defense-bench", "agentdojo"):
        parser.add_argument(f"--{name}")
    chosen = parser.parse_args(arguments)
    runs = (
        ("mcpsec", chosen.mcpsec, corpora_read.mcpsec, corpora_mcpsec.tried),
        ("mcp-defense-bench", chosen.defense_bench, corpora_read.defense_bench, corpora_defense.tried),
        ("agentdojo", chosen.agentdojo, corpora_read.agentdojo, corpora_dojo.tried),
    )
    failed = 0
    for name, place, read, tried in runs:
        if place is not None:
            counts = Counter()
            for identity, verdict, why in tried(read(place)):
                tell(f"{identity}  {verdict}  {ascii(why)[1:-1][:160]}")
                kind = "user task " if "/user/" in identity else ""
                counts[f"{kind}{verdict}"] += 1
            print(json.dumps({"corpus": name, **dict(sorted(counts.items()))}), flush=True)
            failed += counts[CONTROL_FAILED]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
