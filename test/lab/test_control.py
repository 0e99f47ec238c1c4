# SPDX-License-Identifier: BSD-2-Clause
"""The control socket and the commands that ask on it, beside real traffic."""

import os
import re
import socket
import stat
import subprocess

import pytest
from control_client import ask, connect, receive, rows, run, send, warnings
from fluxpin import Fluxpin, configuration, http_health_check, pool, vips
from lab import CLIENT_ADDRESS, fluxpin_path
from namespaces import wait_until

SMALL = {"capacity": 65536}  # goes over it are fast under sanitizers, too
COMMANDS = ["status", "vips", "backends", "connections", "reload", "warnings"]


def start(lab, **more):
    """Serves every queue, so that nothing is wrong."""
    return Fluxpin(lab, configuration([pool(lab)], vips(lab), **more), queues="0-3")


def get(lab, requests):
    result = lab.load("http", lab.http_vip, "--requests", requests).result()
    assert result["failed_count"] == 0, result
    return result["by_backend"]


def test_status_vips_and_backends_tell_what_the_metrics_tell(lab):
    with start(lab) as fluxpin:
        served = get(lab, 60)
        metrics = fluxpin.quiescent()
        status = ask(fluxpin, "status")
        totals = status["totals"]
        assert status["pid"] == fluxpin.process.pid
        assert status["configuration"]["file"] == str(fluxpin.file)
        assert (status["warnings"], status["drains"]) == (0, [])
        assert len(status["workers"]) == 4
        for name in ("received", "forwarded", "slow_path", "answered", "dropped"):
            of_workers = sum(each["counters"][f"{name}_packets"] for each in status["workers"])
            assert totals[f"{name}_packets"] == of_workers
        assert totals["forwarded_packets"] == metrics.sum("fluxpin_worker_forwarded_packets_total")
        assert {sum(each["umem_frames"].values()) for each in status["workers"]} == {8192}

        by_name = {each["name"]: each for each in ask(fluxpin, "vips")["vips"]}
        assert by_name["web"]["packets"] == metrics.sum("fluxpin_vip_packets_total", vip="web")
        assert by_name["web"]["serving"] == by_name["web"]["backends"] == 3
        backends = {each["name"]: each for each in ask(fluxpin, "backends")["backends"]}
        assert {name: each["flows"] for name, each in backends.items()} == served
        for name, each in backends.items():
            assert each["packets"] == metrics.sum("fluxpin_backend_packets_total", backend=name)
            assert each["next_hops"] == {"eth0": "resolved"}
            assert (each["state"], each["weight"], each["serves"]) == ("unchecked", 100, True)


def test_tables_are_for_people(lab):
    with start(lab) as fluxpin:
        get(lab, 10)
        done = run(fluxpin, "backends")
        assert done.status == 0
        lines = done.output.splitlines()
        assert [each[0] for each in rows(done.output)] == [
            "BACKEND", "web/web-1", "web/web-2", "web/web-3"]
        assert len({len(line) for line in lines}) == 1, "numbers in the last column are not aligned"
        assert "203.0.113.10" in run(fluxpin, "vips").output
        assert re.search(r"^packets +received \d+, forwarded \d+", run(fluxpin, "status").output, re.M)


