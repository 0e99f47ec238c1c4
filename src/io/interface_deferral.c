/* SPDX-License-Identifier: BSD-2-Clause */
/* For how long a NIC's interrupts are put off after a poll of its queues. */
#include "interface_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <fluxpin/generic_netlink.h>

/* Of linux/netdev.h (Linux 6.8 and 6.13), which older headers lack. */
enum {
	NAPI_GET = 11,		/* NETDEV_CMD_NAPI_GET */
	NAPI_NUMBER = 2,	/* NETDEV_A_NAPI_ID */
	NAPI_DEFER = 5,		/* NETDEV_A_NAPI_DEFER_HARD_IRQS */
	NAPI_FLUSH_TIMEOUT = 6, /* NETDEV_A_NAPI_GRO_FLUSH_TIMEOUT */
};

/* A "uint" of netlink: four bytes or eight. */
static bool take_number(const struct nlattr *attribute, uint64_t *number)
{
	uint16_t length = mnl_attr_get_payload_len(attribute);
	uint32_t small;

	if (length == sizeof(*number)) {
		memcpy(number, mnl_attr_get_payload(attribute), sizeof(*number));
		return true;
	}
	if (!netlink_get_u32(attribute, &small))
		return false;
	*number = small;
	return true;
}

struct napi_search {
	struct interface_deferral deferral;
	int found;
};

static int take_napi(const struct nlmsghdr *message, void *context)
{
	struct napi_search *search = context;
	const struct nlattr *attribute;

	netlink_for_each_attribute(attribute, message, GENERIC_NETLINK_HEADER)
	{
		switch (mnl_attr_get_type(attribute)) {
		case NAPI_DEFER:
			search->found += netlink_get_u32(attribute, &search->deferral.hard_irqs);
			break;
		case NAPI_FLUSH_TIMEOUT:
			search->found += take_number(attribute, &search->deferral.flush_timeout_ns);
			break;
		}
	}
	return 0;
}

int interface_napi_deferral(uint32_t napi, struct interface_deferral *deferral)
{
	struct napi_search search = { 0 };
	int error =
		generic_netlink_ask("netdev", NAPI_GET, 0, NAPI_NUMBER, napi, take_napi, &search);

	if (error != 0)
		return error;
	if (search.found != 2)
		return -EOPNOTSUPP;
	*deferral = search.deferral;
	return 0;
}

static int read_setting(const char *name, const char *file, uint64_t *value)
{
	char path[96];
	FILE *stream;
	int count;

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, file);
	stream = fopen(path, "re");
	if (stream == NULL)
		return -errno;
	count = fscanf(stream, "%" SCNu64, value);
	fclose(stream);
	return count == 1 ? 0 : -EIO;
}

int interface_deferral(const char *name, int index, struct interface_deferral *deferral)
{
	uint64_t hard_irqs, timeout;
	int error;

	if (!interface_sysfs_shows(name, index))
		return -ENODEV;
	error = read_setting(name, "napi_defer_hard_irqs", &hard_irqs);
	if (error == 0)
		error = read_setting(name, "gro_flush_timeout", &timeout);
	if (error != 0)
		return error;
	deferral->hard_irqs = (uint32_t)hard_irqs;
	deferral->flush_timeout_ns = timeout;
	return 0;
}
