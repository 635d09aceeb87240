"""Tables in files, pipes and narrow terminals: no cell is cut."""

from __future__ import annotations

import pytest
from rich.console import Console

from ros2_multihmr.report import Section, open_console, show

CELLS = [f"torch {'x' * 14}{column}" for column in range(8)]
SECTION = Section("times", [f"heading {column}" for column in range(8)], [CELLS], ["a note of " + "many words " * 20])


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width that this test's own terminal may have told its programs."""
    monkeypatch.delenv("COLUMNS", raising=False)


def shown(console: Console) -> str:
    with console.capture() as text:
        show(console, [SECTION])
    return text.get()


def test_a_file_gets_a_row_in_a_line() -> None:
    lines = shown(open_console()).splitlines()
    assert any(all(cell in line for cell in CELLS) for line in lines)
    assert lines[-1].strip() == SECTION.notes[0].strip()


def test_a_narrow_terminal_gets_every_character() -> None:
    text = shown(Console(color_system=None, force_terminal=True, width=60))
    assert max(map(len, text.splitlines())) <= 60
    assert text.count("x") == sum(cell.count("x") for cell in CELLS)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text


def test_columns_says_how_wide_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert max(map(len, shown(open_console()).splitlines())) <= 100


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    show(open_console(quiet=True), [SECTION])
    assert not capsys.readouterr().out
