/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks through the tunnel. The probe's socket connects to the VIP, with a mark that leads its
 * packets to the probe device; there they are read, told apart by their source port, and sent to
 * the one backend that is meant. The backend's answer comes to this host by itself.
 *
 *     socket ──> probe device ──> by source port ──> tunnel.send ──> backend
 *        ^                                                              │
 *        └──────────────── kernel <── NIC <── from the VIP ─────────────┘
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <fluxpin/probe_device.h>

#include "health_internal.h"

/* Packets taken at a time, so that other sockets are not kept waiting. */
#define BATCH	   256
#define PORT_COUNT 65536

#define IPV4_HEADER 20
#define IPV6_HEADER 40

enum {
	KIND_UDP = 1,
	KIND_IPV6 = 2,
};

/* The prober whose socket sent the packet, or NULL: the kernel's own, or of a probe long over. */
static struct prober *find_prober(const struct health *health, const uint8_t *packet, size_t length)
{
	size_t header = IPV6_HEADER;
	uint32_t kind = KIND_IPV6, port;
	uint8_t protocol;

	if (length < IPV4_HEADER)
		return NULL;
	if (packet[0] >> 4 == 4) {
		header = (size_t)(packet[0] & 15) * 4;
		protocol = packet[9];
		kind = 0;
	} else {
		protocol = packet[6];
	}
	if (length < header + 4 || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return NULL;
	kind |= protocol == IPPROTO_UDP ? KIND_UDP : 0;
	port = (uint32_t)packet[header] << 8 | (uint32_t)packet[header + 1];
	return health->tunnel_ports[kind * PORT_COUNT + port];
}

static void send_packet(struct health *health, const uint8_t *packet, size_t length)
{
	struct prober *prober = find_prober(health, packet, length);
	char reason[HEALTH_ERROR_SIZE], text[HEALTH_ERROR_SIZE + 64];
	int error;

	if (prober == NULL)
		return;
	error = health->tunnel.send(health->tunnel.context, prober->pool, prober->backend, packet,
				    length);
	/* What is only full for now is sent again, by TCP. */
	if (error == 0 || error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM ||
	    !prober->is_probing)
		return;
	snprintf(text, sizeof(text), "nothing can be sent to the backend: %s",
		 probe_error_text(-error, reason));
	prober_fail(prober, text);
}

static void on_readable(void *context, int descriptor, uint32_t events)
{
	struct health *health = context;
	uint8_t packet[PROBE_DEVICE_MTU];

	(void)descriptor;
	(void)events;
	for (int i = 0; i < BATCH; i++) {
		int length = probe_device_read(health->device, packet, sizeof(packet));

		if (length <= 0)
			return;
		send_packet(health, packet, (size_t)length);
	}
}

int health_set_tunnel(struct health *health, const struct health_tunnel *tunnel)
{
	struct probe_device *device;
	int error;

	health->tunnel_ports =
		calloc((KIND_UDP | KIND_IPV6) + 1, PORT_COUNT * sizeof(*health->tunnel_ports));
	if (health->tunnel_ports == NULL)
		return -ENOMEM;
	error = probe_device_open(&device);
	if (error != 0)
		goto out_ports;
	error = poller_watch(&health->poller, probe_device_descriptor(device), EPOLLIN, on_readable,
			     health);
	if (error != 0)
		goto out_device;
	health->tunnel = *tunnel;
	health->device = device;
	return 0;
out_device:
	probe_device_close(device);
out_ports:
	free(health->tunnel_ports);
	health->tunnel_ports = NULL;
	return error;
}

/* The port stays the prober's until its next probe: what the kernel says when the socket is closed
 * is still to be sent. */
static int note_port(struct prober *prober, int descriptor, bool is_udp)
{
	struct sockaddr_storage own;
	socklen_t length = sizeof(own);
	bool is_ipv6;
	uint16_t port_be;

	if (getsockname(descriptor, (struct sockaddr *)&own, &length) != 0)
		return -errno;
	is_ipv6 = own.ss_family == AF_INET6;
	port_be = is_ipv6 ? ((struct sockaddr_in6 *)&own)->sin6_port
			  : ((struct sockaddr_in *)&own)->sin_port;
	health_tunnel_forget(prober);
	prober->tunnel_port = (is_udp ? (uint32_t)KIND_UDP * PORT_COUNT : 0) +
			      (is_ipv6 ? (uint32_t)KIND_IPV6 * PORT_COUNT : 0) + ntohs(port_be);
	prober->health->tunnel_ports[prober->tunnel_port] = prober;
	return 0;
}

int health_tunnel_bind(struct prober *prober, int descriptor, int type)
{
	const struct check *check = prober->check;
	const struct health *health = prober->health;
	struct address source = address_is_ipv4(&check->configuration.vip) ? address_from_ipv4(0)
									   : (struct address){ 0 };
	struct sockaddr_storage storage;
	uint32_t mark;

	if (health->device == NULL)
		return -EOPNOTSUPP;
	if (!address_is_zero(&check->configuration.source))
		source = check->configuration.source;
	else if (!address_is_zero(&check->tunnel_source))
		source = check->tunnel_source;
	mark = probe_device_mark(health->device);
	if (setsockopt(descriptor, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0 ||
	    bind(descriptor, (struct sockaddr *)&storage,
		 probe_address_fill(&source, 0, &storage)) != 0)
		return -errno;
	return note_port(prober, descriptor, type == SOCK_DGRAM);
}

void health_tunnel_forget(struct prober *prober)
{
	struct prober **ports = prober->health->tunnel_ports;

	if (ports != NULL && ports[prober->tunnel_port] == prober)
		ports[prober->tunnel_port] = NULL;
}

void health_unset_tunnel(struct health *health)
{
	if (health->device == NULL)
		return;
	poller_forget(&health->poller, probe_device_descriptor(health->device));
	probe_device_close(health->device);
	free(health->tunnel_ports);
	health->device = NULL;
	health->tunnel_ports = NULL;
}
