import re
import sys

import pytest

from helpers import store
from helpers.running import board
from helpers.running.board import Board, clock


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (59.6, "1:00"), (605, "10:05"), (3671, "1:01:11")])
def test_times_are_said_as_on_a_clock(seconds, words):
    assert clock(seconds) == words


def test_a_file_gets_whole_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(board, "EVERY", 0.01)
    monkeypatch.setattr(store, "ROOT", tmp_path)
    log = tmp_path / "logs/a.log"
    log.parent.mkdir()
    log.write_text("epoch 1\repoch 2\n\n")
    with Board(lambda running: None) as shown:
        shown.begin("a", log, 120)
        shown.begin("b", tmp_path / "none.log", None)
        said = ""
        while "a 0:0" not in said or "b 0:0" not in said:
            said += capsys.readouterr().out
        shown.end("a", "done in 0:01")
    lines = said.splitlines()
    assert any(re.fullmatch(r"a 0:0\d of about 2:00 · epoch 2", line) for line in lines)
    assert any(re.fullmatch(r"b 0:0\d · starting", line) for line in lines)
    assert capsys.readouterr().out.splitlines()[-1] == "a: done in 0:01"


def test_a_terminal_gets_one_line_that_says_what_runs_and_what_is_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    shown = Board(lambda running: 60.0 * len(running))
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"words of {name}\n")
        shown.begin(name, tmp_path / name, 90)
    shown._draw({"a": 10, "b": 5})
    line = capsys.readouterr().out
    assert line.strip() == "about 2:00 left | a 0:10 of about 1:30 · words of a | b 0:05 of about 1:30 · words of b"
    assert "\n" not in line
    shown.say("c: up to date")
    assert capsys.readouterr().out.endswith("\rc: up to date\n"), "after the line was wiped"
