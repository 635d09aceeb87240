"""Measurements as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def markdown_table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], machine: Mapping[str, str]
) -> str:
    """Returns a Markdown page with a title, a table, and what it was measured on."""
    lines = [f"# {title[:1].upper()}{title[1:]}", "", _row(headings), _row(["---"] * len(headings))]
    lines += [_row(row) for row in rows]
    lines += ["", "Measured on: " + "; ".join(f"{name} {value}" for name, value in machine.items()) + "."]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
