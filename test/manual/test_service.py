# SPDX-License-Identifier: BSD-2-Clause
"""The unit file: what systemd does with fluxpin's exit statuses, and that systemd takes it. What a
systemd that runs does with it: test/vm/test_service_manager.py."""

import configparser
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNIT = ROOT / "conf/fluxpin.service"
PROGRAM = pathlib.Path(os.environ.get("FLUXPIN", ROOT / "build/dev/src/cli/fluxpin")).resolve()
WRONG_USAGE, FAILED = 2, 1  # exit statuses; the second also of a NIC that went away


def test_what_is_started_again():
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(UNIT, encoding="utf-8")
    service = unit["Service"]
    assert service["Restart"] == "on-failure"
    never = {int(each) for each in service["RestartPreventExitStatus"].split()}
    assert WRONG_USAGE in never and FAILED not in never
    assert "SuccessExitStatus" not in service
    # As often as it takes.
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_it(tmp_path):
    copy = tmp_path / "fluxpin.service"
    copy.write_text(UNIT.read_text(encoding="utf-8").replace("/usr/sbin/fluxpin", str(PROGRAM)),
                    encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True,
                          text=True, check=False)
    about = [line for line in done.stderr.splitlines() if "fluxpin" in line]
    assert done.returncode == 0 and not about, done.stderr
