"""Measurements as text: tables on the console, and a page and a JSON file of the same in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ros2_multihmr.files.folders import check_folder, make_folder

_UNBOUNDED = 10_000
"""Characters: more than any line has."""


@dataclass(frozen=True)
class Section:
    """A table, and what is said about it.

    Attributes:
        title: A line above it.
        headings: Of its columns.
        rows: Its cells, as text.
        notes: Sentences below it.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def tell(
    console: Console, out: str, name: str, sections: Sequence[Section], machine: Mapping[str, str], /, **values: object
) -> None:
    """Shows sections, and writes them where `out` names a folder.

    Args:
        console: Where they are shown.
        out: The folder, as `--out` gives it; empty: only show.
        name: Of the files, without an ending.
        sections: One or more.
        machine: What they were measured on, see `hardware`.
        values: Every number and setting, for the JSON file.

    Raises:
        ValueError: The folder cannot be made.
        OSError: The files cannot be written.
    """
    show(console, sections)
    if out:
        write(Path(out), name, sections, machine, **values)
        console.print(f"written: {escape(out)}/{name}.json and {name}.md")


def open_report(out: str) -> Console:
    """Returns the console for a measurement that ends with `tell`; call it before anything is measured.

    Args:
        out: The folder for `tell`, as `--out` gives it; empty: only show.

    Raises:
        ValueError: A file is in the way, or the place cannot be written to.
    """
    if out:
        check_folder(Path(out), "--out")
    return open_console()


def open_console(quiet: bool = False) -> Console:
    """Returns the console on standard output.

    In a file or a pipe nothing bounds its lines, unless COLUMNS says how wide they are: tables are as wide as their
    cells, and a sentence, or a path in it, is one line.

    Args:
        quiet: Show nothing.
    """
    console = Console(quiet=quiet)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNBOUNDED
    return console


def show(console: Console, sections: Sequence[Section]) -> None:
    """Prints tables, and the sentences under them. Where it is narrow, cells go on in the next line; none is cut."""
    for section in sections:
        console.print(_table(section))
        for note in section.notes:
            console.print(escape(note), highlight=False)


def _table(section: Section) -> Table:
    table = Table(title=escape(section.title))
    for heading in section.headings:
        table.add_column(escape(heading), overflow="fold")
    for row in section.rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def write(
    folder: Path, name: str, sections: Sequence[Section], machine: Mapping[str, str], /, **values: object
) -> None:
    """Writes `name`.md, the sections as a page, and `name`.json with their first title, the machine and `values`.

    Raises:
        ValueError: The folder cannot be made.
        OSError: The files cannot be written.
    """
    make_folder(folder, "--out")
    result = {"title": sections[0].title, "hardware": machine, **values}
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(markdown_page(sections, machine), encoding="utf-8")


def markdown_page(sections: Sequence[Section], machine: Mapping[str, str]) -> str:
    """Returns sections as a Markdown page: each with its title, table and sentences, at the end what they ran on."""
    lines: list[str] = []
    for depth, section in enumerate(sections):
        lines += [("## " if depth else "# ") + section.title[:1].upper() + section.title[1:], ""]
        lines += [*table_lines(section.headings, section.rows), ""]
        lines += [line for note in section.notes for line in (note, "")]
    return "\n".join([*lines, measured_on(machine), ""])


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a Markdown table, line by line."""
    return [_row(headings), _row(["---"] * len(headings)), *(_row(row) for row in rows)]


def measured_on(machine: Mapping[str, str]) -> str:
    """Returns a sentence with what a measurement ran on."""
    return "Measured on: " + "; ".join(f"{name} {value}" for name, value in machine.items()) + "."


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
