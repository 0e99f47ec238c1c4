# SPDX-License-Identifier: BSD-2-Clause
"""Requests of the client to the servers of test/lab/servers.py, by curl. What it says of those that
fail is printed, for pytest to show."""

import collections


def url(address, path="/id"):
    return f"http://[{address}]{path}" if ":" in address else f"http://{address}{path}"


def get(lab, vip, count, timeout=60):
    """Requests over new connections, one after the other; how many each backend answered."""
    # By one process: in a virtual machine without hardware help, starting one takes longer.
    return collections.Counter(_curl(lab, timeout, count, "-H", "Connection: close",
                                     url(vip, f"/id?[1-{count}]")))


def upload(lab, vip, size, timeout=60):
    """Whether a request with a body of full-size segments arrives whole."""
    return _curl(lab, timeout, 1, "--data-binary", "@-", url(vip, "/upload"),
                 input="\0" * size)[1:] == [str(size)]


def _curl(lab, timeout, count, *arguments, **more):
    """The words of all answers; `timeout` is one request's, in seconds."""
    words = "%{onerror}%{stderr}request %{urlnum} from port %{local_port}: %{time_total} s\n"
    done = lab.client.run(["curl", "-sS", "--fail-early", "-m", timeout, "-w", words, *arguments],
                          check=False, timeout=timeout * count + 10, **more)
    print(done.stderr, end="")
    return done.stdout.split()
