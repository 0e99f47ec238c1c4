/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks through the tunnel, with a backend in another namespace that has the VIPs on its loopback
 * device. What encapsulates is not part of the module: here packets go to the backend's MAC address
 * as they are, as with encapsulation "l2".
 */
#include "health_setup.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include <fluxpin/probe_device.h>

#define MAC "02:00:00:00:00:02"

/* What becomes of the packets. */
struct way {
	int socket;
	int result; /* 0: they are sent, as long as is_open */
	bool is_open;
	uint32_t pool;
	uint32_t backend;
	uint32_t packets;
};

static int send_packet(void *context, uint32_t pool, uint32_t backend, const void *packet,
		       size_t length)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_halen = 6,
				  .sll_addr = { 2, 0, 0, 0, 0, 2 } };
	struct way *way = context;

	way->packets++;
	way->pool = pool;
	way->backend = backend;
	if (way->result != 0 || !way->is_open)
		return way->result;
	to.sll_ifindex = (int)if_nametoindex("t0");
	to.sll_protocol = htons(*(const uint8_t *)packet >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6);
	return sendto(way->socket, packet, length, 0, (struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}

static int enter(void **state)
{
	if (namespace_enter_with_peer(state) != 0)
		return -1;
	if (!namespace_is_ready)
		return 0;
	run("ip link add t0 type veth peer name t1 netns %d", (int)namespace_peer);
	run_in_peer("ip link set t1 address " MAC);
	run("ip addr add 10.9.0.1/24 dev t0 && ip link set t0 up && ip addr add fd09::1/64 dev t0 "
	    "nodad");
	run("nsenter -t %d -n sh -c 'ip addr add 10.9.0.2/24 dev t1 && ip link set t1 up && ip "
	    "addr "
	    "add fd09::2/64 dev t1 nodad && ip addr add 192.0.2.80/32 dev lo && ip addr add "
	    "2001:db8::80/128 dev lo nodad'",
	    (int)namespace_peer);
	return 0;
}

/* A server's socket in the namespace of the backend. */
static void start_in_peer(struct server *server, const char *address)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), peer;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)namespace_peer);
	peer = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(setns(peer, CLONE_NEWNET), 0);
	server_start(server, address);
	assert_int_equal(setns(own, CLONE_NEWNET), 0);
	close(peer);
	close(own);
}

static void open_tunnel(struct checker *checker, struct way *way)
{
	const struct health_tunnel tunnel = { send_packet, way };

	way->socket = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(way->socket >= 0);
	checker_open(checker);
	assert_int_equal(health_set_tunnel(checker->health, &tunnel), 0);
}

/* The backend is the second one of the second pool; its own address does not matter. */
#define TUNNEL_POOLS                                                                              \
	"hash_seed = \"1\"; source_address = { ipv4 = \"10.9.0.1\"; }; pools = ( { name = \"x\";" \
	" backends = (); }, { name = \"p\"; backends = ( "                                        \
	"{ address = \"10.9.0.7\"; }, { address = \"10.9.0.2\"; } ); health_check = { interval "  \
	"= \"50ms\"; timeout = \"50ms\"; rise = 1; fall = 1; initial = \"down\"; via = "          \
	"\"tunnel\"; %s }; } ); vips = ( { address = \"%s\"; protocol = \"%s\"; port = %u; pool " \
	"= \"p\"; } );"

/* Only the second backend can be reached: packets of the first go nowhere. */
static int send_to_second(void *context, uint32_t pool, uint32_t backend, const void *packet,
			  size_t length)
{
	return backend == 1 ? send_packet(context, pool, backend, packet, length) : 0;
}

static void check_kind(const char *vip, const char *protocol, const char *check,
		       struct server *server)
{
	struct way way = { .is_open = true };
	const struct health_tunnel tunnel = { send_to_second, &way };
	struct checker checker;

