"""How a command gets at its workspace, and how long it holds on to it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from bywire.cli.main import Place
from bywire.cli.output import print_refused_policy
from bywire.wiring.workspace import Workspace, open_workspace, workspace_lock


@contextmanager
def workspace(place: Place, *, take_over: bool = False, check: bool = True, lock: str = "") -> Iterator[Workspace]:
    """The workspace of `place`, closed afterwards.

    `take_over` fences earlier processes off the target. `check` False opens even a damaged log, to examine it.
    `lock` is held throughout and taken first: who cannot have it must not fence who has.
    """
    with workspace_lock(place.repo, place.operator, lock) if lock else nullcontext():
        opened = open_workspace(place.repo, place.operator, take_over=take_over, check=check)
        try:
            yield opened
        finally:
            if opened.policies.refused is not None:
                print_refused_policy(opened.policies.refused)
            opened.close()
