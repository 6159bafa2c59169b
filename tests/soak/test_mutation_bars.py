"""At least 95% of single changes of each kernel room are noticed by its tests; what survives is printed.

With BYWIRE_SOAK_KEPT=FOLDER what was judged is kept there, and a later run takes over what still holds.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "mutation"
sys.path.insert(0, str(TOOL))

from rooms import ROOMS  # noqa: E402  the tool's own table of rooms


@pytest.mark.soak
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("room", ROOMS)
def test_the_tests_notice_changes_of(room, capfd):
    kept = os.environ.get("BYWIRE_SOAK_KEPT")
    more = ["--continue", str(Path(kept) / f"{room}.jsonl")] if kept else []
    command = [sys.executable, str(TOOL / "run.py"), room, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    with capfd.disabled():
        sys.stderr.write(f"\n{done.stderr}{done.stdout}")
    assert done.returncode == 0, done.stdout or done.stderr
