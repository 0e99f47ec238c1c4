/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_exchange.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fluxpin/clock.h>
#include <fluxpin/tunnel_frame.h>

#define TRIES	    2
#define TRY_TIME_MS 500

static socklen_t to_socket_address(const struct address *address, struct sockaddr_storage *storage)
{
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)storage;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)storage;

	memset(storage, 0, sizeof(*storage));
	if (address_is_ipv4(address)) {
		ipv4->sin_family = AF_INET;
		ipv4->sin_addr.s_addr = address->words_be[3];
		return sizeof(*ipv4);
	}
	ipv6->sin6_family = AF_INET6;
	memcpy(&ipv6->sin6_addr, address->bytes, sizeof(address->bytes));
	return sizeof(*ipv6);
}

/* Takes a free port of the source address. Returns the socket that holds it. */
static int hold_port(struct probe_flow *flow)
{
	struct sockaddr_storage name;
	socklen_t length = to_socket_address(&flow->source, &name);
	int descriptor = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error = 0;

	if (descriptor < 0)
		return -errno;
	if (bind(descriptor, (struct sockaddr *)&name, length) != 0 ||
	    getsockname(descriptor, (struct sockaddr *)&name, &length) != 0) {
		error = -errno;
		close(descriptor);
		return error;
	}
	/* At the same place in both families. */
	flow->source_port = ntohs(((struct sockaddr_in *)&name)->sin_port);
	return descriptor;
}

/*
 * Only TCP to the port, and ICMP, from IPv4 and IPv6 headers without extensions: the kernel throws
 * the rest away before it is copied (classic BPF, packet(7); offsets count from the IP header).
 */
static int set_filter(int descriptor, uint16_t port)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 10),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMP, 9, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 7),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_JUMP(BPF_JMP | BPF_JA, 3, 0, 0),
		/* IPv6 */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 4, 0),
		BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 40),
		/* The destination port, behind a header of X bytes. */
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 65535),
	};
	struct sock_fprog filter = { .len = sizeof(program) / sizeof(program[0]),
				     .filter = program };

	return setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0
		       ? 0
		       : -errno;
}

/* Listens on every interface: the answer comes by the route of the backend's choice. */
static int listen_beside(uint16_t port)
{
	struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	/* Of protocol 0 at first, so that nothing comes before the filter is there. */
	int descriptor = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (descriptor < 0)
		return -errno;
	error = set_filter(descriptor, port);
	if (error == 0 && bind(descriptor, (struct sockaddr *)&all, sizeof(all)) != 0)
		error = -errno;
	if (error != 0) {
		close(descriptor);
		return error;
	}
	return descriptor;
}

/* Takes what came; whether the answer is there. */
static bool take_answer(int descriptor, const struct probe_flow *flow, struct probe_answer *answer)
{
	uint8_t packet[2048];
	struct sockaddr_ll from;
	socklen_t from_length = sizeof(from);
	ssize_t length;

	while ((length = recvfrom(descriptor, packet, sizeof(packet), 0, (struct sockaddr *)&from,
				  &from_length)) >= 0) {
		from_length = sizeof(from);
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		*answer = probe_read(flow, packet, (uint32_t)length);
		if (answer->kind != PROBE_OTHER)
			return true;
	}
	return false;
}

static bool wait_for_answer(int descriptor, const struct probe_flow *flow, uint64_t end,
			    struct probe_answer *answer)
{
	struct pollfd events = { .fd = descriptor, .events = POLLIN };
	uint64_t now;

	while ((now = clock_ms()) < end) {
		if (poll(&events, 1, (int)(end - now)) > 0 && take_answer(descriptor, flow, answer))
			return true;
	}
	return false;
}

static int send_packet(int descriptor, const struct probe_exchange *exchange, const uint8_t *packet,
		       uint32_t length)
{
	return tunnel_frame_send(descriptor, exchange->interface, exchange->path,
				 exchange->hash_seed, packet, length);
}

static int exchange_packets(struct probe_exchange *exchange, int sender, int listener,
			    struct probe_answer *answer)
{
	uint8_t packet[PROBE_PACKET_SIZE];
	uint32_t length = probe_build_syn(&exchange->flow, exchange->packet_length, packet);
	uint64_t end = clock_ms();
	int error;

	*answer = (struct probe_answer){ .kind = PROBE_OTHER };
	for (int i = 0; i < TRIES; i++) {
		error = send_packet(sender, exchange, packet, length);
		if (error != 0)
			return error;
		end += TRY_TIME_MS;
		if (wait_for_answer(listener, &exchange->flow, end, answer))
			break;
	}
	if (answer->kind == PROBE_SYN_ACK) {
		length = probe_build_reset(&exchange->flow, packet);
		return send_packet(sender, exchange, packet, length);
	}
	return 0;
}

int probe_exchange_run(struct probe_exchange *exchange, struct probe_answer *answer)
{
	int port, sender = -1, listener = -1, error = 0;

	if (getrandom(&exchange->flow.sequence, sizeof(exchange->flow.sequence), 0) < 0)
		return -errno;
	port = hold_port(&exchange->flow);
	if (port < 0)
		return port;
	listener = listen_beside(exchange->flow.source_port);
	if (listener < 0) {
		error = listener;
		goto close_port;
	}
	sender = tunnel_frame_open();
	if (sender < 0) {
		error = sender;
		goto close_listener;
	}
	error = exchange_packets(exchange, sender, listener, answer);
	close(sender);
close_listener:
	close(listener);
close_port:
	close(port);
	return error;
}
