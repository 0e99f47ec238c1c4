# SPDX-License-Identifier: BSD-2-Clause
"""BGP daemons in the lab's namespaces: BIRD and FRR on load balancers, with the configurations that
are shipped, and BIRD on the router, which spreads flows over what they announce."""

import re
import shutil
import signal

from lab import ROOT
from namespaces import wait_until

ROUTER = """
log stderr all;
router id 10.0.0.1;
protocol device { scan time 1; }
protocol direct { ipv4; ipv6; }
protocol kernel { merge paths on; ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { merge paths on; ipv6 { import none; export where source = RTS_BGP; }; }
protocol bfd { interface "*" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
template bgp balancer {
	bfd on; hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 2;
	ipv4 { import all; export none; };
	ipv6 { import all; export none; };
}
"""
ROUTER_PEER = """
protocol bgp {name}_{family} from balancer {{
	local {router} as 65000; neighbor {balancer} as 65010; {other} {{ import none; export none; }};
}}
"""


class Bird:
    """One BIRD in a namespace, on a file of that text."""

    def __init__(self, namespace, text):
        self.namespace = namespace
        self.file = namespace.directory / "bird.conf"
        self.socket = namespace.directory / "bird.ctl"
        self.log_file = namespace.directory / "bird.log"
        self.file.write_text(text)
        self.start()

    def start(self):
        command = ["bird", "-f", "-c", self.file, "-s", self.socket]
        with open(self.log_file, "ab") as log:
            self.process = self.namespace.popen(command, stdout=log, stderr=log)
        wait_until(lambda: self.ask("show", "status").returncode == 0, 10, "BIRD")

    def ask(self, *words):
        return self.namespace.run(["birdc", "-s", self.socket, *words], check=False)

    def is_established(self, protocol):
        return " Established" in self.ask("show", "protocols", protocol).stdout

    def signal(self, number):
        self.process.send_signal(number)

    def kill9(self):
        self.signal(signal.SIGKILL)
        self.process.wait()


def addresses(balancer):
    """The load balancer's addresses and the router's on their link, by family."""
    def router(address):
        return re.sub(r"5$", "1", address)

    return {"ipv4": (balancer.address, router(balancer.address)),
            "ipv6": (balancer.ipv6_address, router(balancer.ipv6_address))}


def start_router(lab):
    """BIRD on the router; the lab's own routes to the VIPs go."""
    peers = []
    for balancer in lab.balancers:
        for family, (own, router) in addresses(balancer).items():
            other = "ipv4" if family == "ipv6" else "ipv6"
            peers.append(ROUTER_PEER.format(name=balancer.role, family=family, router=router,
                                            balancer=own, other=other))
    lab.route_vips([])
    return Bird(lab.router, ROUTER + "".join(peers))


def shipped(name, balancer):
    """The file in conf/ with the addresses of this load balancer and its router."""
    (own, router), (own_ipv6, router_ipv6) = addresses(balancer).values()
    values = {"10.0.0.5": own, "10.0.0.1": router, "fd00::5": own_ipv6, "fd00::1": router_ipv6}
    text = (ROOT / "conf" / name).read_text()
    return re.sub(r"[\w:.]*\w", lambda word: values.get(word[0], word[0]), text)


def start_bird(balancer):
    return Bird(balancer, shipped("bird.conf", balancer))


class Frr:
    """zebra, bfdd and bgpd in a namespace, configured by vtysh as its service does it."""

    def __init__(self, balancer, text):
        self.namespace = balancer
        self.directory = balancer.directory / "frr"
        self.directory.mkdir()
        # Its daemons are that user as soon as they have started.
        shutil.chown(self.directory, "frr", "frr")
        self.file = self.directory / "frr.conf"
        self.file.write_text(text)
        self.log_file = balancer.directory / "frr.log"
        self.processes = []
        with open(self.log_file, "ab") as log:
            for name in ("zebra", "bfdd", "bgpd"):
                command = [f"/usr/lib/frr/{name}", "-A", "127.0.0.1",
                           "-f", "/dev/null", "-i", self.directory / f"{name}.pid",
                           "-z", self.directory / "zserv.api", "--vty_socket", self.directory]
                if name == "bfdd":
                    command += ["--bfdctl", self.directory / "bfdd.sock"]
                self.processes.append(balancer.popen(command, stdout=log, stderr=log))
                wait_until(lambda: (self.directory / f"{name}.vty").exists(), 10, name)
        self.vtysh("-f", self.file)

    def vtysh(self, *arguments):
        command = ["vtysh", "--vty_socket", self.directory, "--config_dir", self.directory]
        return self.namespace.output([*command, *arguments])

    def log(self):
        return self.log_file.read_text() + self.vtysh("-c", "show bgp summary", "-c", "show ip route")

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(10)


def start_frr(balancer):
    return Frr(balancer, shipped("frr.conf", balancer))
