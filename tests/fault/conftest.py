"""Makes the doubles of the door's and the rollout's own tests importable: faults are tried on the same worlds."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "flow"), str(TESTS / "unit" / "release")]
