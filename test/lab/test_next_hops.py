# SPDX-License-Identifier: BSD-2-Clause
"""Next hops follow the kernel's routes and neighbours."""

import signal
import threading
import time

from fluxpin import Fluxpin, configuration, http_health_check, pool, vips
from namespaces import wait_until


def no_next_hop(metrics):
    return metrics.sum("fluxpin_worker_dropped_packets_total", reason="no_next_hop")


def test_a_backend_without_neighbour_is_its_own_drop_reason_and_warned_about_once(lab):
    silent = {"name": "silent", "address": "10.0.0.99"}  # on the LB's own link, and not there
    backends = [{"name": each.name_in_pool, "address": each.address} for each in lab.backends]
    text = configuration([pool(lab, backends=backends + [silent])], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        lab.load("udp", lab.dns_vip, "--source-ports", 100, "--timeout", 1).result()
        fluxpin.wait_for_log(r"backend web/silent \(10\.0\.0\.99\) gets no traffic by eth0")
        lab.load("udp", lab.dns_vip, "--source-ports", 100, "--timeout", 1).result()
        metrics = fluxpin.assert_balanced()
        assert no_next_hop(metrics) > 10
        assert no_next_hop(metrics) == metrics.sum("fluxpin_worker_dropped_packets_total")
        # It appears: an address of the router will do to resolve it.
        lab.router.ip("addr add 10.0.0.99/32 dev lb")
        try:
            fluxpin.wait_for_log(r"backend web/silent .*next hop resolved", 30)
        finally:
            lab.router.ip("addr del 10.0.0.99/32 dev lb")
        assert fluxpin.log().count("backend web/silent (10.0.0.99) gets no traffic") == 1


def test_a_warning_comes_also_where_something_always_changes(lab):
    silent = {"name": "silent", "address": "10.0.0.97"}
    backends = [{"name": each.name_in_pool, "address": each.address} for each in lab.backends]
    text = configuration([pool(lab, backends=backends + [silent])], vips(lab))
    with Fluxpin(lab, text) as fluxpin:
        for _ in range(12):
            lab.lb.ip("addr add 192.0.2.77/32 dev lo", "addr del 192.0.2.77/32 dev lo")
            time.sleep(0.5)
        assert "backend web/silent (10.0.0.97) gets no traffic" in fluxpin.log()


def test_a_gateway_that_moves_to_another_mac_is_followed(lab):
    lab.router.sysctl(net__ipv4__conf__lb__arp_notify=1)
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
        old = lab.router.ip_json("link show lb")[0]["address"]
        lab.router.ip("link set lb address 02:11:22:33:44:55")
        wait_until(
            lambda: lab.load("http", lab.http_vip, "--requests", 5, "--timeout", 1)
            .result()["failed_count"] == 0,
            30, "service by the new MAC address")
        assert lab.load("http", lab.http_vip, "--requests", 50).result()["failed_count"] == 0
        lab.router.ip(f"link set lb address {old}")
        wait_until(
            lambda: lab.load("http", lab.http_vip, "--requests", 5, "--timeout", 1)
            .result()["failed_count"] == 0,
            30, "service by the old MAC address")
        fluxpin.assert_balanced()


def test_a_route_that_goes_and_comes_back_is_followed(lab):
    address = lab.backends[0].address
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        lab.lb.ip(f"route add unreachable {address}/32")
        fluxpin.wait_for_log(r"backend web/web-1 .* gets no traffic")
        before = no_next_hop(fluxpin.wait_for_metrics())
        result = lab.load("udp", lab.dns_vip, "--source-ports", 60, "--timeout", 1).result()
        assert "web-1" not in result["by_backend"]
        assert no_next_hop(fluxpin.assert_balanced()) > before
        lab.lb.ip(f"route del unreachable {address}/32")
        fluxpin.wait_for_log(r"backend web/web-1 .*next hop resolved", 15)
        result = lab.load("udp", lab.dns_vip, "--source-ports", 60).result()
        assert result["failed_count"] == 0 and result["by_backend"]["web-1"] > 0, result


def test_a_backend_that_goes_down_is_not_told_to_be_reachable(lab):
    """A host that dies: first its next hop is missed, then its checks fail."""
    first, second = lab.backends[:2]

    def text(fall):
        return configuration([pool(lab, backends=[first], health_check=http_health_check(fall=fall)),
                              pool(lab, "other", backends=[second])], vips(lab))

    with Fluxpin(lab, text(1000)) as fluxpin:
        lab.lb.ip(f"route add unreachable {first.address}/32")
        try:
            fluxpin.wait_for_log(r"backend web/web-1 .* gets no traffic")
            assert fluxpin.reload(text(1)) == 2
            fluxpin.wait_for_log(r"backend web/web-1 .* is down")
            # Whatever there is to be said of backends is said with this one.
            lab.lb.ip(f"route add unreachable {second.address}/32")
            fluxpin.wait_for_log(r"backend other/web-2 .* gets no traffic")
            assert "next hop resolved" not in fluxpin.log()
        finally:
            lab.lb.ip("route flush type unreachable")
        fluxpin.wait_for_log(r"backend web/web-1 .*next hop resolved", 15)


def test_the_load_balancers_own_mac_and_mtu_are_followed(lab):
    """Frames to the new address are served, the kernel gets its own by the TAP, and the sender of
    what does not fit any more is told."""
    answered = "fluxpin_worker_answered_packets_total"
    lab.lb.sysctl(net__ipv4__conf__eth0__arp_notify=1)
    old = lab.lb.ip_json("link show eth0")[0]["address"]
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
        for mac in ("02:11:22:33:44:66", old):
            lab.lb.ip(f"link set eth0 address {mac}")
            wait_until(
                lambda: lab.load("http", lab.http_vip, "--requests", 5, "--timeout", 1)
                .result()["failed_count"] == 0,
                30, f"service at {mac}")
            lab.client.run(["ping", "-c", "1", "-W", "5", lab.lb.address])
            result = lab.load("http", lab.http_vip, "--requests", 50).result()
            assert result["failed_count"] == 0, result
        metrics = fluxpin.assert_balanced()
        assert metrics.sum(answered) == 0
        lab.lb.ip("link set eth0 mtu 1400")
        try:
            tap = next(link for link in lab.lb.ip_json("link show")
                       if link["ifname"].startswith("fluxpin"))["ifname"]
            wait_until(lambda: lab.lb.ip_json(f"link show {tap}")[0]["mtu"] == 1400, 10, "MTU")
            for size, ok in ((1400 - 24 - 28, 1), (1400 - 24 - 28 + 1, 0)):
                arguments = ["--source-ports", 1, "--size", size + 13, "--timeout", 2]
                result = lab.load("udp", lab.dns_vip, *arguments).result()
                assert result["ok"] == ok, result
            metrics = fluxpin.assert_balanced()
            assert metrics.sum(answered) == 1
        finally:
            lab.client.ip("route flush cache")
            lab.lb.ip("link set eth0 mtu 1600")


def test_the_mtu_of_a_route_counts(lab):
    backend = lab.backends[0]
    text = configuration([pool(lab, backends=[backend])], vips(lab))
    lab.lb.ip(f"route add {backend.address}/32 via 10.0.0.1 mtu 1000")
    try:
        with Fluxpin(lab, text) as fluxpin:
            for size, ok in ((1000 - 24 - 28, 1), (1000 - 24 - 28 + 1, 0)):
                arguments = ["--source-ports", 1, "--size", size + 13, "--timeout", 2]
                assert lab.load("udp", lab.dns_vip, *arguments).result()["ok"] == ok
            metrics = fluxpin.assert_balanced()
            assert metrics.sum("fluxpin_worker_answered_packets_total") == 1
    finally:
        lab.client.ip("route flush cache")
        lab.lb.ip(f"route del {backend.address}/32")


def test_link_down_and_up(lab):
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
        for _ in range(3):
            lab.lb.ip("link set eth0 down", "link set eth0 up", "route replace default via 10.0.0.1")
        wait_until(
            lambda: lab.load("http", lab.http_vip, "--requests", 5, "--timeout", 1)
            .result()["failed_count"] == 0,
            30, "service after the link was down")
        assert lab.load("http", lab.http_vip, "--requests", 100).result()["failed_count"] == 0
        fluxpin.assert_balanced()


def test_changes_are_followed_after_messages_of_the_kernel_were_lost(lab):
    """The socket's error (ENOBUFS) is taken and listening goes on."""
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        assert lab.load("http", lab.http_vip, "--requests", 20).result()["failed_count"] == 0
        fluxpin.process.send_signal(signal.SIGSTOP)
        routes = [f"172.{16 + i // 256}.{i % 256}.0/24" for i in range(4000)]
        for verb in ("add", "del"):
            lab.lb.ip(*(f"route {verb} unreachable {each}" for each in routes))
        fluxpin.process.send_signal(signal.SIGCONT)
        time.sleep(1)
        address = lab.backends[0].address
        lab.lb.ip(f"route add unreachable {address}/32")
        try:
            fluxpin.wait_for_log(r"backend web/web-1 .* gets no traffic")
        finally:
            lab.lb.ip(f"route del unreachable {address}/32")
        fluxpin.wait_for_log(r"backend web/web-1 .*next hop resolved", 15)


def test_a_nic_that_changes_while_a_reload_waits_is_followed(lab):
    """A reload waits up to a second for new next hops, and hears of all other changes meanwhile."""
    silent = {"name": "silent", "address": "10.0.0.98"}
    backends = [{"name": each.name_in_pool, "address": each.address} for each in lab.backends]
    old, new = lab.lb.ip_json("link show eth0")[0]["address"], "02:11:22:33:44:66"
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        tap = next(each["ifname"] for each in lab.lb.ip_json("link show")
                   if each["ifname"].startswith("fluxpin-"))
        change = threading.Timer(0.3, lambda: lab.lb.ip(f"link set eth0 address {new}"))
        start = time.monotonic()
        change.start()
        assert fluxpin.reload(configuration([pool(lab, backends=backends + [silent])], vips(lab)))
        assert time.monotonic() - start > 0.8, "the reload did not wait"
        change.join()
        try:
            wait_until(
                lambda: lab.lb.ip_json(f"link show {tap}")[0]["address"] == new,
                3, "the NIC's new MAC address on the TAP")
            wait_until(
                lambda: lab.load("http", lab.http_vip, "--requests", 5, "--timeout", 1)
                .result()["failed_count"] == 0,
                30, "service by the NIC's new MAC address")
        finally:
            lab.lb.ip(f"link set eth0 address {old}")
            lab.router.ip("neigh flush dev lb")


def test_without_a_source_address_nothing_is_sent(lab):
    """None in the file, and none that the host has: told, and dropped, rather than sent from 0.0.0.0."""
    with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
        assert lab.load("udp", lab.dns_vip, "--source-ports", 20).result()["failed_count"] == 0
        lab.lb.ip("route add 10.1.0.0/24 via 10.0.0.1 dev eth0 onlink",
                  f"addr del {lab.lb.address}/24 dev eth0",
                  "route replace 10.1.0.0/24 via 10.0.0.1 dev eth0 onlink")
        try:
            fluxpin.wait_for_log(r"web/web-1 .*no source address")
        finally:
            lab.lb.ip(f"addr add {lab.lb.address}/24 dev eth0",
                      "route replace default via 10.0.0.1", "route del 10.1.0.0/24")
        fluxpin.wait_for_log(r"web/web-1 .*next hop resolved", 15)
        assert lab.load("udp", lab.dns_vip, "--source-ports", 20).result()["failed_count"] == 0
