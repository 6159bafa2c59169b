"""Attacks written as Rust literals are read as Rust means them; what is computed is not guessed at."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.corpora_read import defense_bench, mcpsec

RUST = r"""
pub fn tests() -> Vec<AttackTest> {
    vec![
        AttackTest {
            id: "A2.10",
            name: "A \"later\" one",
            class: "Any",
            // a comment with "quotes", {braces} and a comma,
            payload: {
                json!({"made": 1})
            },
            check_fn: is_deny,
        },
        AttackTest {
            id: "A2.9",
            name: "An earlier one",
            class: "Any",
            payload: json!({
                // not "read"
                "url": "https://evil.example/a", "text": "a\u{200B}b\n\"c\" \\ {",
                "many": "ab".repeat(3), "most": u64::MAX,
                "list": [1, -2.5, true, null,],
            }),
            check_fn: |body, status| -> bool { status == 403 },
        },
    ]
}
"""


def test_literals_of_rust(tmp_path):
    (tmp_path / "src" / "attacks").mkdir(parents=True)
    (tmp_path / "src" / "attacks" / "a02_any.rs").write_text(RUST)
    (tmp_path / "src" / "attacks" / "mod.rs").write_text(RUST)
    (first, _, payload), (second, _, computed) = mcpsec(tmp_path)
    assert (first, second, computed) == ("A2.9", "A2.10", None)
    assert payload == {
        "url": "https://evil.example/a",
        "text": 'a\u200bb\n"c" \\ {',
        "many": "ababab",
        "most": 2**64 - 1,
        "list": [1, -2.5, True, None],
    }


def test_cases_with_their_controls(tmp_path):
    place = tmp_path / "testcases" / "a-vector"
    place.mkdir(parents=True)
    case = {"id": "a-vector/1", "fixture": {"type": "tool-call"}, "benignControl": {"type": "scenario"}}
    (place / "1.json").write_text(json.dumps(case))
    assert defense_bench(tmp_path) == [("a-vector/1", case["fixture"], case["benignControl"])]
