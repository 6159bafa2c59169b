"""What commands of a judged change leave behind: read within bounds, removed whatever it is, never served changed."""

import os
import sys
from pathlib import Path

import pytest
from test_git_repository import Shop

from bywire.adapters.releases import Releases
from bywire.adapters.removal import remove_tree
from bywire.adapters.sandbox import Sandbox
from bywire.adapters.worktrees import DEPTH_MAX, GitWorktrees
from bywire.agents.coder import shipped_files
from bywire.evidence.artifact import ARTIFACT_BYTES_MAX, ArtifactFile, pack
from bywire.model.errors import EvidenceError, WorkError

DEEP = "import os\nfor _ in range({depth}):\n os.mkdir('d', 0o500); os.chmod('d', 0o700); os.chdir('d')"
SEARCH_PATH = [os.path.dirname(sys.executable), "/usr/bin", "/bin"]


def nest(place, depth):
    """Directories deeper than Python recurses and than a path may be long."""
    held = os.open(place, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=held)
        inner = os.open("d", os.O_RDONLY, dir_fd=held)
        os.close(held)
        held = inner
    os.close(held)


def test_removal_copes_with_depth_modes_and_links(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o755)
    (kept / "file").write_text("mine")
    root = tmp_path / "root"
    (root / "closed" / "inner").mkdir(parents=True)
    (root / "closed" / "inner" / "file").write_text("x")
    (root / "closed" / "inner").chmod(0)
    (root / "closed").chmod(0)
    (root / "link").symlink_to(kept)
    nest(root, 3_000)
    remove_tree(root)
    assert not root.exists()
    assert (kept / "file").read_text() == "mine"


def test_a_link_is_not_removed_through(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "link")
    assert (tmp_path / "kept").is_dir()


def test_a_command_that_nests_its_temporary_directory_is_cleaned_up_after(tmp_path):
    sandbox = Sandbox(search_path=SEARCH_PATH)
    before = set(Path(tmp_path.anchor, "tmp").glob("bywire-sandbox-*"))
    code = f"import os\nos.chdir(os.environ['TMPDIR'])\n{DEEP.format(depth=3_000)}"
    assert sandbox.run(["python", "-c", code], cwd=tmp_path, timeout_seconds=30).exit_code == 0
    assert set(Path(tmp_path.anchor, "tmp").glob("bywire-sandbox-*")) <= before


def test_a_worktree_that_nests_too_deep_is_refused_and_removed(tmp_path):
    shop = Shop(tmp_path / "shop")
    with GitWorktrees(shop.repository)(shop.base) as worktree:
        nest(worktree.root, 3_000)
        with pytest.raises(WorkError) as caught:
            worktree.files()
    assert caught.value.code == "too_deep"
    assert not worktree.root.parent.exists()


def test_a_worktree_lists_regular_files_to_its_depth_limit_and_no_links(tmp_path):
    shop = Shop(tmp_path / "shop")
    with GitWorktrees(shop.repository)(shop.base) as worktree:
        nest(worktree.root, DEPTH_MAX)
        (worktree.root / "link").symlink_to("README")
        (worktree.root / "d" / "out").symlink_to("/")
        assert [item.path for item in worktree.files()] == ["README", "shop/quotes.py"]


def test_sparse_files_of_a_build_are_refused_before_they_are_read(tmp_path, monkeypatch):
    shop = Shop(tmp_path / "shop")
    with GitWorktrees(shop.repository)(shop.base) as worktree:
        for number in range(5):
            with (worktree.root / f"sparse-{number}").open("wb") as file:
                file.truncate(ARTIFACT_BYTES_MAX // 4)
        monkeypatch.setattr(type(worktree), "read_file", lambda *_: pytest.fail("was read"))
        with pytest.raises(EvidenceError) as caught:
            shipped_files(worktree, ("**",))
    assert caught.value.code == "artifact_refused"


@pytest.mark.parametrize(
    "harm",
    [
        lambda tree: (tree / "app.py").write_bytes(b"evil"),
        lambda tree: (tree / "app.py").write_bytes(b""),
        lambda tree: (tree / "app.py").unlink(),
        lambda tree: (tree / "app.py").chmod(0o755),
        lambda tree: (tree / "sitecustomize.py").write_bytes(b"evil"),
        lambda tree: ((tree / "app.py").rename(tree.parent / "app.py"), (tree / "app.py").symlink_to("../app.py")),
    ],
)
def test_a_release_that_was_changed_on_disk_is_not_served(tmp_path, harm):
    releases = Releases(tmp_path / "releases")
    digest = releases.put(pack("web", [ArtifactFile(path="app.py", executable=False, content=b"good")]))
    harm(releases.tree(digest))
    tree = releases.tree(digest)
    assert [path.name for path in tree.iterdir()] == ["app.py"]
    assert (tree / "app.py").read_bytes() == b"good"
    assert not (tree / "app.py").is_symlink()
    assert not (tree / "app.py").stat().st_mode & 0o111
    assert releases.tree(digest).stat().st_ino == tree.stat().st_ino
