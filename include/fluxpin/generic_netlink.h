/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request to a generic netlink family of the kernel (linux/genetlink.h), found by its name.
 *
 * Thread: any; opens a socket for each call.
 */
#ifndef FLUXPIN_GENERIC_NETLINK_H
#define FLUXPIN_GENERIC_NETLINK_H

#include <linux/genetlink.h>

#include <fluxpin/netlink.h>

/* Of a message that the handler gets, its attributes begin behind a header of this size. */
#define GENERIC_NETLINK_HEADER sizeof(struct genlmsghdr)

/*
 * Asks `family` for `command`: with NLM_F_DUMP for all that there is (number_type 0), else with one
 * attribute that holds a 32-bit number. Returns 0; -EOPNOTSUPP when the kernel has no such family;
 * the kernel's or the handler's negative errno.
 */
int generic_netlink_ask(const char *family, uint8_t command, uint16_t flags, uint16_t number_type,
			uint32_t number, netlink_handler handler, void *context);

#endif
