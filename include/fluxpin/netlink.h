/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to rtnetlink (rtnetlink(7)) and their answers, a thin layer over libmnl that fixes what
 * every caller needs the same: sequence numbers and port ids are checked, so that a late answer to
 * an earlier request is skipped and never taken for this one's; a kernel error becomes a negative
 * errno, its text (extended ack) a debug message; a receive waits 1 s at most; a truncated message
 * is refused; an interrupted dump (NLM_F_DUMP_INTR) is asked again.
 *
 * Messages are built in place with libmnl's mnl_attr_put_* in a struct netlink_request; every
 * request of fluxpin fits its size by construction.
 *
 * Thread: one thread per socket. Calls make system calls on a local socket.
 */
#ifndef FLUXPIN_NETLINK_H
#define FLUXPIN_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <fluxpin/address.h>

/* A socket that asks, or one that listens. Holds no memory besides libmnl's. */
struct netlink {
	struct mnl_socket *socket; /* NULL: closed */
	uint32_t sequence;	   /* of the last request */
};

struct netlink_request {
	_Alignas(struct nlmsghdr) uint8_t bytes[1024];
};

/* Takes one message of an answer; a negative errno makes the whole call fail with it. */
typedef int (*netlink_handler)(const struct nlmsghdr *message, void *context);

/* Opens a socket for requests. Returns 0 or negative errno. */
int netlink_open(struct netlink *netlink);

/*
 * Opens a non-blocking socket that is a member of the given multicast groups (RTNLGRP_*). A group
 * that this kernel does not know is left out. Returns 0 or negative errno.
 */
int netlink_open_events(struct netlink *netlink, const unsigned int *groups, uint32_t count);

void netlink_close(struct netlink *netlink);

/*
 * Starts a request of `type` with a zeroed extra header of `header_size` bytes behind the netlink
 * header, which *header is pointed to. Returns the message, to which attributes are added.
 */
struct nlmsghdr *netlink_start(struct netlink_request *request, uint16_t type, uint16_t flags,
			       size_t header_size, void *header);

/*
 * Sends the request and reads its answer to the end (the acknowledgement, or the end of a dump).
 * The handler, which may be NULL, gets each message of the answer; in a dump that the kernel had to
 * interrupt it gets them again, so it must bear repetition.
 * Returns 0; the kernel's or the handler's negative errno; -ETIMEDOUT; -EMSGSIZE when a message was
 * truncated.
 */
int netlink_execute(struct netlink *netlink, struct nlmsghdr *request, netlink_handler handler,
		    void *context);

/* netlink_execute on a socket opened for this one request. */
int netlink_execute_once(struct nlmsghdr *request, netlink_handler handler, void *context);

/*
 * Reads what an event socket holds, without waiting, and at most some thousand datagrams so that
 * a flood cannot hold the caller. *lost is set when the kernel dropped messages (ENOBUFS).
 * Returns 0 or negative errno.
 */
int netlink_receive_events(struct netlink *netlink, netlink_handler handler, void *context,
			   bool *lost);

/* Adds an address as 4 or 16 bytes, as its family has it. */
void netlink_put_address(struct nlmsghdr *message, uint16_t type, const struct address *address);

/* Reads an address of 4 or 16 bytes; returns whether the attribute holds one. */
bool netlink_get_address(const struct nlattr *attribute, struct address *address);

/* Reads a number; returns whether the attribute has at least that many bytes. */
bool netlink_get_u8(const struct nlattr *attribute, uint8_t *value);
bool netlink_get_u32(const struct nlattr *attribute, uint32_t *value);

/*
 * Loops over the attributes behind a message's extra header, or inside another attribute: libmnl's
 * loops without their silent narrowing of a pointer difference.
 */
#define netlink_for_each_attribute(attribute, message, header_size)                                \
	for ((attribute) = mnl_nlmsg_get_payload_offset(message, header_size); mnl_attr_ok(        \
		     attribute, netlink_distance(attribute, mnl_nlmsg_get_payload_tail(message))); \
	     (attribute) = mnl_attr_next(attribute))

#define netlink_for_each_nested(attribute, parent)                                              \
	for ((attribute) = mnl_attr_get_payload(parent);                                        \
	     mnl_attr_ok(attribute, netlink_distance(attribute, mnl_attr_get_payload(parent)) + \
					    mnl_attr_get_payload_len(parent));                  \
	     (attribute) = mnl_attr_next(attribute))

static inline int netlink_distance(const void *from, const void *to)
{
	return (int)((const char *)to - (const char *)from);
}

/* AF_INET or AF_INET6. */
uint8_t netlink_family(const struct address *address);

#endif
