# SPDX-License-Identifier: BSD-2-Clause
"""IPVS, the kernel's own load balancer, in the place of fluxpin: the same card, VIPs and backends.

    with Ipvs(lab, "ipip"): ...

TUN mode with the scheduler `mh` (Maglev). A packet to a VIP arrives as one to an address of the load
balancer's own; the first of a flow is scheduled and gets an entry in the connection table, where the
others find it. The outer header is the kernel's doing, as are route and neighbour.
"""

import contextlib
import subprocess

# 2^16 buckets of the connection table, where their number does not follow that of connections; so
# it does since Linux 7.1 at least (net.ipv4.vs.conn_lfactor).
TABLE_BITS = 16

# What an operator would set who cares for speed. No rule of a firewall is there.
SETTINGS = {
    # No connection tracking beside IPVS's own.
    "net.ipv4.vs.conntrack": 0,
    # A packet from the middle of a TCP connection, as after a restart, is scheduled, too.
    "net.ipv4.vs.sloppy_tcp": 1,
    # Nearly no packet is for a socket of the host: none is looked for before the route.
    "net.ipv4.ip_early_demux": 0,
    "net.ipv4.ip_forward": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.eth0.rp_filter": 0,
}

TUNNELS = {"ipip": ["--tun-type", "ipip"], "gre": ["--tun-type", "gre", "--tun-nocsum"]}


def load():
    """Loads the modules, which are the kernel's."""
    subprocess.run(["modprobe", "ip_vs", f"conn_tab_bits={TABLE_BITS}"], check=True)
    subprocess.run(["modprobe", "ip_vs_mh"], check=True)


class Ipvs:
    """Both VIPs of the lab, in IPv4, to all of its backends, in tunnels of one kind."""

    def __init__(self, lab, tunnel):
        self.lab = lab
        self.namespace = lab.lb
        self.tunnel = tunnel
        self._vips = (lab.http_vip, lab.dns_vip)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        load()
        # Who comes after it has the namespace as it was, also where this fails half way.
        with contextlib.ExitStack() as stack:
            before = {name: self.namespace.output(["sysctl", "-n", name]).strip()
                      for name in SETTINGS}
            stack.callback(self._set, before)
            self._set(SETTINGS)
            for vip in self._vips:
                self.namespace.ip(f"addr add {vip}/32 dev lo")
                stack.callback(self.namespace.ip, f"addr del {vip}/32 dev lo")
            stack.callback(self._ipvsadm, "-C")
            self._add_services()
            self._stack = stack.pop_all()
        return self

    def _add_services(self):
        for service in (("-t", f"{self.lab.http_vip}:80"), ("-u", f"{self.lab.dns_vip}:53")):
            # The hash is of address and port.
            self._ipvsadm("-A", *service, "-s", "mh", "-b", "mh-port")
            for backend in self.lab.backends:
                self._ipvsadm("-a", *service, "-r", backend.address, "-i", *TUNNELS[self.tunnel])

    def __exit__(self, *exception):
        self._stack.__exit__(*exception)

    def _set(self, settings):
        self.namespace.run(["sysctl", "-q", "-w",
                            *(f"{name}={value}" for name, value in settings.items())])

    def _ipvsadm(self, *arguments):
        self.namespace.run(["ipvsadm", *arguments])

    def packets(self):
        """Packets that it has taken in this namespace, now: `ipvsadm --stats` is seconds behind."""
        text = self.namespace.output(["cat", "/proc/net/ip_vs_stats_percpu"])
        # Two lines of heading, a line for each CPU, in hexadecimal, one for all (its number is "~",
        # and it is seconds behind, too), a blank one.
        lines = text.partition("\n\n")[0].splitlines()[2:]
        return sum(int(line.split()[2], 16) for line in lines if "~" not in line)