@pytest.mark.sanitizer
def test_connections_are_counted_and_found(lab):
    """Also under ThreadSanitizer: the workers count in memory of the control thread."""
    with start(lab, connections=SMALL) as fluxpin:
        udp = lab.load("udp", lab.dns_vip, "--source-ports", 40).result()
        assert udp["failed_count"] == 0, udp
        load = lab.load("http", lab.http_vip, "--requests", 50, "--ports").result()
        assert load["failed_count"] == 0
        found = ask(fluxpin, "connections", "--sample", "1000")
        assert found["flows"] == sum(found["by_state"].values()) == 90
        assert found["by_state"]["closing"] == 50
        assert {tuple(each["vips"]): each["flows"] for each in found["by_vip"]} == {
            ("web",): 50, ("dns",): 40}
        assert sum(each["flows"] for each in found["by_backend"]) == 90
        assert len({each["hash"] for each in found["sample"]}) == 90
        some = ask(fluxpin, "connections", "--sample", "7")
        assert len(some["sample"]) == 7
        of_one = ask(fluxpin, "connections", "--sample", "1000", "--backend", "web/web-2")["sample"]
        assert {each["backend"] for each in of_one} == {"web-2"}
        assert len(of_one) == next(
            each["flows"] for each in found["by_backend"] if each["backend"] == "web-2")

        for port, backend in list(load["ports"].items())[:10]:
            flow = f"tcp {CLIENT_ADDRESS}:{port} {lab.http_vip}:80"
            one = ask(fluxpin, "connections", flow)
            assert (one["vip"], one["verdict"], one["by_hash"]) == ("web", "forward", backend)
            (entry,) = one["entries"]
            assert (entry["backend"], entry["state"], entry["vip"]) == (backend, "closing", "web")
            assert entry["hash"] == one["hash"] and entry["interface"] == "eth0"
        unknown = ask(fluxpin, "connections", f"tcp {CLIENT_ADDRESS}:1 {lab.http_vip}:80")
        assert unknown["entries"] == []
        assert ask(fluxpin, "connections", "tcp 10.9.9.9:1 10.8.8.8:1") == {
            "ok": True, "verdict": "slow_path", "entries": []}
        assert "tracked   by no worker" in run(
            fluxpin, "connections", f"tcp {CLIENT_ADDRESS}:1 {lab.http_vip}:80").output


def test_a_drain_gives_no_new_flows_keeps_old_ones_and_waits_for_them(lab):
    with start(lab, connections={**SMALL, "tcp_closing_idle": "1s"}) as fluxpin:
        load = lab.load("keepalive", lab.http_vip, "--parallel", 30)
        assert load.wait_for_line() == "holding"
        done = run(fluxpin, "drain", "web/web-1")
        assert done.status == 0 and re.fullmatch(
            r"web/web-1: drained, \d+ flows? left, 0 of them closing\n", done.output), done
        wait_until(lambda: ask(fluxpin, "backends")["backends"][0]["weight"] == 0, 5, "a drain")
        assert set(get(lab, 60)) == {"web-2", "web-3"}
        # It survives a reload, status shows it, and a second one changes nothing.
        assert run(fluxpin, "reload").status == 0
        assert [each["backend"] for each in ask(fluxpin, "status")["drains"]] == ["web/web-1"]
        assert run(fluxpin, "drain", "web/web-1").status == 0
        assert set(get(lab, 60)) == {"web-2", "web-3"}
        # The connections that are open keep it from being empty; requests on them go on.
        late = run(fluxpin, "drain", "web/web-1", "--wait", "--timeout", "1s")
        assert late.status == 1
        assert re.search(r"web/web-1: \d+ flows? left after 1s", late.errors), late
        result = load.result()
        assert result["failed_count"] == 0 and result["moved"] == 0, result
        done = run(fluxpin, "drain", "web/web-1", "--wait", "--timeout", "60s")
        assert (done.status, done.output) == (0, "web/web-1: drained, no flows are left\n")
        assert run(fluxpin, "undrain", "web/web-1").status == 0
        wait_until(lambda: ask(fluxpin, "backends")["backends"][0]["weight"] == 100, 5, "its weight")
        assert set(get(lab, 60)) == {"web-1", "web-2", "web-3"}
        assert run(fluxpin, "undrain", "web/web-1").output == "web/web-1: was not drained\n"
        # Programs get one document, also when it is refused.
        for command in (["drain"], ["drain", "--wait"], ["undrain"]):
            refused = run(fluxpin, *command, "web/web-9", "--json")
            assert refused.status == 1 and not refused.json()["ok"], refused
            assert "web-9" in refused.json()["errors"][0] and "web-9" in refused.errors
        assert "drain web/web-1, by process" in fluxpin.log()


def test_an_undrain_tells_of_drains_that_stay(lab):
    """One in a pool that is contained holds in those that contain it, whatever is undone there."""
    text = configuration([pool(lab, "inner"), {"name": "web", "pools": ["inner"]}], vips(lab))
    with Fluxpin(lab, text.replace('["inner"]', '("inner")')) as fluxpin:
        for each in ("inner/web-1", "web/web-1"):
            assert run(fluxpin, "drain", each).status == 0
        done = run(fluxpin, "undrain", "web/web-1")
        assert done.output == ("web/web-1: gets no new flows still: drained as inner/web-1, too "
                               "(fluxpin undrain inner/web-1)\n")
        reply = ask(fluxpin, "undrain", "web/web-1")
        assert (reply["was_drained"], reply["drained_by"]) == (False, ["inner/web-1"])
        assert run(fluxpin, "drain", "web/web-1").status == 0
        # What the containing pool has does not hold in the other one.
        assert run(fluxpin, "undrain", "inner/web-1").output == "inner/web-1: gets new flows again\n"
        reply = ask(fluxpin, "undrain", "web/web-1")
        assert (reply["was_drained"], reply["drained_by"]) == (True, [])


