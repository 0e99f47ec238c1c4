# SPDX-License-Identifier: BSD-2-Clause
"""Makes the man page: man.py ARCHITECTURE.md VERDICT.h PAGE.in VERSION writes it to standard output.

What becomes of each kind of packet is said once, in the table of architecture.md that begins with
"| packet |", and what each drop reason means once, in verdict.h.
"""

import pathlib
import re
import sys

# Of 78 columns, with the gaps between columns.
WIDTHS = (29, 19, 18)
REASON_WIDTHS = (19, 48)


def packet_rows(markdown):
    """[[packet, what happens, reason]], the header first."""
    lines = iter(markdown.splitlines())
    table = []
    for line in lines:
        if line.startswith("| packet |"):
            table.append(line)
            break
    for line in lines:
        if not line.startswith("|"):
            break
        table.append(line)
    if len(table) < 3:
        raise SystemExit("man.py: there is no table of packets")
    del table[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def reason_rows(header):
    """[[label, explanation]]"""
    text = re.sub(r"\\\n", "", header)
    rows = re.findall(r'X\(\w+,\s*"(\w+)",\s*((?:"[^"]*"\s*)+)\)', text)
    if not rows:
        raise SystemExit("man.py: there are no reasons")
    return [[label, "".join(re.findall(r'"([^"]*)"', parts))] for label, parts in rows]


def roff(cell):
    """Markdown in a cell to roff: code is bold, and nothing is a request by accident."""
    cell = cell.replace("\\", "\\e").replace("-", "\\-")
    cell = re.sub(r"`([^`]*)`", r"\\fB\1\\fP", cell)
    cell = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell)
    return "\\&" + cell if cell[:1] in ("", ".", "'") else cell


def table(rows, widths, has_header):
    lines = [".TS", " ".join(f"lw({width})" for width in widths) + "."]
    for number, row in enumerate(rows):
        if len(row) != len(widths):
            raise SystemExit(f"man.py: {len(row)} cells in {row}")
        cells = [roff(cell) for cell in row]
        if has_header and number == 0:
            cells = [f"\\fB{cell}\\fP" for cell in cells]
        lines.append("\t".join(f"T{{\n{cell}\nT}}" for cell in cells))
        if has_header:
            lines.append("_" if number == 0 else "\t".join(["\\&"] * len(row)))
    return "\n".join([*lines, ".TE"])


def page(markdown, header, template, version):
    return (template.replace("@VERSION@", version)
            .replace("@PACKETS@", table(packet_rows(markdown), WIDTHS, True))
            .replace("@REASONS@", table(reason_rows(header), REASON_WIDTHS, False)))


if __name__ == "__main__":
    texts = [pathlib.Path(name).read_text() for name in sys.argv[1:4]]
    sys.stdout.write(page(*texts, sys.argv[4]))
