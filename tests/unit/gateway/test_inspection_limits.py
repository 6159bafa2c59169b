"""What inspection tells at most, under which names a command travels, and that nothing the door hands on can change."""

import importlib
import pkgutil

import msgspec
import pytest

import bywire.gateway
from bywire.gateway.contract import Catalogue, ContractError
from bywire.gateway.devops_contracts import DEVOPS_CONTRACTS
from bywire.gateway.inspection import inspect
from bywire.model.gateway_inspection import InspectionSettings

SETTINGS = InspectionSettings()
MAIL = "ana@example.com"
COMMAND_NAMES = (
    "command", "commands", "command_line", "cmd", "script", "exec", "run", "shell", "args", "argv", "entrypoint",
    "entry_point", "bash", "powershell", "CMD",
)  # fmt: skip


def found(parameters, **more):
    return inspect(parameters, settings=SETTINGS, **more)


def test_at_most_sixty_four_findings_are_told_and_that_there_were_more():
    assert len(found({f"p{number:02}": MAIL for number in range(64)})) == 64
    more = found({f"p{number:02}": MAIL for number in range(65)})
    assert len(more) == 64
    assert "findings" in {one.kind for one in more}


def test_at_most_ten_thousand_strings_are_looked_through():
    """Each name is a string, too."""
    assert "strings" not in {one.kind for one in found({"p": ["a"] * 9_999})}
    assert "strings" in {one.kind for one in found({"p": ["a"] * 10_000})}


def test_a_long_name_is_shown_to_its_sixty_fourth_character():
    (one,) = found({f"{'n' * 70}!": MAIL})
    assert one.parameter == f'"{"n" * 64}"'


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_a_command_travels_under_many_names(name):
    assert found({name: "rm x"}, commands=("ls",)) != ()
    assert found({name: "ls x"}, commands=("ls",)) == ()
    assert found({f"{name}_note": "rm x"}, commands=("ls",)) == ()


def structs():
    for module in pkgutil.iter_modules(bywire.gateway.__path__, "bywire.gateway."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.name:
                yield pytest.param(value, id=f"{module.name.rpartition('.')[2]}.{value.__name__}")


@pytest.mark.parametrize("struct", list(structs()))
def test_rule_04_nothing_that_the_door_hands_on_can_be_changed(struct):
    assert struct.__struct_config__.frozen


@pytest.mark.parametrize(("run", "fit"), [("77", True), (77, False), (True, False), ("-77", False), ("", False)])
def test_a_name_is_a_text(run, fit):
    catalogue = Catalogue(DEVOPS_CONTRACTS)
    try:
        catalogue.check(catalogue.find("get_ci_run"), {"run_id": run})
    except ContractError:
        assert not fit
    else:
        assert fit
