# SPDX-License-Identifier: BSD-2-Clause
"""Traffic in the background of a test."""


class Traffic:
    """Connections that come all the time, some of which may fail. When the block begins, some have been
    served."""

    def __init__(self, lab, parallel=4, rate=100, timeout=2):
        self._lab = lab
        self._load = lab.load("http", lab.http_vip, "--parallel", parallel, "--hold", "--rate", rate,
                              "--timeout", timeout)
        self._load.wait_for_line()

    def __enter__(self):
        # Starts later than those, and takes longer.
        result = self._lab.load("http", self._lab.http_vip, "--requests", 10).result()
        if result["failed_count"] > 0:
            self._load.go_on()
            self._load.result()
        assert result["failed_count"] == 0, result
        return self

    def __exit__(self, kind, *_):
        self._load.go_on()
        result = self._load.result()
        assert kind is not None or result["ok"] > 0, result
