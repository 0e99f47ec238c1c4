/* SPDX-License-Identifier: BSD-2-Clause */
#include "namespace.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <fluxpin/interface.h>
#include <fluxpin/tap.h>

#define MTU 1500

/* veth pair e0 - p0 in one namespace: e0 stands for the NIC, p0 for the wire. */
static struct interface make_nic(void)
{
	struct interface nic;

	run("ip link add e0 numrxqueues 2 numtxqueues 2 type veth peer name p0 && "
	    "ip link set e0 up && ip link set p0 up && ip addr add 10.0.0.9/24 dev e0");
	assert_int_equal(interface_query("e0", &nic), 0);
	return nic;
}

/* Keeps the pair's own IPv6 messages out of a capture. */
static void silence_ipv6(void)
{
	run("sysctl -q net.ipv6.conf.default.disable_ipv6=1");
}

/* A socket that sees what arrives at an interface. */
static int capture_on(const char *name)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	struct timeval limit = { .tv_sec = 2 };
	int capture = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int on = 1;

	assert_true(capture >= 0);
	assert_int_equal(setsockopt(capture, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)),
			 0);
	assert_int_equal(setsockopt(capture, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(capture, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(bind(capture, (struct sockaddr *)&address, sizeof(address)), 0);
	return capture;
}

/* One captured frame, with the VLAN tag that the kernel takes out put back; its length. */
static ssize_t receive_frame(int capture, uint8_t frame[static 4096])
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control;
	struct iovec vector = { .iov_base = frame, .iov_len = 4092 };
	struct msghdr message = { .msg_iov = &vector,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t length = recvmsg(capture, &message, 0);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (length >= 12 && header != NULL && header->cmsg_type == PACKET_AUXDATA) {
		const struct tpacket_auxdata *data = (const void *)CMSG_DATA(header);

		if ((data->tp_status & TP_STATUS_VLAN_VALID) != 0) {
			uint16_t tag[2] = { htons(data->tp_vlan_tpid), htons(data->tp_vlan_tci) };

			memmove(frame + 16, frame + 12, (size_t)length - 12);
			memcpy(frame + 12, tag, sizeof(tag));
			length += 4;
		}
	}
	return length;
}

static void fill_random(uint8_t *frame, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		frame[i] = (uint8_t)random();
	/* Not a VLAN's type by chance, of which the second tag would be read as well. */
	if (length >= 14)
		frame[12] = (uint8_t)(frame[12] & 0x7f);
}

static void expect_delivery(int queue, int capture, const uint8_t *frame, uint32_t length)
{
	uint8_t received[4096];

	assert_true(tap_write(queue, frame, length));
	assert_int_equal(receive_frame(capture, received), length);
	assert_memory_equal(received, frame, length);
}

static void test_frames_arrive_at_the_nic_bit_for_bit(void **state)
{
	static const uint16_t vlan_types[] = { 0x8100, 0x88a8 };
	uint8_t frame[MTU + 14];
	struct interface nic;
	struct tap *tap;
	int capture;

	(void)state;
	need_namespace();
	silence_ipv6();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 2, &tap), 0);
	capture = capture_on("e0");
	srandom(7);
	/* Every short length: a filter that needs a byte of payload would miss those. */
	for (uint32_t length = 14; length < 80; length++) {
		fill_random(frame, length);
		expect_delivery(tap_queue(tap, length % 2), capture, frame, length);
	}
	for (int i = 0; i < 2000; i++) {
		uint32_t length = 14 + (uint32_t)random() % (MTU + 1);

		fill_random(frame, length);
		if (i % 3 == 0)
			memcpy(frame, nic.mac, 6);
		expect_delivery(tap_queue(tap, (uint32_t)i % 2), capture, frame, length);
	}
	fill_random(frame, sizeof(frame));
	expect_delivery(tap_queue(tap, 0), capture, frame, sizeof(frame));
	for (int i = 0; i < 2; i++) {
		uint16_t type_be = htons(vlan_types[i]);

		fill_random(frame, 100);
		memcpy(frame + 12, &type_be, 2);
		frame[16] = 0x08;
		frame[17] = 0x00;
		expect_delivery(tap_queue(tap, 1), capture, frame, 100);
	}
	close(capture);
	tap_close(tap);
}

