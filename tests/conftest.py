"""Makes `tests/` importable, so that flow and fault tests share one scene; keeps heavy runs for `make soak`.

What a reader of configuration accepts in any test, its published schema must accept, too.
"""

import pytest
from hypothesis import HealthCheck, settings
from schema_agreement import hold_readers_to_schemas

# How long an example takes is the machine's business; pytest-timeout bounds each test. Who chose a profile keeps it.
settings.register_profile("bywire", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() == "default":
    settings.load_profile("bywire")
hold_readers_to_schemas()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave soak tests out unless the command line chooses by marker."""
    if config.option.markexpr:
        return
    heavy = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=heavy)
    items[:] = [item for item in items if item not in heavy]
