/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/tunnel_frame.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

#include <fluxpin/flow.h>

/* What stands in front of the packet at most. */
#define HEADROOM (TUNNEL_FRAME_SIZE - TUNNEL_FRAME_MAX_PACKET)

int tunnel_frame_open(void)
{
	/* Of protocol 0 it receives nothing. */
	int descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return descriptor < 0 ? -errno : descriptor;
}

static uint64_t hash_flow(const struct packet *packet, uint64_t seed)
{
	if (!packet->is_ipv6)
		return flow_hash_ipv4(packet->source_be, packet->destination_be,
				      packet->source_port_be, packet->destination_port_be,
				      packet->protocol, seed);
	return flow_hash_ipv6(packet_ipv6_addresses(packet), packet->source_port_be,
			      packet->destination_port_be, packet->protocol, seed);
}

int tunnel_frame_build(const struct encapsulation_path *path, uint64_t hash_seed,
		       const void *ip_packet, uint32_t length,
		       uint8_t buffer[static TUNNEL_FRAME_SIZE], const uint8_t **frame)
{
	struct destination destination = { 0 };
	struct packet packet = {
		.frame = { .data = buffer + HEADROOM, .length = length, .headroom = HEADROOM }
	};
	enum packet_kind kind;

	if (length > TUNNEL_FRAME_MAX_PACKET)
		return -EMSGSIZE;
	if (length == 0)
		return -EINVAL;
	memcpy(buffer + HEADROOM, ip_packet, length);
	kind = packet_parse_ip(&packet, buffer[HEADROOM] >> 4 == 6);
	if (kind != PACKET_IPV4 && kind != PACKET_IPV6)
		return -EINVAL;
	if (kind == PACKET_IPV6 && !packet_walk_extensions(&packet))
		return -EINVAL;
	if (!packet.is_fragment)
		packet_parse_ports(&packet);
	packet.hash = hash_flow(&packet, hash_seed);
	encapsulation_prepare(&destination, path);
	if (!encapsulation_apply(&packet, &destination))
		return -EMSGSIZE;
	*frame = packet.frame.data;
	return (int)packet.frame.length;
}

int tunnel_frame_send(int socket, int index, const struct encapsulation_path *path,
		      uint64_t hash_seed, const void *packet, uint32_t length)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = index, .sll_halen = 6 };
	uint8_t buffer[TUNNEL_FRAME_SIZE];
	const uint8_t *frame;
	int size = tunnel_frame_build(path, hash_seed, packet, length, buffer, &frame);

	if (size < 0)
		return size;
	memcpy(to.sll_addr, frame, to.sll_halen);
	/* The Ethernet type, of the tag or the packet. */
	memcpy(&to.sll_protocol, frame + 12, sizeof(to.sll_protocol));
	if (sendto(socket, frame, (size_t)size, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}
