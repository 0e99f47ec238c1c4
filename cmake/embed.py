# SPDX-License-Identifier: BSD-2-Clause
"""Makes a C file of the status page: its bytes, and a policy that lets a browser run just this.

    embed.py status.html > status_page.c

The policy (Content-Security-Policy, level 2) names the page's one script and one style by their
SHA-256, so that nothing else runs, and lets the page read from where it came, and nowhere else.
"""

import base64
import hashlib
import pathlib
import re
import sys

TEMPLATE = """/* SPDX-License-Identifier: BSD-2-Clause */
/* Made of {name} by cmake/embed.py. */
#include <stddef.h>

extern const char listener_status_page[];
extern const size_t listener_status_page_length;
extern const char listener_status_policy[];

const char listener_status_page[] = {{
{numbers}
}};
const size_t listener_status_page_length = sizeof(listener_status_page);
const char listener_status_policy[] = {policy};
"""


def source_hash(page, element):
    """What the policy calls the page's only element of this name."""
    found = re.findall(rf"<{element}>(.*?)</{element}>".encode(), page, re.S)
    if len(found) != 1 or len(re.findall(rf"<{element}\b".encode(), page)) != 1:
        sys.exit(f"embed.py: the page must have one <{element}>, without attributes")
    return "'sha256-" + base64.b64encode(hashlib.sha256(found[0]).digest()).decode() + "'"


def policy(page):
    return "; ".join([
        "default-src 'none'",
        f"script-src {source_hash(page, 'script')}",
        f"style-src {source_hash(page, 'style')}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ])


def main(path):
    page = pathlib.Path(path).read_bytes()
    if not page.isascii() or b"\r" in page:
        sys.exit("embed.py: the page must be ASCII with line feeds")
    lines = [", ".join(map(str, page[i : i + 24])) for i in range(0, len(page), 24)]
    print(TEMPLATE.format(name=pathlib.Path(path).name, numbers=",\n".join(lines),
                          policy='"' + policy(page) + '"'), end="")


if __name__ == "__main__":
    main(sys.argv[1])
