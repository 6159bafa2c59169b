"""What others wrote is printed as it is: no markup, no terminal control, no crash, whatever it holds."""

import re
import time

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bywire.cli import main as command_line
from bywire.cli.output import console, line, literal


def shown(markup):
    out = console()
    with out.capture() as captured:
        out.print(markup)
    return captured.get().removesuffix("\n")


@pytest.mark.parametrize("text", [r"\[/nope]", "[/nope]", r"\\[red]x", "[link=x]y[/link]", "x\\", "a[0]", ":skull:"])
def test_text_in_a_style_is_shown_character_for_character(text):
    assert shown(f"[cyan]{literal(text)}[/]") == text


def test_a_long_run_of_backslashes_is_printed_as_quickly_as_anything_else():
    began = time.thread_time()
    assert literal("\\" * 60_000 + "x") == "\\" * 60_000 + "x"
    # Following each of them to the end of the run takes half a minute.
    assert time.thread_time() - began < 1


@given(st.lists(st.text(alphabet="\\[]/#@=ab1:\x1b\x9b\u202e", max_size=12), min_size=2, max_size=2))
def test_no_two_texts_together_make_markup_or_terminal_control(texts):
    first, second = texts
    seen = shown(f"[cyan]{literal(first)}[/] {literal(second)}[bold].[/]")
    plain = [re.sub("[\x1b\x9b\u202e]", "?", text) for text in texts]
    assert seen.replace("\\", "") == f"{plain[0]} {plain[1]}.".replace("\\", "")


def test_what_a_release_prints_cannot_end_the_story(capsys):
    line(r"deploy_release failed: Its output ends with \[/x] " + "\x1b[2J", 7, "bad")
    said = capsys.readouterr().out
    assert r"\[/x]" in said
    assert "\x1b[2J" not in said


def test_a_proof_file_cannot_write_to_the_terminal(tmp_path):
    proof = tmp_path / "proof.json"
    proof.write_bytes(b'{"[/nope]\\u001b[2J": 1}')
    result = CliRunner().invoke(command_line.bywire, ["audit", "verify", str(proof)])
    assert result.exit_code == 1
    assert "proof_malformed" in result.output
    assert "\x1b" not in result.output