def test_a_drain_says_when_it_is_in_force(lab):
    """Until workers know of it, no flows are no proof; `drain --wait` goes by this."""
    with Fluxpin(lab, configuration([pool(lab)], vips(lab), connections=SMALL)) as fluxpin:
        connection = connect(fluxpin.control)
        send(connection, {"command": "drain", "backend": "web/web-1"})
        reply = receive(connection)
        assert (reply["drained"], reply["in_force"], reply["flows"]) == (True, False, 0)

        def in_force():
            send(connection, {"command": "flows", "backend": "web/web-1"})
            return receive(connection)["in_force"]

        wait_until(in_force, 10, "a drain in force")
        assert ask(fluxpin, "backends")["backends"][0]["weight"] == 0
        connection.close()


def test_a_reload_waits_and_says_what_changed_or_what_is_wrong(lab):
    two = [{"name": each.name_in_pool, "address": each.address} for each in lab.backends[:2]]
    with start(lab) as fluxpin:
        new = configuration([pool(lab, backends=[{**two[0], "weight": 7}, two[1]])], vips(lab)[:1],
                            umem={"frames": 4096})
        other = fluxpin.directory / "other.conf"
        text = fluxpin.file.read_text()
        fluxpin.write(new)
        expected = ["~ umem.frames 8192 -> 4096 (takes a restart)", "- backend web/web-3",
                    "~ backend web/web-1: weight 100 -> 7", "- VIP dns"]
        # diff says the same before, and changes nothing.
        other.write_text(fluxpin.file.read_text())
        done = run(fluxpin, "diff", "-c", other)
        assert done.status == 1 and sorted(done.output.splitlines()) == sorted(expected), done
        assert ask(fluxpin, "status")["configuration"]["generation"] == 1
        done = run(fluxpin, "reload")
        lines = done.output.splitlines()
        assert done.status == 0 and lines[0] == "generation 2 is active, 4 changes", done
        assert sorted(lines[1:]) == sorted(expected)
        assert "control: reload, by process" in fluxpin.log()
        # What takes a restart is told until there was one, and once only.
        assert warnings(fluxpin, "restart") == [
            f"umem changed in {fluxpin.file}: that is not in force until fluxpin is restarted"]
        # It is still different; a file of before would change the rest.
        assert run(fluxpin, "diff", "-c", other).output == expected[0] + "\n"
        other.write_text(text)
        assert "+ backend web/web-3" in run(fluxpin, "diff", "-c", other).output.splitlines()
        # The interfaces are the command line's: the file's do not count.
        assert not any("interface" in line for line in expected)

        broken = text.replace('"web-2"', '"web-1"').replace("port = 53;", "port = 99999;")
        fluxpin.file.write_text(broken)
        done = run(fluxpin, "reload")
        check = subprocess.run([lab.fluxpin, "check", "--offline", "-c", fluxpin.file],
                               capture_output=True, text=True, check=False)
        assert (done.status, done.output) == (1, "")
        assert check.returncode == 1 and check.stderr.count("^") == 2
        assert done.errors == check.stderr + (
            "fluxpin reload: refused: generation 2 stays active\n"), done
        refused = run(fluxpin, "reload", "--json")
        assert refused.status == 1 and len(refused.json()["errors"]) == 2
        assert run(fluxpin, "diff", "-c", fluxpin.file).status == 1
        assert "the last reload was refused" in run(fluxpin, "warnings").output
        # A valid file, of which something else is missing.
        missing = {"type": "https", "port": 443, "ca_file": "/nonexistent.pem"}
        fluxpin.write(configuration([pool(lab, health_check=missing)], vips(lab)))
        done = run(fluxpin, "reload")
        assert (done.status, done.output) == (1, "")
        assert re.search(r"cannot be made active: No such file .* log says what failed", done.errors), done
        assert "CA file /nonexistent.pem: No such file" in fluxpin.log()
        fluxpin.file.write_text(text)
        assert run(fluxpin, "reload").status == 0
        assert run(fluxpin, "diff", "-c", fluxpin.file).status == 0
        assert run(fluxpin, "warnings").status == 0


