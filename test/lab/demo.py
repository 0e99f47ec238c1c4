# SPDX-License-Identifier: BSD-2-Clause
"""The demonstration: real requests through a VIP, and a backend that leaves while they go on."""

import sys

from fluxpin import Fluxpin, configuration, pool, vips
from lab import Lab

BAR = 40
METRICS = [
    "fluxpin_config_generation",
    "fluxpin_worker_received_packets_total",
    "fluxpin_worker_forwarded_packets_total",
    "fluxpin_worker_slow_path_packets_total",
    "fluxpin_worker_dropped_packets_total",
    "fluxpin_connections",
]


def heading(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


def table(by_backend, names):
    largest = max(by_backend.values())
    for name in names:
        count = by_backend.get(name, 0)
        print(f"  {name}  {count:5}  {'█' * round(BAR * count / largest)}")


def check(ok, text):
    print(f"  {'ok  ' if ok else 'FAIL'}  {text}")
    if not ok:
        raise SystemExit(1)


def remove_backend(lab, fluxpin, gone):
    """As an operator does: drain it, then take it out; two edits of the file, two SIGHUPs."""
    entries = [{"name": each.name_in_pool, "address": each.address} for each in lab.backends]
    drained = [{**each, "weight": 0} if each["name"] == gone else each for each in entries]
    kept = [each for each in entries if each["name"] != gone]
    for what, backends in (("weight 0", drained), ("removed", kept)):
        generation = fluxpin.reload(configuration([pool(lab, backends=backends)], vips(lab)))
        print(f"  SIGHUP: {gone} {what}: configuration generation {generation} active")
        if backends is drained:
            # Short requests that it still has come to their end.
            fluxpin.wait_for_metrics()
            fluxpin.wait_for_metrics()


def show(lab, fluxpin):
    names = [each.name_in_pool for each in lab.backends]
    gone = names[1]

    heading(f"300 requests, each over a new connection, to http://{lab.http_vip}/")
    result = lab.load("http", lab.http_vip, "--requests", 300, "--parallel", 10).result()
    table(result["by_backend"], names)
    check(result["failed_count"] == 0, f"{result['ok']} answered, {result['failed_count']} failed")

    heading(f"300 flows to the UDP VIP {lab.dns_vip}:53")
    result = lab.load("udp", lab.dns_vip, "--source-ports", 300).result()
    table(result["by_backend"], names)
    check(result["failed_count"] == 0, f"{result['ok']} answered, {result['failed_count']} failed")

    heading(f"{gone} leaves while 30 connections are open and new requests go on")
    held = lab.load("keepalive", lab.http_vip, "--parallel", 30)
    held.wait_for_line()
    requests = lab.load("http", lab.http_vip, "--parallel", 10, "--rate", 150, "--hold")
    requests.wait_for_line()
    remove_backend(lab, fluxpin, gone)
    after = lab.load("http", lab.http_vip, "--requests", 200, "--parallel", 10).result()
    requests.go_on()
    during, held = requests.result(), held.result()
    table(after["by_backend"], names)
    check(during["failed_count"] == 0,
          f"{during['ok']} requests meanwhile, {during['failed_count']} failed")
    check(after["failed_count"] == 0 and gone not in after["by_backend"],
          f"{after['ok']} requests afterwards, none of them to {gone}")
    lost = [each for each in held["failed"] if each.get("backend") != gone]
    check(not lost and held["moved"] == 0,
          f"open connections of the others: all kept their backend "
          f"({held['failed_count']} of 30 were on {gone} and ended with it)")

    heading("Metrics, both workers together")
    metrics = fluxpin.assert_balanced()
    for name in METRICS:
        print(f"  {name:42} {metrics.sum(name):8}")
    check(True, "received = forwarded + slow path + answered + dropped, exactly")


def main():
    heading("A lab of namespaces: client, router, load balancer, three backends with nginx")
    with Lab() as lab:
        with Fluxpin(lab, configuration([pool(lab)], vips(lab))) as fluxpin:
            for line in fluxpin.log().splitlines():
                if "queue" in line and "bypass" not in line or "ready" in line:
                    print(f"  fluxpin: {line}")
            show(lab, fluxpin)
        heading("SIGTERM")
        check(True, "exit 0; no XDP program, TAP device or process is left")


if __name__ == "__main__":
    main()
