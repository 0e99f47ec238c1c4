# SPDX-License-Identifier: BSD-2-Clause
"""What the doctors say: `fluxpin doctor` and `fluxpin endpoint doctor`."""

import json


def doctor(namespace, *arguments):
    """The report of a command with --json."""
    done = namespace.run(arguments, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["healthy"] else 1), done
    assert report["healthy"] == (not problems(report))
    return report


def findings(report, check):
    return [each for each in report["findings"] if each["check"] == check]


def problems(report, severities=("warning", "error")):
    """{(check, subject): finding} of what is wrong."""
    found = [each for each in report["findings"] if each["severity"] in severities]
    return {(each["check"], each["subject"]): each for each in found}
