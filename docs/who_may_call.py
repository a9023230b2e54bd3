"""Writes the table of who may call what into security.md, from the rows of rpc/methods.py.

    .venv/bin/python docs/who_may_call.py

`tests/unit/rpc/test_security_page.py` fails while the page says something else.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pydfsnode.rpc.methods import METHODS
from pydfsnode.security.identity import ROLES

PAGE = Path(__file__).parent / "security.md"
BEGIN, END = "<!-- who may call: begin -->\n", "<!-- who may call: end -->\n"


def table() -> str:
    """A row for all methods of a service that the same nodes serve to the same callers."""
    rows: dict[tuple[str, str, tuple[bool, ...]], list[str]] = defaultdict(list)
    for row in METHODS.values():
        service = row.service.rpartition(".")[2]
        marks = tuple(role in row.callers for role in ROLES)
        rows[service, ", ".join(sorted(row.served_by)), marks].append(row.name)
    lines = [
        f"| service | served by | {' | '.join(ROLES)} | methods |",
        "|---|---|" + "---|" * len(ROLES) + "---|",
    ]
    for (service, served_by, marks), names in sorted(rows.items(), key=lambda row: row[0][0]):
        cells = " | ".join("x" if mark else "" for mark in marks)
        lines.append(f"| {service} | {served_by} | {cells} | {' '.join(sorted(names))} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page as it is to be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page())
