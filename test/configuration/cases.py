# SPDX-License-Identifier: BSD-2-Clause
"""The table of bad configurations, and what fluxpin prints about a configuration.

Each file in bad/ begins with comment lines that say what must be found in it, no more and no less:

    // expect: LINE:COLUMN: message      an error
    // warn: LINE:COLUMN: message        a warning
    // warn: message                     a warning about the file as a whole

Lines and columns count from 1, these comment lines included; a column is a character.
"""
import dataclasses
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
BAD = sorted((HERE / "bad").glob("*.conf"))
GOOD = sorted((HERE / "good").glob("*.conf"))

EXPECTATION = re.compile(r"// (expect|warn): (?:(\d+):(\d+): )?(.*)")


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One error or warning; line and column are 0 when it is about the file as a whole."""

    line: int
    column: int
    message: str
    is_warning: bool = False


@dataclasses.dataclass(frozen=True)
class Printed:
    """A finding as it was printed, with the two lines below it ("" when there are none)."""

    finding: Finding
    source: str
    caret: str


def read_lines(path):
    """The lines of a file as they are shown, for comparing: bytes that are no text are "?"."""
    text = pathlib.Path(path).read_bytes().decode("utf-8", errors="replace")
    return [line.rstrip("\r") for line in text.split("\n")]


def read_expectations(path):
    """The findings that the leading comment lines of a file ask for, sorted."""
    findings = []
    for line in read_lines(path):
        match = EXPECTATION.fullmatch(line)
        if not match:
            break
        kind, line_number, column, message = match.groups()
        findings.append(
            Finding(int(line_number or 0), int(column or 0), message, kind == "warn")
        )
    return sorted(findings)


def parse_findings(output, path):
    """Splits what fluxpin printed about the file into findings; fails on any line it cannot place."""
    head = re.compile(re.escape(str(path)) + r"(?::(\d+))?(?::(\d+))?: (warning: )?(.*)")
    lines = output.split("\n")
    assert lines.pop() == "", "the output does not end with a line end"
    printed = []
    while lines:
        match = head.fullmatch(lines.pop(0))
        assert match, f"no finding begins here: {output!r}"
        line, column = int(match[1] or 0), int(match[2] or 0)
        source = lines.pop(0) if line else ""
        caret = lines.pop(0) if column else ""
        printed.append(Printed(Finding(line, column, match[4], bool(match[3])), source, caret))
    return printed


def check_caret(printed, path):
    """The source line is the file's, and the caret stands below the finding's column."""
    finding = printed.finding
    if not finding.line:
        return
    expected = read_lines(path)[finding.line - 1]
    shown = printed.source
    assert re.fullmatch(r"[ \t]*\^", printed.caret), printed
    column = len(printed.caret)
    if not (shown.startswith("...") or shown.endswith("...")):
        assert shown == "".join(c if c.isprintable() or c == "\t" else "?" for c in expected)
        assert column == finding.column, printed
        # Tabs above tabs: the caret is in its place at every tab width.
        for above, below in zip(shown, printed.caret[:-1]):
            assert (above == "\t") == (below == "\t"), printed
        return
    # A long line is shown in part: what the caret points at must be the same.
    skipped = 3 if shown.startswith("...") else 0
    start = finding.column - (column - skipped)
    part = shown[skipped:].removesuffix("...")
    assert expected[start : start + len(part)] == part, printed
