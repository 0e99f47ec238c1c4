# SPDX-License-Identifier: BSD-2-Clause
"""The command itself: files, clock, workers, events, determinism."""

import random
import subprocess

import pytest
from frames import BACKENDS, CONFIGURATION, DNS_VIP, encapsulated, tcp, udp
from replay import FLUXPIN, NANOSECONDS, read_capture, replay, write_capture

NAMES = {address: name for name, address in BACKENDS.items()}


def backend_of(frame):
    return NAMES[".".join(map(str, frame[30:34]))]


def run(*arguments, cwd):
    return subprocess.run([FLUXPIN, "replay", *arguments], cwd=cwd, capture_output=True, text=True,
                          check=False)


def flows(count, flags="S"):
    return [tcp(source_port=1024 + number, flags=flags) for number in range(count)]


def test_two_runs_give_the_same_bytes():
    generator = random.Random(3)
    frames = flows(500) + [udp(source_port=generator.randrange(1, 65536)) for _ in range(500)]
    generator.shuffle(frames)
    for workers in (1, 3):
        first = replay(CONFIGURATION, frames, "--workers", workers)
        second = replay(CONFIGURATION, frames, "--workers", workers)
        assert first.status == 0
        assert first.raw == second.raw
        assert first.summary == second.summary


def test_workers_do_not_change_what_is_sent():
    frames = flows(300) + flows(300, "A")
    one = replay(CONFIGURATION, frames)
    assert replay(CONFIGURATION, frames, "--workers", 7).raw == one.raw


@pytest.mark.parametrize("magic", [0xA1B2C3D4, NANOSECONDS])
def test_times_are_those_of_the_frames(magic):
    times = [0.000001, 1.5, 1.500001, 1234567890.123456]
    frames = [(time, tcp(source_port=1 + number)) for number, time in enumerate(times)]
    result = replay(CONFIGURATION, frames, magic=magic)
    unit = 10**9 if magic == NANOSECONDS else 10**6
    assert [ticks for ticks, _ in result.sent] == [round(time * unit) for time in times]


def test_a_flow_stays_when_a_backend_comes(tmp_path):
    fewer = CONFIGURATION.replace('{ name = "web-3"; address = "10.1.0.13"; }', "").replace(
        '"10.1.0.12"; },', '"10.1.0.12"; }')
    frames = [(1.0, frame) for frame in flows(200)] + [(3.0, frame) for frame in flows(200, "A")]
    result = replay(fewer, frames, events="1 reload more.conf", files={"more.conf": CONFIGURATION})
    assert result.status == 0, result.stderr
    before = [backend_of(data) for ticks, data in result.sent if ticks == 10**6]
    after = [backend_of(data) for ticks, data in result.sent if ticks == 3 * 10**6]
    assert before == after and set(after) == {"web-1", "web-2"}
    fresh = replay(CONFIGURATION, flows(200))
    assert "web-3" in {backend_of(data) for _, data in fresh.sent}


def test_down_up_drain_and_undrain():
    times = [1.0, 2.0, 3.0, 4.0, 5.0]
    frames = [(time, frame) for time in times
              for frame in flows(100, "S" if time == 1.0 else "A")]
    frames += [(time + 0.5, udp(source_port=int(1000 * time) + n)) for time in times
               for n in range(100)]
    frames.sort(key=lambda each: each[0])
    events = "1 down web/web-1   2 up web/web-1\n3 drain web/web-2  # comment\n\n4 undrain web/web-2\n"
    result = replay(CONFIGURATION, frames, events=events)
    assert result.status == 0, result.stderr

    def used(time):
        return [backend_of(data) for ticks, data in result.sent if ticks == round(time * 10**6)]

    assert set(used(1.5)) == {"web-1", "web-2", "web-3"}
    assert "web-1" not in used(2.0) and "web-1" not in used(2.5)
    kept = [(old, new) for old, new in zip(used(1.0), used(2.0)) if old != "web-1"]
    assert all(old == new for old, new in kept) and kept
    assert used(3.0) == used(2.0), "up again: tracked flows stay where they are now"
    assert "web-1" in used(3.5)
    assert used(4.0) == used(3.0), "draining keeps its flows"
    assert "web-2" in used(4.0) and "web-2" not in used(4.5)
    assert "web-2" in used(5.5)


def test_all_backends_down_drops():
    events = "".join(f"0 down web/{name}\n" for name in BACKENDS)
    result = replay(CONFIGURATION, flows(10), events=events)
    assert result.summary["dropped"] == {"total": 10, "by_reason": {"no_backend": 10}}


