# SPDX-License-Identifier: BSD-2-Clause
"""A million frames of every kind, over four workers, with events, twice: nothing crashes, the same
comes out, and every frame is accounted for in what is counted and in what is written."""

import collections
import hashlib
import json
import pathlib
import struct
import subprocess

import million
import pytest
from replay import FLUXPIN

IS_SANITIZED = b"__asan_init" in pathlib.Path(FLUXPIN).read_bytes()
COUNT = 50000 if IS_SANITIZED else 1000000
OUTPUTS = ("out.pcap", "slow.pcap", "drops.csv")


def run(folder, *arguments):
    return subprocess.run([FLUXPIN, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def records(path):
    """[(time, length)] of a capture."""
    data, offset = path.read_bytes(), 24
    while offset < len(data):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", data, offset)
        assert captured == length
        yield seconds * 1000000 + fraction, length
        offset += 16 + length


@pytest.fixture(scope="module", name="replayed")
def replay_twice(tmp_path_factory):
    """(summaries, digests) of two runs, and the folder with the second one's files."""
    folder = tmp_path_factory.mktemp("million")
    try:
        million.write(folder / "in.pcap", COUNT)
        for name, less in (("a.conf", 0), ("OTHER", 3), ("AGAIN", 7)):
            (folder / name).write_text(million.configuration(less))
        (folder / "events").write_text(million.EVENTS)
        summaries, digests = [], []
        for _ in range(2):
            done = run(folder, "replay", "-c", "a.conf", "-r", "in.pcap", "-w", OUTPUTS[0], "--slow-path",
                       OUTPUTS[1], "--drops", OUTPUTS[2], "--workers", "4", "--events", "events", "--json")
            assert done.returncode == 0, done.stderr[-2000:]
            summaries.append(json.loads(done.stdout))
            digests.append([hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in OUTPUTS])
        yield summaries, digests, folder
    finally:
        # 300 MB, which pytest would keep for three runs.
        for path in folder.iterdir():
            path.unlink()


def test_two_runs_are_identical(replayed):
    summaries, digests, _ = replayed
    assert summaries[0] == summaries[1]
    assert digests[0] == digests[1]


def test_verdicts_add_up(replayed):
    [summary, _], _, _ = replayed
    dropped = summary["dropped"]
    assert summary["frames"] == COUNT == (summary["forwarded"] + summary["slow_path"]
                                          + summary["answered"] + dropped["total"])
    assert sum(dropped["by_reason"].values()) == dropped["total"]
    assert sum(each["frames"] for each in summary["backends"]) == summary["forwarded"]


def test_files_hold_what_is_counted(replayed):
    [summary, _], _, folder = replayed
    sent, delivered = (list(records(folder / name)) for name in OUTPUTS[:2])
    assert len(sent) == summary["forwarded"] + summary["answered"] + summary["parts_sent"]
    assert len(delivered) == summary["slow_path"]
    assert sent == sorted(sent, key=lambda each: each[0])
    assert delivered == sorted(delivered, key=lambda each: each[0])
    header, *lines = (folder / OUTPUTS[2]).read_text().splitlines()
    assert header == "frame,reason"
    drops = [line.split(",") for line in lines]
    numbers = {int(number) for number, _ in drops}
    assert len(numbers) == len(drops) and numbers <= set(range(1, COUNT + 1))
    assert collections.Counter(reason for _, reason in drops) == summary["dropped"]["by_reason"]


def test_the_mixture_is_one(replayed):
    """All verdicts, most reasons: else the other tests would say little."""
    [summary, _], _, _ = replayed
    print(json.dumps(summary["dropped"]["by_reason"]))
    assert summary["forwarded"] > COUNT / 4 and summary["slow_path"] > COUNT / 20
    assert len(summary["dropped"]["by_reason"]) > 10
    assert summary["answered"] and summary["parts_sent"] and summary["decapsulated"]
    assert all(each["frames"] > 0 for each in summary["vips"] + summary["backends"])
