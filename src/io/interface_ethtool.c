/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a device only the ethtool ioctls tell (linux/ethtool.h): driver, channels, offloads. */
#include "interface_internal.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Far above what any kernel names (64 in 6.x); bounds what a broken answer can make us allocate. */
#define FEATURE_LIMIT 1024

/* Likewise: mlx5 has 4096 entries at the most. */
#define SPREAD_LIMIT 65536

static int open_control_socket(void)
{
	/* Any datagram socket serves; netlink's is there even when IPv4 and IPv6 are not. */
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (control < 0)
		control = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	return control < 0 ? -errno : control;
}

static int ethtool(int control, const char *name, void *command)
{
	struct ifreq request = { .ifr_data = command };

	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	return ioctl(control, SIOCETHTOOL, &request) < 0 ? -errno : 0;
}

static int ethtool_once(const char *name, void *command)
{
	int control = open_control_socket();
	int error;

	if (control < 0)
		return control;
	error = ethtool(control, name, command);
	close(control);
	return error;
}

void interface_ethtool_driver(const char *name, char driver[static 32])
{
	struct ethtool_drvinfo information = { .cmd = ETHTOOL_GDRVINFO };

	_Static_assert(sizeof(information.driver) == 32, "struct interface holds the whole name");
	memset(driver, 0, 32);
	if (ethtool_once(name, &information) == 0)
		memcpy(driver, information.driver, sizeof(information.driver) - 1);
}

int interface_channels(const char *name, struct interface_channels *result)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	int error = ethtool_once(name, &channels);

	if (error != 0)
		return error;
	*result = (struct interface_channels){ .combined = channels.combined_count,
					       .receive = channels.rx_count,
					       .transmit = channels.tx_count };
	return 0;
}

uint32_t interface_ethtool_queues(const char *name, uint32_t *transmit_count)
{
	struct interface_channels channels;

	*transmit_count = 0;
	if (interface_channels(name, &channels) != 0)
		return 0;
	*transmit_count = channels.combined + channels.transmit;
	return channels.combined + channels.receive;
}

int interface_spread(const char *name, bool *is_used, uint32_t count)
{
	struct ethtool_rxfh_indir size = { .cmd = ETHTOOL_GRXFHINDIR };
	struct ethtool_rxfh_indir *table;
	int error = ethtool_once(name, &size);

	/* Asked with no room, the kernel tells how large the table is. */
	if (error != 0)
		return error;
	if (size.size == 0 || size.size > SPREAD_LIMIT)
		return -EOPNOTSUPP;
	table = calloc(1, sizeof(*table) + size.size * sizeof(table->ring_index[0]));
	if (table == NULL)
		return -ENOMEM;
	table->cmd = ETHTOOL_GRXFHINDIR;
	table->size = size.size;
	error = ethtool_once(name, table);
	if (error == 0) {
		memset(is_used, 0, count * sizeof(*is_used));
		for (uint32_t i = 0; i < size.size; i++)
			if (table->ring_index[i] < count)
				is_used[table->ring_index[i]] = true;
	}
	free(table);
	return error;
}

static int count_features(int control, const char *name, uint32_t *count)
{
	/* The answer, one number, stands behind the structure. */
	_Alignas(struct ethtool_sset_info)
		uint8_t request[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)] = { 0 };
	struct ethtool_sset_info *information = (struct ethtool_sset_info *)request;
	int error;

	information->cmd = ETHTOOL_GSSET_INFO;
	information->sset_mask = 1ULL << ETH_SS_FEATURES;
	error = ethtool(control, name, information);
	if (error != 0)
		return error;
	/* The kernel clears the bit of a set that it does not have. */
	if (information->sset_mask == 0 || information->data[0] == 0)
		return -EOPNOTSUPP;
	if (information->data[0] > FEATURE_LIMIT)
		return -E2BIG;
	*count = information->data[0];
	return 0;
}

static bool is_among(const char *feature, const char *const *features, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (strncmp(feature, features[i], ETH_GSTRING_LEN) == 0)
			return true;
	}
	return false;
}

/* The features that are looked for. */
struct wanted_features {
	const char *const *names;
	uint32_t count;
};

static int list_active(const struct ethtool_gstrings *names,
		       const struct ethtool_gfeatures *features,
		       const struct wanted_features *wanted, char *list, uint32_t size)
{
	uint32_t used = 0;

	list[0] = '\0';
	for (uint32_t i = 0; i < names->len; i++) {
		const char *feature = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;
		bool is_on = (features->features[i / 32].active >> (i % 32) & 1) != 0;
		int length;

		if (!is_on || !is_among(feature, wanted->names, wanted->count))
			continue;
		length = snprintf(list + used, size - used, "%s%.*s off", used > 0 ? " " : "",
				  ETH_GSTRING_LEN, feature);
		if (length < 0 || (uint32_t)length >= size - used)
			return -ENOSPC;
		used += (uint32_t)length;
	}
	return 0;
}

int interface_active_offloads(const char *name, const char *const *wanted_names,
			      uint32_t wanted_count, char *list, uint32_t size)
{
	const struct wanted_features wanted = { wanted_names, wanted_count };
	struct ethtool_gfeatures *features = NULL;
	struct ethtool_gstrings *names = NULL;
	uint32_t count;
	uint32_t blocks;
	int control;
	int error;

	if (size == 0)
		return -ENOSPC;
	control = open_control_socket();
	if (control < 0)
		return control;
	error = count_features(control, name, &count);
	if (error != 0)
		goto close_control;
	blocks = (count + 31) / 32;
	error = -ENOMEM;
	names = calloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN);
	features = calloc(1, sizeof(*features) + blocks * sizeof(features->features[0]));
	if (names == NULL || features == NULL)
		goto release;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = count;
	error = ethtool(control, name, names);
	if (error != 0)
		goto release;
	features->cmd = ETHTOOL_GFEATURES;
	features->size = blocks;
	error = ethtool(control, name, features);
	if (error == 0)
		error = names->len > count ? -EPROTO
					   : list_active(names, features, &wanted, list, size);
release:
	free(features);
	free(names);
close_control:
	close(control);
	return error;
}

int interface_harmful_offloads(const char *name, char *list, uint32_t size)
{
	static const char *const harmful[] = { "rx-gro-hw", "rx-lro", "rx-vlan-hw-parse",
					       "rx-vlan-stag-hw-parse" };

	return interface_active_offloads(name, harmful, sizeof(harmful) / sizeof(harmful[0]), list,
					 size);
}