def test_warnings_are_sentences_about_what_is_wrong_now(lab):
    gone = {"name": "gone", "address": "10.0.0.99"}
    with start(lab) as fluxpin:
        get(lab, 10)
        done = run(fluxpin, "warnings")
        assert (done.status, done.output) == (0, "")
        for name, left in (("web-1", True), ("web-2", True), ("web-3", False)):
            done = run(fluxpin, "drain", f"web/{name}")
            assert done.status == 0
            assert ("no backend of pool web serves now" in done.errors) != left
        assert ask(fluxpin, "drain", "web/web-3")["exhausted_pools"] == ["web"]
        done = wait_until(lambda: next(filter(lambda each: each.status, [run(fluxpin, "warnings")]),
                                       None), 5, "a warning")
        assert "pool web: no backend serves" in done.output
        lab.load("http", lab.http_vip, "--requests", 1, "--timeout", "0.3").result()
        assert re.search(r"packets were dropped .* as no_backend", run(fluxpin, "warnings").output)
        for name in ("web-1", "web-2", "web-3"):
            assert run(fluxpin, "undrain", f"web/{name}").status == 0
        with_gone = [*(dict(name=each.name_in_pool, address=each.address) for each in lab.backends),
                     gone]
        fluxpin.write(configuration([pool(lab, backends=with_gone)], vips(lab)))
        assert run(fluxpin, "reload").status == 0
        assert run(fluxpin, "warnings", "--json").status == 1
        assert ("backend web/gone gets no traffic by eth0, its packets are dropped: no neighbour"
                in warnings(fluxpin))


def test_the_next_hop_of_a_backend_that_is_down_is_told(lab):
    """Nobody misses it, but who asks why it is down is not told that all is well."""
    checked = configuration([pool(lab, health_check=http_health_check())], vips(lab))
    with Fluxpin(lab, checked, queues="0-3") as fluxpin:
        lab.lb.ip(f"route add unreachable {lab.backends[1].address}")
        try:
            fluxpin.wait_for_log("web/web-2 .* is down")
            down = wait_until(lambda: next((each for each in ask(fluxpin, "backends")["backends"]
                                            if each["state"] == "down"), None), 5, "down")
            assert (down["name"], down["next_hops"]) == ("web-2", {"eth0": "no route"})
            assert not warnings(fluxpin, "next_hop")
        finally:
            lab.lb.ip(f"route del unreachable {lab.backends[1].address}")
        fluxpin.wait_for_log("web/web-2 .* is up")


# The socket


def test_without_a_daemon_every_command_says_what_to_do(lab):
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False)
    for command in [*COMMANDS, "undrain web/a", "drain web/a", f"diff -c {fluxpin.file}"]:
        done = run(fluxpin, *command.split())
        assert done.status == 3 and done.output == "", (command, done)
        assert "Is the daemon running" in done.errors
    for usage in (["status", "x"], ["drain"], ["drain", "a/b", "--timeout", "5s"], ["undrain", "a/b", "c"],
                  ["diff"], ["connections", "--sample", "1001"], ["vips", "--nonsense"]):
        assert run(fluxpin, *usage).status == 2, usage
    abandoned = socket.socket(socket.AF_UNIX)
    abandoned.bind(str(fluxpin.control))
    abandoned.close()
    done = run(fluxpin, "status")
    assert done.status == 3 and "the daemon was killed" in done.errors
    fluxpin.control.unlink()


