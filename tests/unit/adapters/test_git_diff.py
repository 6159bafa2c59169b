"""Paths as git writes them in the head of a patch, and what is none of git's writing."""

import pytest

from bywire.adapters.git_diff import parse_patch


def patched(name):
    return f'--- "a/{name}"\n+++ "b/{name}"\n@@ -1,2 +3 @@\n-a\n-b\n+c\n'.encode()


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("\\303\\251.py", "\u00e9.py"),
        ("tab\\there", "tab\there"),
        ("\\101", "A"),
        # No byte has this number, so that git did not write it: the path is no file of the change.
        ("\\651", "\\651"),
        ("\\777", "\\777"),
    ],
)
def test_a_quoted_path(written, path):
    ((found, lines),) = parse_patch(patched(written)).items()
    assert found == path
    assert (lines.added, lines.removed) == ([3], 2)
