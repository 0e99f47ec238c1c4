# SPDX-License-Identifier: BSD-2-Clause
"""Traffic in the background of a test."""


class Traffic:
    """Connections that come all the time, some of which may fail, but not all."""

    def __init__(self, lab, parallel=4, rate=100, timeout=2):
        self._load = lab.load("http", lab.http_vip, "--parallel", parallel, "--hold", "--rate", rate,
                              "--timeout", timeout)
        self._load.wait_for_line()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._load.go_on()
        result = self._load.result()
        assert kind is not None or result["ok"] > 0, result