	start_in_peer(server, vip);
	way.socket = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	checker_open(&checker);
	assert_int_equal(health_set_tunnel(checker.health, &tunnel), 0);
	checker_configure(&checker,
			  configuration_of(TUNNEL_POOLS, check, vip, protocol, server->port));
	run_until(&checker, checker_read(&checker, 1, 1).state == HEALTH_UP);
	run_probes(&checker, 1, 0, 2);
	assert_int_equal(checker_read(&checker, 1, 0).state, HEALTH_DOWN);
	assert_int_equal(way.pool, 1);
	assert_int_equal(way.backend, 1);
	/* The backend has lost its VIP, or what takes the outer header off. */
	way.is_open = false;
	run_until(&checker, checker_read(&checker, 1, 1).state == HEALTH_DOWN);
	assert_string_equal(checker_read(&checker, 1, 1).error, "no answer within 50ms");
	way.result = -EHOSTUNREACH;
	run_until(&checker, strcmp(checker_read(&checker, 1, 1).error,
				   "nothing can be sent to the backend: no route to host") == 0);
	way.result = 0;
	way.is_open = true;
	run_until(&checker, checker_read(&checker, 1, 1).state == HEALTH_UP);
	/* The end of a connection reaches the backend, too. */
	if (server->manner == SILENT)
		run_until(&checker, server->resets > 0);
	checker_close(&checker);
	close(way.socket);
	server_stop(server);
}

static void test_tcp(void **state)
{
	struct server server = { .manner = SILENT };

	(void)state;
	need_namespace();
	check_kind("192.0.2.80", "tcp", "type = \"tcp\";", &server);
	assert_string_equal(server.peer, "10.9.0.1");
}

static void test_tcp_ipv6(void **state)
{
	struct server server = { .manner = SILENT };

	(void)state;
	need_namespace();
	check_kind("2001:db8::80", "tcp", "type = \"tcp\";", &server);
}

static void test_http(void **state)
{
	struct server server = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" };

	(void)state;
	need_namespace();
	check_kind("192.0.2.80", "tcp", "type = \"http\"; host = \"www.example.com\";", &server);
	assert_non_null(strstr(server.request, "Host: www.example.com\r\n"));
}

static void test_http_ipv6(void **state)
{
	struct server server = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" };

	(void)state;
	need_namespace();
	check_kind("2001:db8::80", "tcp", "type = \"http\"; source = \"fd09::1\";", &server);
}

static void test_udp(void **state)
{
	struct server server = { .answer = "pong", .is_udp = true };

	(void)state;
	need_namespace();
	check_kind("192.0.2.80", "udp", "type = \"udp\"; send = \"ping\"; expect = \"pong\";",
		   &server);
}

#define TUNNEL_CHECK(type)                                                                     \
	"health_check = { interval = \"50ms\"; timeout = \"50ms\"; rise = 1; fall = 1; via = " \
	"\"tunnel\"; port = %u; type = \"" type "\"; }; "
#define BACKENDS(address) "backends = ( { address = \"" address "\"; } ); "
#define VIP(port, pool) \
	"{ address = \"192.0.2.80\"; protocol = \"tcp\"; port = " port "; pool = \"" pool "\"; }"
#define NOTHING "hash_seed = \"1\"; pools = (); vips = ();"

/* A prober that stays sends to its backend where that is in the new configuration. */
static void test_a_reload_moves_the_backend(void **state)
{
	struct server server = { .manner = SILENT };
	struct way way = { .is_open = true };
	struct health_totals totals;
	struct checker checker;
	uint64_t probes;

	(void)state;
	need_namespace();
	start_in_peer(&server, "192.0.2.80");
	open_tunnel(&checker, &way);
	checker_configure(
		&checker,
		configuration_of("hash_seed = \"1\"; pools = ( { name = \"x\"; "
				 "backends = (); }, { name = \"p\"; " TUNNEL_CHECK("tcp")
					 BACKENDS("10.9.0.2") "} ); vips = ( " VIP("80", "p") " );",
				 server.port));
	run_until(&checker, way.packets > 0);
	assert_int_equal(way.pool, 1);
	run_probes(&checker, 1, 0, 2);
	probes = checker_read(&checker, 1, 0).probes_good;
	checker_configure(
		&checker,
		configuration_of("hash_seed = \"1\"; pools = ( { name = \"p\"; " TUNNEL_CHECK("tcp")
					 BACKENDS("10.9.0.2") "} ); vips = ( " VIP("80", "p") " );",
				 server.port));
	assert_true(checker_read(&checker, 0, 0).probes_good >= probes);
	run_until(&checker, way.pool == 0);
	/* By another encapsulation it is another check, also of the same port of the same VIP. */
	checker_configure(
		&checker,
		configuration_of(
			"hash_seed = \"1\"; pools = ( { name = \"p\"; " TUNNEL_CHECK("tcp") BACKENDS(
				"10.9.0.2") "}, { name = \"q\"; "
					    "encapsulation = \"ipip\"; " TUNNEL_CHECK("tcp")
						    BACKENDS("10.9.0.2") "} ); vips = ( " VIP(
							    "80", "p") ", " VIP("81", "q") " );",
			server.port, server.port));
	health_read_totals(checker.health, &totals);
	assert_int_equal(totals.probers, 2);
	checker_close(&checker);
	close(way.socket);
	server_stop(&server);
}

