/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the interface module: what only ethtool's ioctls tell, and sysfs. */
#ifndef FLUXPIN_INTERFACE_INTERNAL_H
#define FLUXPIN_INTERFACE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <fluxpin/interface.h>

/* Writes the driver's name, or "" when the device does not say. */
void interface_ethtool_driver(const char *name, char driver[static 32]);

/* The number of channels that receive (combined + rx), and of those that transmit (combined + tx);
 * 0 when the device does not say. */
uint32_t interface_ethtool_queues(const char *name, uint32_t *transmit_count);

/* Whether the folder of this name in sysfs is that of the device: sysfs shows the devices of the
 * network namespace in which it was mounted, which need not be ours. */
bool interface_sysfs_shows(const char *name, int index);

#endif
