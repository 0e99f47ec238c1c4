# SPDX-License-Identifier: BSD-2-Clause
"""What tshark says of frames: a dissector that nobody here wrote."""

import dataclasses
import pathlib
import subprocess
import tempfile

from replay import ROOT, write_capture

GUE = ROOT / "conf/wireshark/gue.lua"
FIELDS = ("_ws.malformed", "frame.protocols", "ip.checksum.status", "udp.checksum.status",
          "gue.variant", "gue.control", "gue.hlen", "gue.proto", "gue.flags",
          "icmp.checksum.status", "icmpv6.checksum.status",
          "icmp.type", "icmpv6.type")
# Up to the transport layer: what the tables have for payload is no DNS or HTTP.
PAYLOAD = ("tcp.port==0-65535,data", "udp.port==0-6079,data", "udp.port==6081-49151,data")
GOOD, ABSENT = "1", "3"


@dataclasses.dataclass
class Dissected:
    is_malformed: bool
    protocols: list  # outermost first, without Ethernet
    ip_checksums: list  # GOOD, ABSENT or "0" for bad ones, outermost first
    udp_checksums: list
    gue: list  # variant, control, header words, protocol, flags; [] when there is none
    icmp_checksums: list
    icmp_types: list


def dissect(frames):
    """What tshark makes of each frame."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "frames.pcap"
        write_capture(path, frames)
        command = ["tshark", "-n", "-r", path, "-X", f"lua_script:{GUE}", "-T", "fields",
                   "-E", "occurrence=a", "-E", "aggregator=,", "-E", "separator=/t",
                   "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
                   "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE",
                   "-o", "ip.tso_support:FALSE",
                   "-o", "tcp.desegment_tcp_streams:FALSE",
                   "-o", "tcp.analyze_sequence_numbers:FALSE",
                   # RFC 6935 allows tunnels to send none.
                   "-o", "udp.ignore_ipv6_zero_checksum:TRUE"]
        for rule in PAYLOAD:
            command += ["-d", rule]
        for field in FIELDS:
            command += ["-e", field]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "lua" not in done.stderr.lower(), done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(frames)
    return [one(line.split("\t")) for line in lines]


def one(columns):
    values = [column.split(",") if column else [] for column in columns]
    malformed, protocols, ip_checksums, udp_checksums = values[:4]
    protocols = protocols[0].split(":")
    assert protocols[:2] == ["eth", "ethertype"]
    return Dissected(bool(malformed), protocols[2:], ip_checksums, udp_checksums,
                     [int(value[0], 0) for value in values[4:9] if value], values[9] + values[10],
                     values[11] + values[12])
