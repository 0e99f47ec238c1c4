# SPDX-License-Identifier: BSD-2-Clause
"""The table of bad configurations again: fluxpin never starts on one and never applies one."""

import pathlib
import sys

from fluxpin import Fluxpin, configuration, pool, vips

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "configuration"))
import cases  # noqa: E402


def expected_errors(path):
    return [each for each in cases.read_expectations(path) if not each.is_warning]


def test_none_of_them_starts(lab):
    assert len(cases.BAD) >= 40
    for path in cases.BAD:
        done = lab.lb.run([lab.fluxpin, "run", "-c", path, "-i", "eth0:0"], check=False, timeout=20)
        assert done.returncode == 1, path
        assert "ready" not in done.stderr, path
        for error in expected_errors(path):
            assert error.message in done.stderr, path
    assert lab.lb.xdp() is None


def test_none_of_them_is_applied_on_reload(lab):
    """Each is refused with its messages, the old state goes on, and nothing is leaked by it."""
    text = configuration([pool(lab)], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        load = lab.load("http", lab.http_vip, "--parallel", 4, "--hold", "--rate", 40)
        load.wait_for_line()
        for path in cases.BAD:
            seen = len(fluxpin.log())
            fluxpin.file.write_bytes(path.read_bytes())
            assert fluxpin.reload() is None, path
            log = fluxpin.log()[seen:]
            for error in expected_errors(path):
                assert f":{error.line}:" in log or not error.line, path
                assert error.message in log, path
        load.go_on()
        result = load.result()
        assert result["failed_count"] == 0 and result["requests"] > 0, result
        metrics = fluxpin.assert_balanced()
        assert metrics.get_one("fluxpin_config_generation") == 1
        assert metrics.get_one("fluxpin_config_last_reload_successful") == 0
        refused = metrics.get_one("fluxpin_config_reloads_total", outcome="refused")
        assert refused == len(cases.BAD)
        assert fluxpin.reload(text) == 2