/* Closing its connection makes the kernel send one more packet, which is nobody's any more. */
static void test_a_prober_that_goes_sends_nothing_more(void **state)
{
	struct server server = { .manner = SILENT };
	struct way way = { .is_open = true };
	struct checker checker;
	uint32_t packets;

	(void)state;
	need_namespace();
	start_in_peer(&server, "192.0.2.80");
	open_tunnel(&checker, &way);
	checker_configure(
		&checker,
		configuration_of("hash_seed = \"1\"; pools = ( { name = \"p\"; health_check "
				 "= { interval = \"60s\"; timeout = \"60s\"; via = "
				 "\"tunnel\"; port = %u; type = \"http\"; }; " BACKENDS(
					 "10.9.0.2") "} ); vips = ( " VIP("80", "p") " );",
				 server.port));
	/* The SYN, the end of the handshake, and the request. */
	run_until(&checker, way.packets >= 3);
	packets = way.packets;
	checker_configure(&checker, configuration_of(NOTHING));
	for (int i = 0; i < 10; i++)
		uv_run(&checker.loop, UV_RUN_ONCE);
	assert_int_equal(way.packets, packets);
	checker_close(&checker);
	close(way.socket);
	server_stop(&server);
}

#define COUNT_RULES "ip rule list | grep -c fwmark; ip -6 rule list | grep -c fwmark"

static void test_rules_and_devices(void **state)
{
	struct checker checker, other;
	struct way way = { 0 }, other_way = { 0 };

	(void)state;
	need_namespace();
	/* What a killed process leaves, and what is somebody else's. */
	run("ip rule add fwmark 0x666c7807 lookup 1718384647 pref 50");
	run("ip -6 rule add fwmark 0x666c7800 lookup 1718384640 pref 50");
	run("ip rule add fwmark 0x666c7809 lookup 100 pref 50");
	open_tunnel(&checker, &way);
	assert_string_equal(output_of(COUNT_RULES), "2\n1\n");
	assert_string_equal(output_of("ip route show table 1718384640"),
			    "default dev fluxpin-probe0 proto static scope link \n");
	open_tunnel(&other, &other_way);
	assert_string_equal(output_of(COUNT_RULES), "3\n2\n");
	checker_close(&checker);
	assert_string_equal(output_of(COUNT_RULES), "2\n1\n");
	assert_string_equal(output_of("ip -o link | grep -o 'probe.*mtu [0-9]*'"),
			    "probe1: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1280\n");
	/* The kernel says nothing on the device by itself. */
	assert_string_equal(output_of("awk '/fluxpin-probe1/ { print $11 }' /proc/net/dev"), "0\n");
	checker_close(&other);
	assert_string_equal(output_of("ip rule list | grep fwmark"),
			    "50:\tfrom all fwmark 0x666c7809 lookup 100\n");
	close(way.socket);
	close(other_way.socket);
}

/* Without a tunnel the check says nothing. */
static void test_no_tunnel(void **state)
{
	struct health_totals totals;
	struct checker checker;

	(void)state;
	need_namespace();
	checker_open(&checker);
	checker_configure(&checker, configuration_of(TUNNEL_POOLS, "type = \"tcp\";", "192.0.2.80",
						     "tcp", 80));
	run_until(&checker, (health_read_totals(checker.health, &totals), totals.undecided >= 4));
	assert_string_equal(checker_read(&checker, 1, 1).error, "there is no tunnel for probes");
	assert_int_equal(checker_read(&checker, 1, 1).probes_bad, 0);
	checker_close(&checker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tcp, enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_tcp_ipv6, enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_http, enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_http_ipv6, enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_udp, enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_a_reload_moves_the_backend, enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_a_prober_that_goes_sends_nothing_more, enter,
						namespace_leave),
		cmocka_unit_test_setup_teardown(test_rules_and_devices, enter, namespace_leave),
		cmocka_unit_test_setup_teardown(test_no_tunnel, enter, namespace_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
