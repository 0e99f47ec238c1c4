# SPDX-License-Identifier: BSD-2-Clause
"""A network of namespaces with real servers, in which fluxpin is tested.

    client ────────── router ────────── lb     198.51.100.0/24 fd00:c::/64, 10.0.0.0/24 fd00::/64
                        │ br0
               ┌────────┼────────┐             10.1.0.0/24 fd00:1::/64
              b1       b2       b3

The router sends the VIPs to the load balancer; it sends them encapsulated through the router to
the backends, whose NICs carry fluxpin's endpoint program; they answer the client directly (DSR).
Links between router, load balancer and backends have an MTU of 1600, so that a client's
full-size segment fits with the outer headers (1524 bytes with GRE over IPv4).

    with Lab(backends=3) as lab:
        lab.client.run(["curl", "-s", f"http://{lab.http_vip}/id"])

Needs root and nothing of the machine's own network. Everything goes away at the end of the block,
after an exception, SIGINT or SIGTERM too; what a killed run left is removed by the next one.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

import servers
from namespaces import PATIENCE, Namespace, new_identity, remove_dead_runs, remove_run, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent

HTTP_VIP = "203.0.113.10"
DNS_VIP = "203.0.113.53"
HTTP_VIP_IPV6 = "2001:db8::10"
DNS_VIP_IPV6 = "2001:db8::53"
CLIENT_ADDRESS = "198.51.100.10"
CLIENT_ADDRESS_IPV6 = "fd00:c::10"
MTU = 1600
ROUTER_MAC = "02:00:00:00:00:fe"  # towards the backends
QUEUES = 4  # of every NIC
# Partial checksums and merged packets of a sender reach XDP as they are on veth.
OFFLOADS = ["tx", "off", "tso", "off", "gso", "off", "gro", "off"]


def fluxpin_path():
    return pathlib.Path(
        os.environ.get("FLUXPIN", ROOT / "build/dev/src/cli/fluxpin")
    ).resolve()


def host_prefix(address):
    """The prefix that holds this address alone."""
    return f"{address}/{128 if ':' in address else 32}"


class Lab:
    """The namespaces `client`, `router`, `lb` (all of them: `balancers`) and `backends`.

    backends: how many; "web-1", "web-2", ... in namespaces "b1", "b2", ...
    queues: how many queues of the load balancer's NIC see traffic, of the 4 that it has.
    balancers: how many; "lb" at 10.0.0.5, "lb2" at 10.0.1.5, ... The router uses the first
        until told otherwise (route_vips).
    vips: addresses that the router sends to the load balancer and the backends have on lo.
    endpoint: mode in which the endpoint program is attached on each backend, or None for not.
    servers: whether nginx and the UDP echo server run on each backend.
    ipv6: whether every address has an IPv6 one beside it (ipv6_address; http_vip_ipv6 and
        dns_vip_ipv6); without it, the namespaces do not speak IPv6 at all.
    """

    def __init__(
        self,
        backends=3,
        queues=2,
        balancers=1,
        vips=(HTTP_VIP, DNS_VIP),
        endpoint="auto",
        servers=True,
        ipv6=False,
    ):
        self.id = new_identity()
        self.directory = pathlib.Path(tempfile.gettempdir()) / self.id
        self.http_vip = HTTP_VIP
        self.dns_vip = DNS_VIP
        self.http_vip_ipv6 = HTTP_VIP_IPV6
        self.dns_vip_ipv6 = DNS_VIP_IPV6
        self.vips = list(vips)
        self.ipv6 = ipv6
        if ipv6:
            self.vips += [HTTP_VIP_IPV6, DNS_VIP_IPV6]
        self.fluxpin = fluxpin_path()
        self.namespaces = []
        self.backends = []
        self.balancers = []
        self.queues = queues
        self._counts = (backends, balancers)
        self._endpoint = endpoint
        self._servers = servers
        self._previous_sigterm = None

    # Life cycle

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            # SIGINT is an exception already; make SIGTERM one too, so that __exit__ runs.
            self._previous_sigterm = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            remove_dead_runs()
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends and removes everything. A second signal waits until this is done."""
        main = threading.current_thread() is threading.main_thread()
        if main:
            signals = {signal.SIGINT, signal.SIGTERM}
            previous = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            # Their processes are ended together: a run's identity is in their environment.
            remove_run(self.id)
            for namespace in self.namespaces:
                for process in namespace.processes:
                    process.wait()
                    for stream in (process.stdout, process.stderr, process.stdin):
                        if stream:
                            stream.close()
            self.namespaces = []
        finally:
            if main:
                signal.pthread_sigmask(signal.SIG_SETMASK, previous)
                if self._previous_sigterm is not None:
                    signal.signal(signal.SIGTERM, self._previous_sigterm)
                    self._previous_sigterm = None

    # Construction

    def _build(self):
        self.directory.mkdir()
        self.client = self._namespace("client")
        self.router = self._namespace("router")
        self._build_router()
        self._build_client()
        for number in range(1, self._counts[1] + 1):
            self._build_balancer(number)
        self.lb = self.balancers[0]
        for number in range(1, self._counts[0] + 1):
            self._build_backend(number)
        self.route_vips([self.lb])
        if self._servers:
            for backend in self.backends:
                servers.start(backend, self.vips, self.ipv6)
            for backend in self.backends:
                wait_until(lambda: self._answers(backend), 10, f"{backend.name_in_pool} server")

    def _answers(self, backend):
        with self.router.socket() as connection:
            connection.settimeout(1)
            return connection.connect_ex((backend.address, servers.HEALTH_PORT)) == 0

    def _namespace(self, role):
        directory = self.directory / role
        directory.mkdir()
        namespace = Namespace(self.id, role, directory)
        self.namespaces.append(namespace)
        namespace.sysctl(
            # No packet that a test did not ask for; of IPv6 none at all, or else what neighbours
            # need, who ask from link-local addresses.
            net__ipv6__conf__all__disable_ipv6=0 if self.ipv6 else 1,
            net__ipv6__conf__default__disable_ipv6=0 if self.ipv6 else 1,
            net__ipv6__conf__all__accept_ra=0,
            net__ipv6__conf__default__accept_ra=0,
            net__ipv6__conf__default__accept_dad=0,
            net__ipv6__conf__default__dad_transmits=0,
            net__ipv6__conf__default__router_solicitations=0,
            # Groups are reported twice within this many milliseconds, and then no more.
            net__ipv6__conf__default__mldv1_unsolicited_report_interval=10,
            net__ipv6__conf__default__mldv2_unsolicited_report_interval=10,
            # DSR is asymmetric: the router sees a VIP as a source on the backends' side.
            net__ipv4__conf__all__rp_filter=0,
            net__ipv4__conf__default__rp_filter=0,
            net__ipv4__conf__all__send_redirects=0,
            net__ipv4__conf__default__send_redirects=0,
        )
        return namespace

    def _link(self, namespace, router_interface, mtu, to=QUEUES, back=QUEUES):
        """eth0 of a namespace, with its peer in the router; `to` and `back` count the queues that
        each of them sends on. A veth frame arrives on the queue on which it was sent."""
        namespace.ip(
            f"link add eth0 numrxqueues {QUEUES} numtxqueues {back} mtu {mtu} type veth"
            f" peer name {router_interface} netns {self.router.name}"
            f" numrxqueues {QUEUES} numtxqueues {to} mtu {mtu}",
            "link set eth0 up",
        )
        namespace.run(["ethtool", "-K", "eth0", *OFFLOADS])
        self.router.run(["ethtool", "-K", router_interface, *OFFLOADS])

    def _build_router(self):
        self.router.sysctl(
            net__ipv4__ip_forward=1,
            # ECMP over several load balancers by the 5-tuple.
            net__ipv4__fib_multipath_hash_policy=1,
        )
        self.router.ip(
            # With an address of its own: else it takes the lowest of its ports, and another one when
            # a test adds a port, while backends send to the former for half a minute.
            f"link add br0 address {ROUTER_MAC} mtu {MTU} type bridge stp_state 0"
            " mcast_snooping 0 forward_delay 0",
            *self._addresses("br0", "10.1.0.1/24", "fd00:1::1/64"),
            "link set br0 up",
        )
        if self.ipv6:
            self.router.sysctl(
                net__ipv6__conf__all__forwarding=1, net__ipv6__fib_multipath_hash_policy=1
            )

    def _addresses(self, interface, ipv4, ipv6):
        """Lines of ip(8) that give an interface its addresses."""
        return [f"addr replace {each} dev {interface}" for each in [ipv4, ipv6][: 1 + self.ipv6]]

    def _gateway(self, ipv4, ipv6, more=""):
        """Lines of ip(8) for the default routes."""
        gateways = [ipv4, ipv6][: 1 + self.ipv6]
        return [f"route replace default via {each} {more}" for each in gateways]

    def _build_client(self):
        self.client.address = CLIENT_ADDRESS
        self.client.ipv6_address = CLIENT_ADDRESS_IPV6
        # With several, the queue on which the client sends would decide on which one the router
        # does (skb_tx_hash in the kernel); with one, the router takes a hash of the flow.
        self._link(self.client, "client", 1500, back=1)
        # A flow keeps its hash, and with it its queue, after a retransmission.
        self.client.sysctl(
            net__core__txrehash=0, net__ipv4__ip_local_port_range="1024 65535"
        )
        self.client.ip(
            *self._addresses("eth0", f"{CLIENT_ADDRESS}/24", f"{CLIENT_ADDRESS_IPV6}/64")
        )
        self.router.ip(
            *self._addresses("client", "198.51.100.1/24", "fd00:c::1/64"), "link set client up"
        )
        self.client.ip(*self._gateway("198.51.100.1", "fd00:c::1"))

    def _build_balancer(self, number):
        name = "lb" if number == 1 else f"lb{number}"
        network = f"10.0.{number - 1}"
        ipv6_network = "fd00::" if number == 1 else f"fd00:0:0:{number - 1}::"
        balancer = self._namespace(name)
        balancer.address = f"{network}.5"
        balancer.ipv6_address = f"{ipv6_network}5"
        self._link(balancer, name, MTU, to=self.queues)
        balancer.ip(
            *self._addresses("eth0", f"{balancer.address}/24", f"{balancer.ipv6_address}/64")
        )
        self.router.ip(
            *self._addresses(name, f"{network}.1/24", f"{ipv6_network}1/64"),
            f"link set {name} up",
        )
        balancer.ip(*self._gateway(f"{network}.1", f"{ipv6_network}1"))
        self.balancers.append(balancer)

    def _build_backend(self, number):
        backend = self._namespace(f"b{number}")
        backend.name_in_pool = f"web-{number}"
        backend.address = f"10.1.0.{10 + number}"
        backend.ipv6_address = f"fd00:1::{10 + number}"
        backend.router_port = f"b{number}"
        self._link(backend, backend.router_port, MTU)
        # A port of the bridge has no addresses of its own.
        self.router.ip(
            f"link set {backend.router_port} addrgenmode none",
            f"link set {backend.router_port} master br0",
            f"link set {backend.router_port} up",
        )
        backend.sysctl(
            # The VIPs are on lo of every backend: none of them may claim one by ARP.
            net__ipv4__conf__all__arp_ignore=1,
            net__ipv4__conf__all__arp_announce=2,
        )
        backend.ip(
            *self._addresses("eth0", f"{backend.address}/24", f"{backend.ipv6_address}/64"),
            *(f"addr add {host_prefix(vip)} dev lo" for vip in self.vips),
            # Answers go to clients beyond links of 1500.
            *self._gateway("10.1.0.1", "fd00:1::1", "mtu 1500"),
        )
        if self._endpoint:
            mode = ["--mode", self._endpoint]
            backend.run([self.fluxpin, "endpoint", "attach", "-i", "eth0", *mode])
        self.backends.append(backend)

    # Use

    def route_vips(self, balancers):
        """Sends the VIPs to these load balancers (ECMP where there are several), or nowhere."""
        for vip in self.vips:
            hops = " ".join(
                f"nexthop via {balancer.ipv6_address if ':' in vip else balancer.address}"
                for balancer in balancers
            )
            vip = host_prefix(vip)
            self.router.ip(f"route replace {vip} {hops}" if hops else f"route del {vip}")

    def steer(self, queue=None, balancer=None):
        """Sends everything to one queue of a load balancer's NIC; None: by a hash of the flow."""
        interface = (balancer or self.lb).role
        if self.queues == 1:
            return  # the kernel has no XPS for a single queue
        for each in range(self.queues):
            mask = f"{(1 << os.cpu_count()) - 1:x}" if each == queue else "0"
            path = f"/sys/class/net/{interface}/queues/tx-{each}/xps_cpus"
            self.router.run(["sh", "-c", f"echo {mask} > {path}"])

    def backend(self, name):
        """The backend's namespace by its name in the pool."""
        return next(each for each in self.backends if each.name_in_pool == name)

    def endpoint_counters(self, backend):
        """What the endpoint program of a backend counted."""
        command = [self.fluxpin, "endpoint", "status", "-i", "eth0", "--json"]
        return json.loads(backend.output(command))["counters"]

    def load(self, *arguments, **more):
        """Starts load.py in the client; LoadProcess.result() waits for what it found."""
        return LoadProcess(self.client, [str(each) for each in arguments], **more)

    def stats(self):
        """{role: {interface: {"rx"|"tx": counters}}} of every namespace, from the kernel."""
        return {namespace.role: namespace.statistics() for namespace in self.namespaces}

    def environment(self):
        """The lab in environment variables, for commands."""
        variables = {
            "FLUXPIN": str(self.fluxpin),
            "FLUXPIN_LAB": self.id,
            "FLUXPIN_LAB_DIRECTORY": str(self.directory),
            "FLUXPIN_LAB_HTTP_VIP": self.http_vip,
            "FLUXPIN_LAB_DNS_VIP": self.dns_vip,
            "FLUXPIN_LAB_BACKENDS": " ".join(
                f"{backend.name_in_pool}={backend.address}" for backend in self.backends
            ),
        }
        for namespace in self.namespaces:
            variables[f"FLUXPIN_LAB_{namespace.role.upper()}"] = namespace.name
        return variables


class LoadProcess:
    """load.py, running in a namespace."""

    def __init__(self, namespace, arguments, **more):
        self.process = namespace.popen(
            ["/usr/bin/python3", HERE / "load.py", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )

    def wait_for_line(self):
        """The next line on its standard error: it says there what it has reached."""
        return self.process.stderr.readline().rstrip("\n")

    def go_on(self):
        """Ends the phase that it holds (its standard input is closed)."""
        self.process.stdin.close()
        self.process.stdin = None  # which communicate() would flush

    def result(self, timeout=60):
        """What it found, once it has ended."""
        try:
            # It is read while it comes: what it found may be longer than what a pipe holds.
            text, errors = self.process.communicate(timeout=timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if not text:
            raise RuntimeError(f"load.py: exit {self.process.returncode}\n{errors}")
        return json.loads(text)
