# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of VLANs share: frames under tags, and what a frame that is sent brings about."""

from capture import Capture
from test_frames import send

from namespaces import wait_until

PAYLOAD = bytes(range(200))


def tagged(frame, tags):
    frame = bytes(frame)
    return frame[:12] + tags + frame[12:]


def untagged(frame, tags):
    assert frame[12 : 12 + len(tags)] == tags, frame.hex()
    return frame[:12] + frame[12 + len(tags) :]


def answer(lab, namespace, interface, frame, is_wanted=lambda frame: PAYLOAD in frame):
    """The one frame that the interface gets of the kind that is wanted, when `frame` is sent."""
    with Capture(namespace, interface) as capture:
        def seen():
            return [each for _, each in list(capture.frames) if is_wanted(each)]

        send(lab, frame)
        wait_until(seen, 10, "frame")
    assert len(seen()) == 1, seen()
    return seen()[0]
