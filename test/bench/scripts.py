# SPDX-License-Identifier: BSD-2-Clause
"""What the scripts that measure with packets have in common: the build, and the virtual machine.

Such a script runs twice: on the machine, where it builds and boots, and in the virtual machine, where
it measures and leaves what it found.
"""

import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "build/release"


def say(text):
    print(text, file=sys.stderr, flush=True)


def build():
    """The release, unless FLUXPIN names another program; afterwards FLUXPIN and FLUXPIN_BENCH do."""
    if "FLUXPIN" not in os.environ:
        for command in (("cmake", "--preset", "release"),
                        ("ninja", "-C", RELEASE, "fluxpin", "fluxpin-bench")):
            subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        os.environ["FLUXPIN"] = str(RELEASE / "src/cli/fluxpin")
    os.environ.setdefault("FLUXPIN_BENCH", str(RELEASE / "test/bench/fluxpin-bench"))


def is_in_vm():
    return bool(os.environ.get("FLUXPIN_VM"))


def leave(name, result):
    """In the virtual machine: what run_in_vm is to return."""
    path = pathlib.Path(os.environ["FLUXPIN_VM_RESULTS"]) / f"{name}.json"
    path.write_text(json.dumps(result), encoding="utf-8")


def run_in_vm(name, *options, limit=3600):
    """Runs test/bench/NAME, the calling script, with its own arguments in the virtual machine, for so
    many seconds at most, with these options of test/vm/run; after build(). Exits where it fails."""
    program = pathlib.Path(os.environ["FLUXPIN_BENCH"]).resolve()
    command = [ROOT / "test/vm/run", "newest", "--command", "--limit", str(limit), *options, "--",
               "env", f"FLUXPIN_BENCH={program}", f"test/bench/{name}", *sys.argv[1:]]
    done = subprocess.run(list(map(str, command)), stdout=sys.stderr, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return json.loads((ROOT / f"build/vm/newest/{name}.json").read_text(encoding="utf-8"))


def spread(values):
    """Median, least and most, and between what the true median lies with a probability of 95 % or
    more ("interval"), if there are enough values to say so."""
    values = sorted(values)
    return {"median": statistics.median(values), "min": values[0], "max": values[-1],
            "interval": median_interval(values)}


def median_interval(ordered):
    """By the sign test: each value is above the true median as likely as below it, whatever their
    distribution. None for fewer than six values."""
    count, beyond, found = len(ordered), 0, None
    for rank in range((count + 1) // 2):
        # That no more than `rank` of them are on one side of the median, for either side.
        beyond += 2 * math.comb(count, rank) / 2**count
        if beyond > 0.05:
            break
        found = [ordered[rank], ordered[-1 - rank]]
    return found