static void test_too_short_is_refused(void **state)
{
	uint8_t frame[14] = { 0 };
	struct interface nic;
	struct tap *tap;

	(void)state;
	need_namespace();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 1, &tap), 0);
	for (uint32_t length = 0; length < 14; length++)
		assert_false(tap_write(tap_queue(tap, 0), frame, length));
	assert_true(tap_write(tap_queue(tap, 0), frame, 14));
	tap_close(tap);
}

static void test_kernel_answers_arp_through_the_nic(void **state)
{
	static const uint8_t asker[6] = { 0x02, 0, 0, 0, 0, 0x42 };
	struct {
		struct ether_header ethernet;
		struct ether_arp arp;
	} __attribute__((packed)) request = {
		.ethernet = { .ether_type = htons(ETHERTYPE_ARP) },
		.arp = { .ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
				     .ar_pro = htons(ETHERTYPE_IP),
				     .ar_hln = 6,
				     .ar_pln = 4,
				     .ar_op = htons(ARPOP_REQUEST) },
			 .arp_spa = { 10, 0, 0, 1 },
			 .arp_tpa = { 10, 0, 0, 9 } },
	};
	uint8_t reply[4096];
	const struct ether_arp *arp = (const void *)(reply + 14);
	struct interface nic;
	struct tap *tap;
	ssize_t length;
	int wire;

	(void)state;
	need_namespace();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 1, &tap), 0);
	wire = capture_on("p0");
	memset(request.ethernet.ether_dhost, 0xff, 6);
	memcpy(request.ethernet.ether_shost, asker, 6);
	memcpy(request.arp.arp_sha, asker, 6);
	assert_true(tap_write(tap_queue(tap, 0), (const uint8_t *)&request, sizeof(request)));
	do {
		length = receive_frame(wire, reply);
		assert_true(length >= (ssize_t)sizeof(request));
	} while (reply[12] != 0x08 || reply[13] != 0x06);
	assert_memory_equal(reply, asker, 6);
	assert_memory_equal(reply + 6, nic.mac, 6);
	assert_int_equal(ntohs(arp->ea_hdr.ar_op), ARPOP_REPLY);
	assert_memory_equal(arp->arp_sha, nic.mac, 6);
	/* And the kernel learned the asker on the NIC, where it can answer it. */
	assert_non_null(
		strstr(output_of("ip neigh show 10.0.0.1"), "dev e0 lladdr 02:00:00:00:00:42"));
	close(wire);
	tap_close(tap);
}

static void test_device_is_set_up_as_said(void **state)
{
	char expected[64];
	struct interface nic;
	struct interface device;
	const char *shown;
	struct tap *tap;

	(void)state;
	need_namespace();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 4, &tap), 0);
	snprintf(expected, sizeof(expected), "fluxpin-%d", nic.index);
	assert_string_equal(tap_name(tap), expected);
	assert_int_equal(tap_index(tap), if_nametoindex(expected));
	assert_int_equal(interface_query(tap_name(tap), &device), 0);
	assert_memory_equal(device.mac, nic.mac, 6);
	assert_int_equal(device.mtu, nic.mtu);
	assert_true(device.is_up);
	shown = output_of("ip -j -d link show type tun");
	assert_non_null(strstr(shown, "\"fluxpin slow path of e0\""));
	assert_non_null(strstr(shown, "\"NOARP\""));
	assert_non_null(strstr(shown, "\"txqlen\":8"));
	assert_non_null(strstr(shown, "\"inet6_addr_gen_mode\":\"none\""));
	assert_non_null(strstr(shown, "\"numqueues\":4"));
	for (uint32_t i = 0; i < 4; i++) {
		assert_true(fcntl(tap_queue(tap, i), F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(tap_queue(tap, i), F_GETFD) & FD_CLOEXEC);
		for (uint32_t j = 0; j < i; j++)
			assert_int_not_equal(tap_queue(tap, i), tap_queue(tap, j));
	}
	tap_close(tap);
}

static void test_kernel_says_nothing_on_it(void **state)
{
	uint8_t frame[2048];
	struct interface nic;
	struct tap *tap;

	(void)state;
	need_namespace();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 2, &tap), 0);
	pause_milliseconds(2500);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(read(tap_queue(tap, i), frame, sizeof(frame)), -1);
		assert_int_equal(errno, EAGAIN);
	}
	/* What is forced out of it all the same is dropped by the kernel, and blocks nobody. */
	run("ip addr add 10.77.0.1/24 dev %s && ping -q -c 30 -i 0.002 -W 1 10.77.0.2 >/dev/null; "
	    "true",
	    tap_name(tap));
	assert_true(tap_write(tap_queue(tap, 0), frame, 60));
	tap_close(tap);
}

