# SPDX-License-Identifier: BSD-2-Clause
"""Frames as they pass an interface of the lab, with the kernel's times."""

import collections
import socket
import struct
import threading
import time

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
TP_STATUS_VLAN_VALID = 1 << 4
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33

# One encapsulated packet: time in seconds, the backend's address, and the inner packet's fields.
Forwarded = collections.namedtuple(
    "Forwarded", "time backend protocol source source_port destination destination_port flags"
)


def put_tag_back(frame, ancillary):
    """A frame of a packet socket with PACKET_AUXDATA, with the VLAN tag that the kernel gives apart
    from it."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            state, _, _, _, _, control, protocol = struct.unpack("=IIIHHHH", data)
            if state & TP_STATUS_VLAN_VALID:
                frame = frame[:12] + struct.pack(">HH", protocol, control) + frame[12:]
    return frame


class Capture:
    """Collects the frames that arrive on an interface: with Capture(router, "lb") as capture.

    frames: (time, bytes) in order, with their VLAN tags. `length` bytes of each frame are kept.
    """

    def __init__(self, namespace, interface, length=2048):
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.settimeout(0.1)
        self._length = length
        self._end = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.frames = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the capture with the last frame that came before this call."""
        if self._end is None:
            self._end = time.time()
            self._thread.join()
            self._socket.close()

    def _read(self):
        while True:
            try:
                frame, ancillary, _, _ = self._socket.recvmsg(self._length, 256)
            except socket.timeout:
                if self._end is not None:
                    return
                continue
            arrived = next(_seconds(data) for level, kind, data in ancillary
                           if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))
            if self._end is not None and arrived > self._end:
                return
            self.frames.append((arrived, put_tag_back(frame, ancillary)))

    def forwarded(self):
        """The frames that are TCP or UDP over IPv4 in GRE over IPv4, decoded."""
        return [packet for packet in map(_decode, list(self.frames)) if packet]


def _seconds(timespec):
    seconds, nanoseconds = struct.unpack("qq", timespec)
    return seconds + nanoseconds / 1e9


def _decode(entry):
    time, frame = entry
    if len(frame) < 66 or frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_GRE:
        return None
    assert frame[14] == 0x45 and frame[34:38] == b"\0\0\x08\0", frame.hex()
    inner = frame[38:]
    transport = inner[(inner[0] & 15) * 4 :]
    source_port, destination_port = struct.unpack("!HH", transport[:4])
    return Forwarded(
        time,
        socket.inet_ntoa(frame[30:34]),
        inner[9],
        socket.inet_ntoa(inner[12:16]),
        source_port,
        socket.inet_ntoa(inner[16:20]),
        destination_port,
        transport[13] if inner[9] == socket.IPPROTO_TCP else 0,
    )