def test_a_reload_is_waited_for_longer_than_anything_else(tmp_path):
    """A server of the test's own keeps both waiting until one has given up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    started, taken = {}, {}
    for command in ("reload", "status"):
        started[command] = subprocess.Popen(
            [fluxpin_path(), command, "--control", tmp_path / "socket"], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        taken[command] = listener.accept()[0]
        assert command in taken[command].recv(100).decode()
    _, errors = started["status"].communicate(timeout=60)
    assert started["status"].returncode == 3
    assert "did not answer within 5 seconds" in errors
    taken["reload"].sendall(b'{"ok": true, "generation": 2, "findings": "", "changes": []}\n')
    output, errors = started["reload"].communicate(timeout=60)
    assert (started["reload"].returncode, output, errors) == (
        0, "generation 2 is active, nothing changed\n", "")
    for each in (listener, *taken.values()):
        each.close()


def test_the_socket_is_private_and_replaces_that_of_a_killed_daemon(lab):
    with start(lab) as fluxpin:
        mode = fluxpin.control.stat().st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
        peer = dict(user=65534, group=65534, extra_groups=[])
        denied = subprocess.run(
            [lab.fluxpin, "status", "--control", fluxpin.control], capture_output=True, text=True,
            check=False, **peer)
        assert denied.returncode == 3 and "Only root" in denied.stderr
        fluxpin.kill9()
        assert fluxpin.control.exists()
        fluxpin.start()
        assert ask(fluxpin, "status")["pid"] == fluxpin.process.pid


def failed_start(lab, control, text=None):
    """What a daemon says that must not start."""
    fluxpin = Fluxpin(lab, text or configuration([pool(lab)], vips(lab)), start=False,
                      arguments=["--control", control])
    process = lab.lb.popen(fluxpin.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 1, errors
    assert lab.lb.xdp() is None
    return errors


def test_a_path_that_cannot_be_had_is_a_clear_error(lab):
    folder = lab.lb.directory
    missing = folder / "missing" / "control.sock"
    errors = failed_start(lab, missing)
    assert f"{missing}: the folder {missing.parent} does not exist" in errors
    # An igb would have lost its link for seconds, at each try of the service manager.
    assert "queue 0" not in errors, "it took the NIC first"
    file = folder / "precious"
    file.write_text("mine")
    assert f"{file}: there is something that is not a socket" in failed_start(lab, file)
    assert file.read_text() == "mine"
    living = socket.socket(socket.AF_UNIX)
    living.bind(str(folder / "living.sock"))
    living.listen()
    errors = failed_start(lab, folder / "living.sock")
    assert "another process answers there" in errors
    assert stat.S_ISSOCK(os.lstat(folder / "living.sock").st_mode)
    living.close()


def test_the_folder_of_the_usual_path_is_made_and_removed(lab):
    """In a mount namespace with a /run of its own."""
    fluxpin = Fluxpin(lab, configuration([pool(lab)], vips(lab)), start=False,
                      arguments=["--control", "/run/fluxpin/control.sock"])
    script = 'mount -t tmpfs none /run && "$@"; ls -A /run; echo "exit $?"'
    process = lab.lb.popen(["unshare", "-m", "sh", "-c", script, "sh", *fluxpin.command],
                           stdout=subprocess.PIPE, stderr=open(fluxpin.log_file, "w"))
    fluxpin.process = process
    fluxpin.wait_for_log(r"\bready\b")
    pid = int(lab.lb.output(["pgrep", "-P", str(process.pid)]))
    inside = f"/proc/{pid}/root/run/fluxpin/control.sock"
    assert stat.S_IMODE(os.stat(os.path.dirname(inside)).st_mode) == 0o755
    assert run(fluxpin, "status", control=inside).status == 0
    os.kill(pid, 15)
    assert process.communicate(timeout=20)[0] == "exit 0\n"


def test_a_reload_moves_the_socket_and_clients_stay(lab):
    text = configuration([pool(lab)], vips(lab))
    with start(lab) as fluxpin:
        first, second = fluxpin.control, fluxpin.directory / "second.sock"
        connection = connect(first)
        fluxpin.write(f'control = "{second}";\n{text}')
        done = run(fluxpin, "reload")
        assert done.status == 0 and f"~ control {first} -> {second}" in done.output, done
        assert not first.exists() and run(fluxpin, "status", control=second).status == 0
        send(connection, {"command": "status"})
        assert receive(connection)["ok"]
        # One that cannot be opened leaves the old one.
        fluxpin.write(f'control = "{fluxpin.directory}/no/such.sock";\n{text}')
        assert run(fluxpin, "reload", control=second).status == 0
        assert run(fluxpin, "status", control=second).status == 0
        assert f"control socket {second}: kept" in fluxpin.log()
        fluxpin.write(text)
        assert run(fluxpin, "reload", control=second).status == 0
        assert not second.exists() and run(fluxpin, "status").status == 0
        # A socket that somebody else has put there is not ours to remove.
        first.unlink()
        first.write_text("other")
        fluxpin.write(f'control = "{second}";\n{text}')
        assert fluxpin.reload(f'control = "{second}";\n{text}')
        assert first.read_text() == "other"
        first.unlink()
        fluxpin.reload(text)
