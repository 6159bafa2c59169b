"""What a bar looks like on standard output, and how progress is told beside it.

A bar is {"bar", "value", "unit", "limit", "ok"}; `ok` is None, with a `reason`, when it was not judged on this host.
"""

import sys


def at_most(bar, value, unit, limit, digits=3):
    """A bar that `value` passes when it is not above `limit`."""
    return {"bar": bar, "value": round(value, digits), "unit": unit, "limit": f"<= {limit}", "ok": value <= limit}


def at_least(bar, value, unit, limit, digits=0):
    """A bar that `value` passes when it is not below `limit`."""
    shown = f">= {limit:.{digits}f}"
    return {"bar": bar, "value": round(value, digits), "unit": unit, "limit": shown, "ok": value >= limit}


def not_judged(bar, reason, unit, limit, value=None):
    """A bar that nobody passes or fails here, and why."""
    return {"bar": bar, "value": value, "unit": unit, "limit": limit, "ok": None, "reason": reason}


def tell(text):
    """Progress and details, on standard error."""
    print(text, file=sys.stderr, flush=True)