static void test_follows_the_nic(void **state)
{
	struct interface nic;
	struct interface device;
	uint8_t frame[9014];
	struct tap *tap;
	int capture;

	(void)state;
	need_namespace();
	silence_ipv6();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 1, &tap), 0);
	run("ip link set p0 mtu 4000; ip link set e0 address 02:00:00:00:00:99 mtu 4000");
	assert_int_equal(interface_query("e0", &nic), 0);
	assert_int_equal(tap_follow(tap, &nic), 0);
	assert_int_equal(interface_query(tap_name(tap), &device), 0);
	assert_memory_equal(device.mac, nic.mac, 6);
	assert_int_equal(device.mtu, 4000);
	capture = capture_on("e0");
	fill_random(frame, 4014);
	expect_delivery(tap_queue(tap, 0), capture, frame, 4014);
	nic.mtu = 1;
	assert_int_equal(tap_follow(tap, &nic), -EINVAL);
	close(capture);
	tap_close(tap);
}

static void test_down_is_refused(void **state)
{
	uint8_t frame[64] = { 0 };
	struct interface nic;
	struct tap *tap;

	(void)state;
	need_namespace();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 1, &tap), 0);
	assert_int_equal(interface_set_up(tap_index(tap), false), 0);
	assert_false(tap_write(tap_queue(tap, 0), frame, sizeof(frame)));
	assert_int_equal(errno, EIO);
	/* With only the NIC down the frame is taken, and dropped behind the redirect. */
	assert_int_equal(interface_set_up(tap_index(tap), true), 0);
	run("ip link set e0 down");
	assert_true(tap_write(tap_queue(tap, 0), frame, sizeof(frame)));
	run("ip link del %s", tap_name(tap));
	assert_false(tap_write(tap_queue(tap, 0), frame, sizeof(frame)));
	tap_close(tap);
}

static void test_one_process_per_nic(void **state)
{
	struct interface nic;
	struct tap *second = NULL;
	struct tap *tap;

	(void)state;
	need_namespace();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 1, &tap), 0);
	assert_int_equal(tap_open(&nic, 1, &second), -EBUSY);
	assert_null(second);
	tap_close(tap);
	run("ip link add fluxpin-%d type veth peer name other", nic.index);
	assert_int_equal(tap_open(&nic, 1, &tap), -EBUSY);
	run("ip link del other");
	assert_int_equal(tap_open(&nic, 0, &tap), -EINVAL);
	nic.index = 9999;
	assert_int_not_equal(tap_open(&nic, 1, &tap), 0);
	assert_int_equal(if_nametoindex("fluxpin-9999"), 0);
}

static void test_more_queues_than_a_tap_has(void **state)
{
	struct interface nic;
	struct tap *tap;

	(void)state;
	need_namespace();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 300, &tap), 0);
	assert_int_equal(tap_queue(tap, 256), tap_queue(tap, 0));
	assert_int_equal(tap_queue(tap, 299), tap_queue(tap, 43));
	tap_close(tap);
}

static void test_gone_after_close_and_kill(void **state)
{
	struct interface nic;
	struct tap *tap;
	char name[IF_NAMESIZE];
	char byte = 0;
	int ready[2];
	pid_t child;

	(void)state;
	need_namespace();
	nic = make_nic();
	assert_int_equal(tap_open(&nic, 2, &tap), 0);
	snprintf(name, sizeof(name), "%s", tap_name(tap));
	tap_close(tap);
	assert_int_equal(if_nametoindex(name), 0);
	tap_close(NULL);

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		if (tap_open(&nic, 2, &tap) == 0 && write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_not_equal(if_nametoindex(name), 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(if_nametoindex(name), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, namespace_enter, namespace_leave)
		TEST(test_frames_arrive_at_the_nic_bit_for_bit),
		TEST(test_too_short_is_refused),
		TEST(test_kernel_answers_arp_through_the_nic),
		TEST(test_device_is_set_up_as_said),
		TEST(test_kernel_says_nothing_on_it),
		TEST(test_follows_the_nic),
		TEST(test_down_is_refused),
		TEST(test_one_process_per_nic),
		TEST(test_more_queues_than_a_tap_has),
		TEST(test_gone_after_close_and_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
