"""`python -m bench [NAME...]`: all bars, or those of the named areas, one JSON line each; exit 1 when one is missed."""

import json
import sys

from bench import authzen, decision, demo, gateway, idle, ledger, mcp, peers, policy_scale, sanitize, telemetry
from bench.measured import tell

AREAS = {
    "decision": decision.bars,
    "policy_scale": policy_scale.bars,
    "gateway": gateway.bars,
    "authzen": authzen.bars,
    "idle": idle.bars,
    "ledger": ledger.bars,
    "mcp": mcp.bars,
    "peers": peers.bars,
    "sanitize": sanitize.bars,
    "telemetry": telemetry.bars,
    "demo": demo.bars,
}


def main(names, areas=AREAS):
    """Run the areas in order; the exit code."""
    unknown = sorted(set(names) - set(areas))
    if unknown:
        tell(f"no such area: {', '.join(unknown)}; there are {', '.join(areas)}")
        return 2
    missed = 0
    for name in [name for name in areas if name in names or not names]:
        tell(f"{name} ...")
        for bar in areas[name]():
            print(json.dumps(bar), flush=True)
            missed += bar["ok"] is False
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
