"""Carries repository actions out: a branch with the files of a recourse, never the user's work tree."""

from collections.abc import Callable
from typing import Any

from bywire.adapters.git_repository import GitRepository
from bywire.gateway.ports import IntentRow
from bywire.model.change import Author
from bywire.model.errors import BywireError, EvidenceError, TargetError

RECOURSE_AUTHOR = Author(name="agent:recourse", email="recourse@bywire.invalid")


class RepositoryExecutor:
    """`gateway.ports.Executor` over git. File contents come from the log's blobs by digest, never from the request."""

    def __init__(self, repository: GitRepository, blob: Callable[[str], bytes | None]) -> None:
        self._repository = repository
        self._blob = blob

    def observe(self) -> dict[str, Any]:
        """A repository has no version that fences; its refs are compared and swapped one by one."""
        return {}

    def read(self, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """No reads are offered."""
        raise TargetError(f"{tool} is no read of the repository", code="unsupported", next_step="bywire doctor")

    def execute(self, row: IntentRow, parameters: dict[str, Any]) -> dict[str, Any]:
        """Commit the files on the branch. The intent's time makes a repetition the same commit."""
        try:
            files = {item["path"]: self._content(item["sha256"]) for item in parameters["files"]}
            done = self.query(row)
            if done is not None:
                return done
            if parameters["branch"] in self._repository.branches():
                raise _taken(parameters["branch"])
            commit = self._repository.commit_files(
                parameters["branch"],
                parameters["base"],
                files,
                f"Recourse for {row.change}\n\nThe smallest edit of desired state that the gate asked for.\n",
                RECOURSE_AUTHOR,
                row.at_ms,
            )
        except BywireError as error:
            raise TargetError(error.message, code=error.code, next_step=error.next_step) from error
        return {"branch": parameters["branch"], "commit": commit}

    def query(self, row: IntentRow) -> dict[str, Any] | None:
        """The branch, when it holds exactly what was asked."""
        parameters = row.request["parameters"]
        if parameters["branch"] not in self._repository.branches():
            return None
        commit = self._repository.resolve(parameters["branch"])
        for item in parameters["files"]:
            if self._repository.read(commit, item["path"]) != self._content(item["sha256"]):
                return None
        return {"branch": parameters["branch"], "commit": commit}

    def _content(self, digest: str) -> bytes:
        content = self._blob(digest)
        if content is None:
            raise EvidenceError(
                f"the patch {digest[:12]} is not in the log", code="blob_missing", next_step="deliver the change again"
            )
        return content


def _taken(branch: str) -> TargetError:
    """A fix is a new branch: moving one that others work on, or deploy from, is no such thing."""
    return TargetError(
        f"{branch} exists already, and a fix goes on a branch of its own",
        code="branch_exists",
        next_step="name a branch that does not exist",
    )
