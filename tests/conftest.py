"""Makes `tests/` importable, so that flow and fault tests share one scene; keeps heavy runs for `make soak`."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave soak tests out unless the command line chooses by marker."""
    if config.option.markexpr:
        return
    heavy = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=heavy)
    items[:] = [item for item in items if item not in heavy]
