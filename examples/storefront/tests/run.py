"""Run every test under coverage in this one process and write reports/junit.xml and reports/coverage.json.

Nothing is written outside reports/, so a read-only or missing home directory is no obstacle.
"""

import os
import sys
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "reports"


def main() -> int:
    """Return pytest's exit code."""
    os.chdir(ROOT)
    REPORTS.mkdir(exist_ok=True)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(REPORTS / "hypothesis")
    measured = coverage.Coverage(data_file=None, config_file=False, source=["storefront"])
    measured.start()
    code = pytest.main(["--junitxml=reports/junit.xml", f"--basetemp={REPORTS / 'tmp'}", "tests"])
    measured.stop()
    measured.json_report(outfile=str(REPORTS / "coverage.json"))
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
