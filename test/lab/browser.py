# SPDX-License-Identifier: BSD-2-Clause
"""Headless Chromium in a namespace, driven by its DevTools protocol over a pair of pipes.

    with Browser(lab.lb, "http://127.0.0.1:9105/") as browser:
        browser.wait_for("document.title", 10)
        browser.screenshot(path)
        assert not browser.problems
"""

import base64
import json
import os
import select
import subprocess
import time

from namespaces import stop

OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--metrics-recording-only",
    "--window-size=1200,1100", "--remote-debugging-pipe",
]


class Browser:
    """One page. `problems` are the exceptions and error messages of its console so far."""

    def __init__(self, namespace, url):
        self.problems = []
        self._number = 0
        self._pending = b""
        profile = namespace.directory / "chromium"
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        # Chromium reads from descriptor 3 and writes to 4.
        script = f'exec 8<&{their_in} 9>&{their_out}; exec "$@" 3<&8 4>&9'
        self._log = open(namespace.directory / "chromium.log", "ab")
        self._process = namespace.popen(
            ["bash", "-c", script, "chromium", "chromium", *OPTIONS, f"--user-data-dir={profile}",
             "about:blank"],
            pass_fds=(their_in, their_out), stdout=self._log, stderr=subprocess.STDOUT)
        os.close(their_in)
        os.close(their_out)
        self._session = None
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self.set_colours("light")
        self._call("Page.navigate", url=url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self._process)
        self._log.close()
        os.close(self._in)
        os.close(self._out)

    def _read(self, timeout):
        """The next message, or None when there is none within that time."""
        deadline = time.monotonic() + timeout
        while b"\0" not in self._pending:
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self._in], [], [], left)[0]:
                return None
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("chromium has ended; see chromium.log")
            self._pending += data
        message, self._pending = self._pending.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message):
        method, given = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.problems.append(given["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
            self.problems.append(str(given["args"]))

    def _call(self, method, timeout=30, **arguments):
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._read(max(deadline - time.monotonic(), 0))
            if answer is None:
                raise TimeoutError(f"chromium does not answer {method}")
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression, timeout):
        """Waits until the expression is true; returns its value."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                value = self.evaluate(expression)
            except RuntimeError:
                # Of a page that is not loaded yet, perhaps.
                if time.monotonic() > deadline:
                    raise
                value = None
            if value:
                return value
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {expression} within {timeout} s")
            message = self._read(0.1)
            if message:
                self._note(message)

    def set_colours(self, scheme):
        """What the reader prefers: "light" or "dark"."""
        self._call("Emulation.setEmulatedMedia",
                   features=[{"name": "prefers-color-scheme", "value": scheme}])

    def rows(self, table):
        """[{heading: text of the cell}] of a table of the page."""
        return self.evaluate(f"""[...document.querySelectorAll('#{table} tbody tr')].map(row =>
            Object.fromEntries([...row.cells].map((cell, i) =>
                [document.querySelectorAll('#{table} th')[i].textContent, cell.textContent])))""")

    def screenshot(self, path):
        """The page as PNG."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))