def test_mtu():
    frame = tcp(flags="A", payload=b"x" * 1460)
    split = replay(CONFIGURATION, [frame], "--mtu", 1523)
    assert (split.summary["forwarded"], split.summary["parts_sent"]) == (1, 1)
    assert len(split.sent) == 2
    sent = replay(CONFIGURATION, [frame], "--mtu", 1524).sent
    assert [data in [encapsulated(frame, each) for each in BACKENDS.values()]
            for _, data in sent] == [True]


def test_idle_flows_are_forgotten():
    text = CONFIGURATION + 'connections = { udp_idle = "10s"; tcp_idle = "30s"; };\n'
    more = text.replace('{ name = "web-3"; address = "10.1.0.13"; }', "").replace(
        '"10.1.0.12"; },', '"10.1.0.12"; }')
    frames = [udp(source_port=number) for number in range(1, 200)]
    for gap, same in ((9, True), (12, False)):
        timed = [(1.0, frame) for frame in frames] + [(1.0 + gap, frame) for frame in frames]
        result = replay(more, timed, events="0.5 reload more.conf", files={"more.conf": text})
        before = [backend_of(data) for _, data in result.sent[: len(frames)]]
        after = [backend_of(data) for _, data in result.sent[len(frames) :]]
        assert (before == after) == same


@pytest.mark.parametrize("events, message", [
    ("1 down web", "not POOL/BACKEND"),
    ("1 stop web/web-1", "not down, up, drain, undrain or reload"),
    ("x down web/web-1", "not a time in seconds"),
    ("-1 down web/web-1", "not a time in seconds"),
    ("1 down", "nothing behind"),
    ("1 down web/web-9", "no configuration has the backend web/web-9"),
    ("1 reload missing.conf", "cannot reload"),
])
def test_bad_events(events, message):
    result = replay(CONFIGURATION, flows(1), events=events)
    assert result.status == 1
    assert message in result.stderr


def test_bad_files(tmp_path):
    (tmp_path / "ok.conf").write_text(CONFIGURATION)
    (tmp_path / "bad.conf").write_text(CONFIGURATION + "nonsense = 1;\n")
    write_capture(tmp_path / "in.pcap", flows(3))
    whole = (tmp_path / "in.pcap").read_bytes()
    (tmp_path / "cut.pcap").write_bytes(whole[:-5])
    (tmp_path / "cut-header.pcap").write_bytes(whole[:10])
    (tmp_path / "empty.pcap").write_bytes(b"")
    (tmp_path / "garbage.pcap").write_bytes(b"this is not a capture file at all")
    write_capture(tmp_path / "wifi.pcap", flows(1), link=105)
    for arguments, message in (
        (("-c", "bad.conf", "-r", "in.pcap"), 'nonsense'),
        (("-c", "no.conf", "-r", "in.pcap"), "no.conf"),
        (("-c", "ok.conf", "-r", "no.pcap"), "no.pcap: No such file"),
        (("-c", "ok.conf", "-r", "cut.pcap"), "cut.pcap: after frame 2: truncated"),
        (("-c", "ok.conf", "-r", "cut-header.pcap"), "cut-header.pcap"),
        (("-c", "ok.conf", "-r", "empty.pcap"), "empty.pcap: empty or cut off"),
        (("-c", "ok.conf", "-r", "garbage.pcap"), "garbage.pcap"),
        (("-c", "ok.conf", "-r", "wifi.pcap"), "is not Ethernet"),
        (("-c", "ok.conf", "-r", "in.pcap", "-w", "no/out.pcap"), "no/out.pcap"),
        (("-c", "ok.conf", "-r", "in.pcap", "--drops", "no/drops"), "no/drops"),
        (("-c", "ok.conf", "-r", "in.pcap", "-w", "/dev/full"), "/dev/full: could not be written"),
    ):
        done = run(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, ""), (arguments, done)
        assert message in done.stderr, (arguments, done.stderr)


@pytest.mark.parametrize("arguments", [
    (), ("-c", "x"), ("-r", "x"), ("-c", "x", "-r", "y", "z"), ("-c", "x", "-r", "y", "--mtu", "67"),
    ("-c", "x", "-r", "y", "--workers", "0"), ("-c", "x", "-r", "y", "--workers", "two"),
    ("--nonsense",),
])
def test_wrong_usage(arguments, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and "usage:" in done.stderr


def test_an_empty_capture(tmp_path):
    result = replay(CONFIGURATION, [])
    assert result.status == 0 and result.summary["frames"] == 0
    assert (result.sent, result.slow_path, result.drops) == ([], [], {})


def test_without_json_a_table_is_printed(tmp_path):
    (tmp_path / "a.conf").write_text(CONFIGURATION)
    write_capture(tmp_path / "in.pcap", flows(4) + [udp(DNS_VIP)])
    done = run("-c", "a.conf", "-r", "in.pcap", "-w", "out.pcap", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "forwarded             5" in done.stdout
    assert len(read_capture(tmp_path / "out.pcap")) == 5
