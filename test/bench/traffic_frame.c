/* SPDX-License-Identifier: BSD-2-Clause */
#include "traffic_frame.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/interface.h>

#include "traffic.h"

static bool read_mac(const char *interface, uint8_t *mac)
{
	struct interface found;
	int error = interface_query(interface, &found);

	if (error != 0) {
		fprintf(stderr, "fluxpin-bench: %s: %s\n", interface, strerror(-error));
		return false;
	}
	memcpy(mac, found.mac, sizeof(found.mac));
	return true;
}

bool traffic_frame_make(const struct traffic_options *options, uint8_t *frame)
{
	struct ether_header ethernet = { .ether_type = htons(ETHERTYPE_IP) };
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons(TRAFFIC_LENGTH - sizeof(ethernet)),
		.frag_off = htons(IP_DF),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.daddr = options->vip.s_addr,
	};
	struct udphdr udp = {
		.dest = htons((uint16_t)options->port),
		.len = htons(TRAFFIC_LENGTH - sizeof(ethernet) - sizeof(ip)),
	};
	struct traffic_tail tail = { .run = TRAFFIC_FIRST_RUN + (uint32_t)getpid() };

	memcpy(ethernet.ether_dhost, &options->mac, ETH_ALEN);
	if (!read_mac(options->interface, ethernet.ether_shost))
		return false;
	memset(frame, 0, TRAFFIC_LENGTH);
	memcpy(frame, &ethernet, sizeof(ethernet));
	memcpy(frame + sizeof(ethernet), &ip, sizeof(ip));
	memcpy(frame + sizeof(ethernet) + sizeof(ip), &udp, sizeof(udp));
	memcpy(frame + TRAFFIC_LENGTH - sizeof(tail), &tail, sizeof(tail));
	traffic_set_flow(frame, 0, traffic_frame_sum(frame));
	return true;
}

uint32_t traffic_frame_sum(const uint8_t *frame)
{
	uint32_t sum = 0;

	for (size_t at = sizeof(struct ether_header);
	     at < sizeof(struct ether_header) + sizeof(struct iphdr); at += sizeof(uint16_t)) {
		uint16_t word;

		memcpy(&word, frame + at, sizeof(word));
		if (at < TRAFFIC_CHECKSUM || at >= TRAFFIC_SOURCE + sizeof(uint32_t))
			sum += word;
	}
	return sum;
}

uint32_t traffic_frame_run(const uint8_t *frame)
{
	struct traffic_tail tail;

	memcpy(&tail, frame + TRAFFIC_LENGTH - sizeof(tail), sizeof(tail));
	return tail.run;
}
