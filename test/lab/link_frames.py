# SPDX-License-Identifier: BSD-2-Clause
"""Frames made by hand, also under VLAN tags, sent from the router's end of the load balancer's link,
and what a frame that is sent brings about."""

import socket
import struct

from capture import Capture
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from lab import CLIENT_ADDRESS
from namespaces import wait_until

PAYLOAD = bytes(range(200))


def fix_neighbours(lab):
    """No neighbour is probed while frames are counted."""
    mac = lab.lb.mac().hex(":")
    lab.router.ip(f"neigh replace 10.0.0.5 lladdr {mac} dev lb nud permanent")
    mac = lab.router.mac("lb").hex(":")
    lab.lb.ip(f"neigh replace 10.0.0.1 lladdr {mac} dev eth0 nud permanent")


def ethernet(lab, **more):
    source, destination = lab.router.mac("lb").hex(":"), lab.lb.mac().hex(":")
    return Ether(**{"src": source, "dst": destination, **more})


def ip(destination, **more):
    return IP(src=CLIENT_ADDRESS, dst=destination, **more)


def send(lab, *frames):
    lab.router.send_frames("lb", *frames)


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


def tampered(frame, offset, value):
    """Bytes written over a frame."""
    frame = bytes(frame)
    return frame[:offset] + value + frame[offset + len(value) :]


def checksum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def assert_encapsulated(lab, sent, got, source, destination):
    """Every byte of a forwarded frame."""
    length = struct.unpack_from("!H", sent, 16)[0]
    assert got[:14] == lab.router.mac("lb") + lab.lb.mac() + b"\x08\x00"
    assert got[14] == 0x45
    assert got[15] == sent[15], "the inner packet's TOS"
    assert struct.unpack_from("!H", got, 16)[0] == length + 24
    assert got[20:22] == b"\x40\x00", "do not fragment"
    assert (got[22], got[23]) == (64, 47)
    assert checksum(got[14:34]) == 0xFFFF
    assert got[26:34] == socket.inet_aton(source) + socket.inet_aton(destination)
    assert got[34:38] == b"\x00\x00\x08\x00"
    assert got[38:] == sent[14 : 14 + length], "the inner packet, without padding"
