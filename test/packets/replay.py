# SPDX-License-Identifier: BSD-2-Clause
"""Runs frames through `fluxpin replay` and gives back what became of each."""

import dataclasses
import json
import os
import pathlib
import struct
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLUXPIN = os.environ.get("FLUXPIN", str(ROOT / "build/dev/src/cli/fluxpin"))
MICROSECONDS, NANOSECONDS, ETHERNET = 0xA1B2C3D4, 0xA1B23C4D, 1


# What was sent by all runs so far, without repetitions: frame: configuration. The last test of all
# dissects them (test_outputs.py).
SENT = {}
# Of a run: tests of many more are about something else, and dissect what they have to themselves.
MOST_REMEMBERED = 10000


def write_capture(path, frames, magic=MICROSECONDS, link=ETHERNET):
    """frames: bytes, or (seconds, bytes); those without a time are a millisecond apart."""
    unit = 10**9 if magic == NANOSECONDS else 10**6
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, 262144, link))
        for number, frame in enumerate(frames):
            time, data = frame if isinstance(frame, tuple) else (1000 + number / 1000, frame)
            ticks = round(time * unit)
            file.write(struct.pack("<IIII", ticks // unit, ticks % unit, len(data), len(data)))
            file.write(data)


def read_capture(path):
    """[(time in the file's own ticks, bytes)]"""
    data = pathlib.Path(path).read_bytes()
    magic, _, _, _, _, _, link = struct.unpack_from("<IHHiIII", data)
    assert link == ETHERNET
    unit = 10**9 if magic == NANOSECONDS else 10**6
    frames, offset = [], 24
    while offset < len(data):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", data, offset)
        assert captured == length
        offset += 16
        frames.append((seconds * unit + fraction, data[offset : offset + length]))
        offset += length
    return frames


@dataclasses.dataclass
class Replayed:
    """What one run gave."""

    status: int
    summary: dict
    stderr: str
    sent: list = dataclasses.field(default_factory=list)  # (ticks, bytes)
    slow_path: list = dataclasses.field(default_factory=list)
    drops: dict = dataclasses.field(default_factory=dict)  # frame number: reason
    raw: dict = dataclasses.field(default_factory=dict)  # the output files' bytes


def replay(configuration, frames, *arguments, events=None, files=None, magic=MICROSECONDS):
    """Writes the files, runs fluxpin replay, and reads what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder)
        (directory / "fluxpin.conf").write_text(configuration)
        for name, text in (files or {}).items():
            (directory / name).write_text(text)
        write_capture(directory / "in.pcap", frames, magic)
        command = [FLUXPIN, "replay", "-c", "fluxpin.conf", "-r", "in.pcap", "-w", "out.pcap",
                   "--slow-path", "slow.pcap", "--drops", "drops.csv", "--json", *map(str, arguments)]
        if events is not None:
            (directory / "events").write_text(events)
            command += ["--events", "events"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300,
                              check=False)
        result = Replayed(done.returncode, json.loads(done.stdout or "{}"), done.stderr)
        if done.returncode == 0:
            result.sent = read_capture(directory / "out.pcap")
            if len(result.sent) <= MOST_REMEMBERED:
                SENT.update((data, configuration) for _, data in result.sent)
            result.slow_path = read_capture(directory / "slow.pcap")
            lines = (directory / "drops.csv").read_text().splitlines()
            assert lines[0] == "frame,reason"
            for line in lines[1:]:
                number, reason = line.split(",")
                assert int(number) not in result.drops, "a frame was dropped twice"
                result.drops[int(number)] = reason
            result.raw = {name: (directory / name).read_bytes()
                          for name in ("out.pcap", "slow.pcap", "drops.csv")}
        return result
