"""The changes of a repository, seen from what was delivered: a protected branch is compared with its last delivery."""

from collections.abc import Sequence

from bywire.adapters.git_repository import GitRepository
from bywire.adapters.sqlite_envelope_state import SqliteMachines
from bywire.agents.ports import TreeEntry
from bywire.delivery.machine import DeliveryMachine
from bywire.delivery.state import Phase
from bywire.model.change import Change


class DeliveredChanges:
    """`delivery.ports.ChangeSource` over git."""

    def __init__(self, repository: GitRepository, machines: SqliteMachines) -> None:
        self._repository = repository
        self._machines = machines
        self._machine = DeliveryMachine()

    def change(self, base_branch: str, branch: str) -> Change:
        """A branch against the tip of the protected one; that one itself against its last successful delivery."""
        if branch != base_branch:
            return self._repository.change(base_branch, branch)
        return self._repository.change_since(branch, self._delivered(branch))

    def read(self, commit: str, path: str) -> bytes | None:
        """The bytes of a regular file at a commit."""
        return self._repository.read(commit, path)

    def list(self, commit: str, prefix: str = "") -> Sequence[TreeEntry]:
        """Tree entries below a prefix."""
        return self._repository.list(commit, prefix)

    def _delivered(self, branch: str) -> str:
        head = self._repository.resolve(branch)
        for object_id in reversed(self._machines.ids()):
            stored = self._machines.load(object_id)
            if stored is None or not object_id.startswith("dl-"):
                continue
            state, _ = self._machine.decode(stored.state, stored.outbox)
            finished = state.phase is Phase.SUCCESSFUL and not state.dry_run
            if finished and state.branch == branch and state.head_commit != head:
                return state.head_commit
        return ""
