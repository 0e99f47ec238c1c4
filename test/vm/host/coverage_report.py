# SPDX-License-Identifier: BSD-2-Clause
"""A report of the lines that programs executed, from what they wrote when they ended (gcov)."""

import os
import shutil

from packages import Broken, run

TOOL = "gcovr"


def write(tree, build, folder):
    """Writes report.txt and html/index.html into `folder`, about fluxpin's sources in `tree`, built
    in `build`. Programs wrote into `folder` below the path of `build`. Returns the line of the total."""
    counts = folder / build.relative_to("/") / "src"
    if not any(counts.rglob("*.gcda")):
        raise Broken(f"nothing that was executed was written to {counts}")
    # gcov wants them beside the counts. What was never executed has no counts, but counts.
    for notes in (build / "src").rglob("*.gcno"):
        target = counts / notes.relative_to(build / "src")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(notes, target)
    (folder / "html").mkdir()
    output = run([TOOL, "--root", str(tree), "--object-directory", str(counts), "-j", str(os.cpu_count()),
                  "--filter", f"{tree}/(src|include)/", "--txt", str(folder / "report.txt"),
                  "--html-details", str(folder / "html/index.html"), "--print-summary", str(counts)], Broken)
    total = [line for line in output.splitlines() if line.startswith("lines: ")]
    if len(total) != 1:
        raise Broken(f"{TOOL} names no total: {output.strip()[-500:]}")
    return total[0]
