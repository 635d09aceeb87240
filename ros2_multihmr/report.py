"""Measurements as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def markdown_table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], machine: Mapping[str, str]
) -> str:
    """Returns a Markdown page with a title, a table, and what it was measured on."""
    lines = [f"# {title[:1].upper()}{title[1:]}", "", *table_lines(headings, rows), "", measured_on(machine)]
    return "\n".join(lines) + "\n"


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a Markdown table, line by line."""
    return [_row(headings), _row(["---"] * len(headings)), *(_row(row) for row in rows)]


def measured_on(machine: Mapping[str, str]) -> str:
    """Returns a sentence with what a measurement ran on."""
    return "Measured on: " + "; ".join(f"{name} {value}" for name, value in machine.items()) + "."


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
