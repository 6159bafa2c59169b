"""Makes `tests/` importable, so that flow and fault tests share one scene."""
