"""The git adapter on real repositories: what it reads, what it writes, and that a hostile repository runs nothing."""

import os
import subprocess
from pathlib import Path

import pytest

from bywire.adapters import git_command
from bywire.adapters.git_repository import GitRepository
from bywire.model.change import Author, ChangedFile
from bywire.model.errors import ConfigError, ConflictError

BOT = Author("bywire recourse", "recourse@bywire.invalid")
NOW_MS = 1_790_000_000_000


class Shop:
    """A repository with a base on `main` and whatever a test commits on `feature`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q", "-b", "main")
        self.write({"shop/quotes.py": "one\ntwo\nthree\n", "README": "shop\n"})
        self.base = self.commit("base")
        self.git("switch", "-q", "-c", "feature")

    def git(self, *arguments, stdin=b""):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root.parent),
            "GIT_AUTHOR_NAME": "Dana",
            "GIT_AUTHOR_EMAIL": "Dana@Example.com",
            "GIT_COMMITTER_NAME": "Dana",
            "GIT_COMMITTER_EMAIL": "dana@example.com",
        }
        command = ["git", "-C", str(self.root), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, env=environment, input=stdin)
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def write(self, files):
        for name, content in files.items():
            place = self.root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, message="work"):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def tree(self, *rows):
        """A commit whose tree is exactly `rows` (mode, oid, name), however unsafe."""
        listing = "".join(
            f"{mode} {'commit' if mode == '160000' else 'blob'} {oid}\t{name}\x00" for mode, oid, name in rows
        )
        tree = self.git("mktree", "-z", "--missing", stdin=listing.encode())
        return self.git("commit-tree", tree, "-m", "crafted")

    def blob(self, content):
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    @property
    def repository(self):
        return GitRepository(self.root)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop")


def changed(shop, **renamed):
    return {item.path: item for item in shop.repository.change("main", "feature").files}


# --- names ---------------------------------------------------------------------------------------------------------


def test_branches_tags_and_ids_resolve_to_commits(shop):
    head = shop.commit()
    shop.git("tag", "-a", "v1", "-m", "tag")
    for name in ("feature", "HEAD", "refs/heads/feature", "v1", head):
        assert shop.repository.resolve(name) == head
    assert shop.repository.current_branch() == "feature"
    assert shop.repository.branches() == ("feature", "main")


@pytest.mark.parametrize(
    "name",
    ["featur", "", "-x", "--help", "main..feature", "HEAD~1", "@{-1}", ":/base", "a b", "x" * 300, "main\n", "0" * 40],
)
def test_other_names_are_missing_branches(shop, name):
    with pytest.raises(ConfigError) as caught:
        shop.repository.resolve(name)
    assert caught.value.code == "branch_missing"
    assert "feature, main" in caught.value.message


def test_a_misspelt_branch_is_answered_with_the_nearest(shop):
    with pytest.raises(ConfigError) as caught:
        shop.repository.resolve("featrue")
    assert caught.value.next_step == "did you mean 'feature'?"


def test_a_branch_whose_name_looks_like_an_option_resolves_as_a_branch(shop):
    shop.git("update-ref", "refs/heads/--upload-pack=x", shop.base)
    assert shop.repository.resolve("--upload-pack=x") == shop.base


def test_a_tag_cannot_impersonate_a_branch(shop):
    shop.git("update-ref", "refs/tags/refs/heads/ghost", shop.base)
    with pytest.raises(ConfigError, match="no branch or commit"):
        shop.repository.resolve("refs/heads/ghost")


def test_a_tag_cannot_shadow_a_remote_branch_that_is_the_protected_base(shop):
    shop.git("update-ref", "refs/remotes/origin/main", shop.base)
    shop.git("tag", "origin/main", shop.commit("of the attacker"))
    assert shop.repository.resolve("origin/main") == shop.base


def test_a_detached_head_is_one_clear_error(shop):
    shop.git("switch", "-q", "--detach")
    with pytest.raises(ConfigError) as caught:
        shop.repository.current_branch()
    assert caught.value.code == "detached_head"


def test_no_repository_and_no_commits(tmp_path):
    with pytest.raises(ConfigError) as caught:
        GitRepository(tmp_path)
    assert caught.value.code == "not_a_repository"
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(ConfigError) as caught:
        GitRepository(tmp_path).resolve("main")
    assert "none yet" in caught.value.message


def test_found_from_a_subdirectory_a_linked_work_tree_and_a_bare_clone(shop, tmp_path):
    assert GitRepository(shop.root / "shop").root == shop.root
    shop.git("worktree", "add", "-q", str(tmp_path / "second"), "main")
    assert GitRepository(tmp_path / "second").current_branch() == "main"
    subprocess.run(["git", "clone", "-q", "--bare", str(shop.root), str(tmp_path / "bare")], check=True)
    bare = GitRepository(tmp_path / "bare")
    assert bare.resolve("main") == shop.base
    assert bare.is_dirty() is False


# --- changes -------------------------------------------------------------------------------------------------------


def test_added_lines_are_numbered_in_the_new_file(shop):
    shop.write({"shop/quotes.py": "zero\none\n2\nthree\nfour"})
    shop.commit()
    assert changed(shop)["shop/quotes.py"] == ChangedFile("shop/quotes.py", "M", (1, 3, 5), 1)


def test_additions_deletions_renames_binaries_and_empty_files(shop):
    shop.write({"long.txt": "line\n" * 40, "old.bin": b"\x00\x01"})
    shop.commit("more base")
    shop.git("branch", "-f", "main")
    shop.git("mv", "long.txt", "moved.txt")
    shop.write(
        {"moved.txt": "line\n" * 40 + "last\n", "new.bin": b"\x89PNG\x00", "empty": b"", "shop/new.py": "a\nb\n"}
    )
    (shop.root / "old.bin").unlink()
    (shop.root / "README").unlink()
    shop.commit()
    assert changed(shop) == {
        "README": ChangedFile("README", "D", (), 1),
        "empty": ChangedFile("empty", "A", (), 0),
        "moved.txt": ChangedFile("moved.txt", "R", (41,), 0, renamed_from="long.txt"),
        "new.bin": ChangedFile("new.bin", "A", (), 0, binary=True),
        "old.bin": ChangedFile("old.bin", "D", (), 0, binary=True),
        "shop/new.py": ChangedFile("shop/new.py", "A", (1, 2), 0),
    }
    assert "long.txt" in shop.repository.change("main", "feature").paths


@pytest.mark.parametrize(
    "name",
    ["a b.py", "tab\there.py", 'quo"te.py', "back\\slash.py", "é.py", "-dash.py", ":(top)x.py", "*.py", "new\nline.py"],
)
def test_odd_file_names_keep_their_line_numbers(shop, name):
    shop.write({name: "1\n2\n", "other.py": "x\n"})
    shop.commit()
    assert changed(shop)[name] == ChangedFile(name, "A", (1, 2), 0)
    assert shop.repository.read(shop.repository.resolve("feature"), name) in (b"1\n2\n", None)


def test_content_that_looks_like_a_patch_does_not_confuse_the_counting(shop):
    # In a patch a removed line "-- a/z.py" reads "--- a/z.py", an added one "++ b/README" reads "+++ b/README".
    filler = "".join(f"{index}\n" for index in range(9))
    shop.write({"shop/quotes.py": f"-- a/z.py\n{filler}end\n"})
    shop.commit("more base")
    shop.git("branch", "-f", "main")
    shop.write({"shop/quotes.py": f"++ b/README\n@@ -1 +100,5 @@\n{filler}changed\n", "z.py": "1\n"})
    shop.commit()
    assert changed(shop) == {
        "shop/quotes.py": ChangedFile("shop/quotes.py", "M", (1, 2, 12), 2),
        "z.py": ChangedFile("z.py", "A", (1,), 0),
    }


@pytest.mark.parametrize(
    ("content", "hidden"),
    [
        (b"one\ntwo\rdef unseen():\r    pass\n", True),
        (b"one\ntwo\r\r\nthree\n", True),
        (b"one\r\ntwo\r\n", False),
        (b"one\ntwo\r", False),
    ],
)
def test_lines_that_git_and_a_compiler_count_differently_are_not_told(shop, content, hidden):
    shop.write({"new.py": content})
    shop.commit()
    lines = ChangedFile("new.py", "A", (), 0, binary=True) if hidden else ChangedFile("new.py", "A", (1, 2), 0)
    assert changed(shop)["new.py"] == lines


def test_attributes_of_the_branch_cannot_hide_changed_lines(shop):
    shop.write({".gitattributes": "*.py -diff binary\n", "shop/quotes.py": "1\n2\n3\n"})
    shop.commit()
    assert changed(shop)["shop/quotes.py"].added_lines == (1, 2, 3)


def test_settings_of_the_repository_cannot_bend_the_diff(shop):
    for key, value in (
        ("diff.noprefix", "true"), ("diff.mnemonicPrefix", "true"), ("diff.interHunkContext", "50"),
        ("diff.context", "9"), ("diff.renames", "false"), ("core.quotePath", "false"), ("color.ui", "always"),
        ("diff.orderFile", "order"), ("diff.wordRegex", "."), ("diff.ignoreSubmodules", "all"),
    ):  # fmt: skip
        shop.git("config", key, value)
    shop.write({"shop/quotes.py": "zero\none\ntwo\nthree\nend\n", "order": "*\n"})
    shop.commit()
    assert changed(shop)["shop/quotes.py"].added_lines == (1, 5)


def test_a_file_that_becomes_a_link_is_a_modification(shop):
    (shop.root / "README").unlink()
    (shop.root / "README").symlink_to("shop/quotes.py")
    shop.commit()
    assert changed(shop)["README"].status == "M"


def test_authors_co_authors_and_messages(shop):
    shop.write({"a": "1\n"})
    shop.commit("first\n\nCo-authored-by: Eve <EVE@Example.com>\nco-authored-by: Dana <dana@example.com>")
    shop.commit("second")
    change = shop.repository.change("main", "feature")
    assert change.authors == (Author("Dana", "dana@example.com"), Author("Eve", "eve@example.com"))
    assert [message.split("\n")[0] for message in change.messages] == ["first", "second"]
    assert (change.base_commit, change.head_commit) == (shop.base, shop.git("rev-parse", "HEAD"))


def test_a_branch_that_lacks_the_tip_of_the_base_is_refused(shop):
    shop.commit()
    shop.git("switch", "-q", "main")
    shop.commit("main moved on")
    with pytest.raises(ConfigError) as caught:
        shop.repository.change("main", "feature")
    assert caught.value.code == "branch_behind"
    assert caught.value.next_step == "git switch feature && git merge main"


def test_unrelated_histories_are_refused(shop):
    shop.git("switch", "-q", "--orphan", "other")
    shop.commit()
    with pytest.raises(ConfigError) as caught:
        shop.repository.change("main", "other")
    assert caught.value.code == "no_common_history"


def test_grafts_and_replacements_do_not_rewrite_history(shop):
    shop.write({"evil.py": "1\n"})
    head = shop.commit()
    harmless = shop.git("commit-tree", f"{shop.base}^{{tree}}", "-p", shop.base, "-m", "harmless")
    shop.git("replace", head, harmless)
    (shop.root / ".git" / "info" / "grafts").write_text(f"{head}\n")
    assert set(changed(shop)) == {"evil.py"}


def test_too_many_files_or_commits_are_refused(shop, monkeypatch):
    monkeypatch.setattr("bywire.adapters.git_change.CHANGED_FILES_MAX", 2)
    monkeypatch.setattr("bywire.adapters.git_change.COMMITS_MAX", 3)
    shop.write({"a": "1", "b": "1", "c": "1"})
    shop.commit()
    with pytest.raises(ConfigError, match="more than 2 files") as caught:
        shop.repository.change("main", "feature")
    assert caught.value.code == "change_too_large"
    for _ in range(3):
        shop.commit()
    with pytest.raises(ConfigError, match="more than 3 commits"):
        shop.repository.change("main", "feature")


def test_chunks_of_a_large_change_are_joined(shop, monkeypatch):
    monkeypatch.setattr("bywire.adapters.git_change.PATHS_PER_DIFF", 2)
    shop.write({f"f{index}": "x\n" * index for index in range(1, 8)})
    shop.commit()
    assert {path: len(item.added_lines) for path, item in changed(shop).items()} == {f"f{i}": i for i in range(1, 8)}


# --- reading and exporting -----------------------------------------------------------------------------------------


def test_read_gives_regular_files_only(shop):
    (shop.root / "link").symlink_to("README")
    head = shop.commit()
    repository = shop.repository
    assert repository.read(head, "README") == b"shop\n"
    for absent in ("link", "shop", "nope", "../README", "/etc/passwd", "", "shop/"):
        assert repository.read(head, absent) is None
    with pytest.raises(ConfigError) as caught:
        repository.read(head, "README", bytes_max=4)
    assert caught.value.code == "file_too_large"
    with pytest.raises(ConfigError, match="not a full commit id"):
        repository.read("main", "README")


def test_list_marks_links_and_submodules(shop):
    (shop.root / "link").symlink_to("README")
    shop.git("update-index", "--add", "--cacheinfo", f"160000,{shop.base},module")
    shop.git("add", "link")
    shop.git("commit", "-q", "-m", "x")
    head = shop.git("rev-parse", "HEAD")
    entries = {entry.path: entry for entry in shop.repository.list(head)}
    assert entries["link"].is_symlink and entries["module"].is_submodule
    assert not entries["README"].is_symlink
    assert [entry.path for entry in shop.repository.list(head, "shop/")] == ["shop/quotes.py"]
    assert shop.repository.list(head, "sho") == ()


def test_export_writes_the_commit_and_nothing_else(shop, tmp_path):
    shop.write({"run.sh": "#!/bin/sh\n", "untracked-later": "x"})
    (shop.root / "run.sh").chmod(0o755)
    (shop.root / "shop" / "link").symlink_to("../README")
    (shop.root / "dangling").symlink_to("later/made")
    head = shop.commit()
    shop.write({"README": "edited and not committed\n"})
    out = tmp_path / "out"
    shop.repository.export(head, out)
    assert (out / "README").read_text() == "shop\n"
    assert (out / "shop" / "link").resolve() == out / "README"
    assert os.access(out / "run.sh", os.X_OK) and not os.access(out / "README", os.X_OK)
    assert not (out / ".git").exists()
    with pytest.raises(ConfigError) as caught:
        shop.repository.export(head, out)
    assert caught.value.code == "export_not_empty"


@pytest.mark.parametrize(
    "links",
    [
        {"out": "/etc/passwd"},
        {"out": "../secret"},
        {"shop/out": "../../secret"},
        {"a": "shop", "b": "a/../../secret"},
        {"deep/one": "..", "two": "deep/one/../../secret"},
        {"loop": ".git/config/../../../secret"},
    ],
)
def test_links_that_leave_the_tree_are_refused_and_nothing_stays(shop, tmp_path, links):
    for name, target in links.items():
        place = shop.root / name
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(target)
    head = shop.commit()
    out = tmp_path / "out"
    with pytest.raises(ConfigError) as caught:
        shop.repository.export(head, out)
    assert caught.value.code == "unsafe_tree"
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".git", ".GIT", "."])
def test_crafted_names_are_refused(shop, tmp_path, name):
    commit = shop.tree(("100644", shop.blob(b"evil"), name))
    with pytest.raises(ConfigError) as caught:
        shop.repository.export(commit, tmp_path / "deep" / "out")
    assert caught.value.code == "unsafe_tree"
    assert not (tmp_path / "deep" / "out").exists()


def test_a_link_and_a_directory_of_one_name_cannot_be_used_to_write_outside(shop, tmp_path):
    inner = shop.git("mktree", stdin=f"100644 blob {shop.blob(b'evil')}\tfile\n".encode())
    raw = b"".join(
        mode + b" d\x00" + bytes.fromhex(oid)
        for mode, oid in ((b"120000", shop.blob(b"../../elsewhere")), (b"40000", inner))
    )
    tree = shop.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
    commit = shop.git("commit-tree", tree, "-m", "x")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigError) as caught:
        shop.repository.export(commit, tmp_path / "a" / "out")
    assert caught.value.code == "unsafe_tree"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_sizes_and_counts_are_bounded(shop, tmp_path, monkeypatch):
    shop.write({"big": b"x" * 5000})
    head = shop.commit()
    monkeypatch.setattr("bywire.adapters.git_export.FILE_BYTES_MAX", 4000)
    with pytest.raises(ConfigError) as caught:
        shop.repository.export(head, tmp_path / "out")
    assert caught.value.code == "file_too_large"
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.setattr("bywire.adapters.git_export.FILES_MAX", 2)
    with pytest.raises(ConfigError, match="more than 2 files"):
        shop.repository.export(head, tmp_path / "out")


def test_a_git_that_hangs_or_floods_is_stopped(shop, tmp_path, monkeypatch):
    head = shop.commit()
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git_command, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(ConfigError) as caught:
        shop.repository.list(head)
    assert caught.value.code == "git_timeout"
    fake.write_text("#!/bin/sh\nexec yes\n")
    monkeypatch.setattr(git_command, "TIMEOUT_SECONDS", 30)
    with pytest.raises(ConfigError) as caught:
        shop.repository.list(head)
    assert caught.value.code == "git_output_too_large"


def test_a_git_inside_the_judged_repository_is_not_run(shop, monkeypatch):
    shop.write({"git": "#!/bin/sh\n"})
    (shop.root / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shop.root}:{os.environ['PATH']}")
    with pytest.raises(ConfigError) as caught:
        GitRepository(shop.root)
    assert caught.value.code == "git_untrusted"


# --- dirtiness and identity ----------------------------------------------------------------------------------------


def test_dirty_means_anything_that_no_commit_has(shop):
    repository = shop.repository
    assert not repository.is_dirty()
    shop.write({"new": "x"})
    assert repository.is_dirty()
    shop.git("add", "new")
    assert repository.is_dirty()
    shop.commit()
    assert not repository.is_dirty()
    shop.write({"README": "edited\n"})
    assert repository.is_dirty()


def test_user_is_what_the_users_own_configuration_says(shop, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert shop.repository.user() is None
    (tmp_path / "home" / ".gitconfig").write_text("[user]\n name = Dana\n email = Dana@Example.com\n")
    assert shop.repository.user() == Author("Dana", "dana@example.com")


# --- writing -------------------------------------------------------------------------------------------------------


def test_commit_files_makes_a_branch_without_touching_index_or_work_tree(shop):
    (shop.root / "shop" / "quotes.py").chmod(0o755)
    head = shop.commit()
    shop.write({"README": "being edited\n", "staged": "x"})
    shop.git("add", "staged")
    before = (shop.git("status", "--porcelain"), (shop.root / ".git" / "index").read_bytes())
    files = {"deploy/netpol.yaml": b"kind: NetworkPolicy\n", "README": None, "shop/quotes.py": b"new\n"}
    made = shop.repository.commit_files("bywire/fix", head, files, "Add the policy\n", BOT, NOW_MS)
    assert (shop.git("status", "--porcelain"), (shop.root / ".git" / "index").read_bytes()) == before
    repository = shop.repository
    assert repository.resolve("bywire/fix") == made
    assert repository.read(made, "deploy/netpol.yaml") == b"kind: NetworkPolicy\n"
    assert repository.read(made, "README") is None
    assert {entry.path: entry.mode for entry in repository.list(made)}["shop/quotes.py"] == "100755"
    assert shop.git("log", "-1", "--format=%an|%ae|%ct|%P|%s", made) == (
        f"bywire recourse|recourse@bywire.invalid|1790000000|{head}|Add the policy"
    )


def test_the_same_commit_twice_is_harmless_and_a_next_one_moves_the_branch(shop):
    repository = shop.repository
    first = repository.commit_files("bywire/fix", shop.base, {"a": b"1"}, "m", BOT, NOW_MS)
    assert repository.commit_files("bywire/fix", shop.base, {"a": b"1"}, "m", BOT, NOW_MS) == first
    second = repository.commit_files("bywire/fix", first, {"a": b"2"}, "m", BOT, NOW_MS)
    assert repository.resolve("bywire/fix") == second


def test_a_branch_with_other_work_is_not_overwritten(shop):
    repository = shop.repository
    repository.commit_files("bywire/fix", shop.base, {"a": b"1"}, "m", BOT, NOW_MS)
    held = repository.resolve("bywire/fix")
    with pytest.raises(ConflictError) as caught:
        repository.commit_files("bywire/fix", shop.base, {"a": b"2"}, "m", BOT, NOW_MS)
    assert caught.value.code == "branch_moved"
    assert repository.resolve("bywire/fix") == held


def test_a_race_for_the_branch_is_lost_and_said(shop, monkeypatch):
    repository = shop.repository
    other = shop.git("commit-tree", f"{shop.base}^{{tree}}", "-p", shop.base, "-m", "other")
    real = git_command.GitCommand.run

    def race(self, arguments, **options):
        if arguments[0] == "update-ref":
            shop.git("update-ref", "refs/heads/bywire/fix", other)
        return real(self, arguments, **options)

    monkeypatch.setattr(git_command.GitCommand, "run", race)
    with pytest.raises(ConflictError) as caught:
        repository.commit_files("bywire/fix", shop.base, {"a": b"1"}, "m", BOT, NOW_MS)
    assert caught.value.code == "branch_moved"
    assert shop.git("rev-parse", "bywire/fix") == other


def test_a_checked_out_branch_is_not_moved(shop, tmp_path):
    for branch in ("feature", "linked"):
        if branch == "linked":
            shop.git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"))
        with pytest.raises(ConflictError) as caught:
            shop.repository.commit_files(branch, shop.base, {"a": b"1"}, "m", BOT, NOW_MS)
        assert caught.value.code == "branch_checked_out"


@pytest.mark.parametrize("branch", ["", "-x", "a..b", "a b", "a.lock", "refs/../x", "a\nb", "@", "x" * 300])
def test_branch_names_are_checked(shop, branch):
    with pytest.raises(ConfigError) as caught:
        shop.repository.commit_files(branch, shop.base, {"a": b"1"}, "m", BOT, NOW_MS)
    assert caught.value.code == "branch_name"


@pytest.mark.parametrize("path", ["../x", "/x", ".git/hooks/pre-commit", "a/./b", ""])
def test_written_paths_are_checked(shop, path):
    with pytest.raises(ConfigError) as caught:
        shop.repository.commit_files("bywire/fix", shop.base, {path: b"1"}, "m", BOT, NOW_MS)
    assert caught.value.code == "unsafe_path"


def test_author_text_cannot_forge_commit_headers(shop):
    author = Author("Bot <x>\nparent 0", "a@b>\ncommitter evil")
    made = shop.repository.commit_files("bywire/fix", shop.base, {"a": b"1"}, "m", author, NOW_MS)
    assert shop.git("cat-file", "commit", made).count("\nparent ") == 1


# --- a hostile repository ------------------------------------------------------------------------------------------


def test_a_malicious_repository_runs_nothing(shop, tmp_path):
    canary = tmp_path / "ran"
    script = tmp_path / "evil.sh"
    script.write_text(f'#!/bin/sh\necho "$0 $@" >> {canary}\ncat\nexit 0\n')
    script.chmod(0o755)
    shop.write({".gitattributes": "* filter=evil diff=evil merge=evil\n", "shop/quotes.py": "changed\n", "x.py": "1\n"})
    head = shop.commit()
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    names = (
        "reference-transaction",
        "post-index-change",
        "pre-commit",
        "post-checkout",
        "post-commit",
        "fsmonitor-watchman",
    )
    for name in names:
        for place in (hooks, shop.root / ".git" / "hooks"):
            (place / name).write_text(script.read_text())
            (place / name).chmod(0o755)
    (tmp_path / "included").write_text(f'[filter "in.cluded=x"]\n clean = {script}\n process = {script}\n')
    programs = (
        "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass", "core.alternateRefsCommand",
        "core.gitProxy", "diff.external", "diff.evil.command", "diff.evil.textconv", "filter.evil.clean",
        "filter.evil.smudge", "filter.evil.process", "merge.evil.driver", "gpg.program", "pager.diff",
        "interactive.diffFilter", "uploadpack.packObjectsHook",
    )  # fmt: skip
    settings = {
        **dict.fromkeys(programs, str(script)),
        **dict.fromkeys(("alias.status", "alias.ls-tree", "credential.helper"), f"!{script}"),
        "core.hooksPath": str(hooks),
        "core.worktree": str(tmp_path),
        "core.repositoryFormatVersion": "1",
        "diff.evil.cachetextconv": "true",
        "filter.evil.required": "true",
        "log.showSignature": "true",
        "commit.gpgSign": "true",
        "include.path": str(tmp_path / "included"),
        "remote.origin.url": f"ext::{script} %S",
        "remote.origin.promisor": "true",
        "extensions.partialClone": "origin",
        "protocol.ext.allow": "always",
        "protocol.allow": "always",
        "submodule.recurse": "true",
        "status.submoduleSummary": "true",
    }
    for key, value in settings.items():
        shop.git("config", key, value)
    shop.write({"x.py": "22\n", "untracked": "x"})
    os.utime(shop.root / "x.py", (1, 1))
    os.utime(shop.root / "README", (1, 1))
    canary.unlink(missing_ok=True)

    repository = shop.repository
    assert repository.resolve("feature") == head
    assert repository.is_dirty()
    assert repository.current_branch() == "feature"
    change = repository.change("main", "feature")
    assert {item.path for item in change.files} == {".gitattributes", "shop/quotes.py", "x.py"}
    assert repository.read(head, "x.py") == b"1\n"
    repository.export(head, tmp_path / "out")
    assert (tmp_path / "out" / "x.py").read_text() == "1\n"
    repository.commit_files("bywire/fix", head, {"x.py": b"3\n"}, "m", BOT, NOW_MS)
    repository.user()
    repository.merge_base(shop.base, head)
    with pytest.raises(ConfigError):
        repository.resolve("f" * 40)  # a missing object would be fetched from the promisor
    broken = shop.tree(("100644", "e" * 40, "lazy"))
    with pytest.raises(ConfigError) as caught:
        repository.read(broken, "lazy")
    assert caught.value.code == "object_missing"
    assert not canary.exists(), canary.read_text()


def test_the_callers_git_variables_do_not_redirect_the_adapter(shop, tmp_path, monkeypatch):
    other = Shop(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    shop.write({"README": "longer\n"})
    head = shop.commit("only here")
    assert shop.repository.resolve("feature") == head
    assert not shop.repository.is_dirty()
    assert changed(shop)["README"].added_lines == (1,)
