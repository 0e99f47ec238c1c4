/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of NIC drivers, by the name that ethtool gives them: where AF_XDP zero-copy needs
 * something of its own. Nothing here asks the kernel which driver a NIC has (interface.h does).
 *
 * Thread: control.
 */
#ifndef FLUXPIN_DRIVER_H
#define FLUXPIN_DRIVER_H

#include <stdint.h>

/* Bytes that a UMEM frame must have for zero-copy with this driver: `configured`, or more. */
uint32_t driver_frame_size(const char *driver, uint32_t configured);

/*
 * What is wrong with zero-copy with this driver on this host, as the rest of a sentence that
 * begins with the interface's name; NULL when nothing is known. Reads sysfs.
 */
const char *driver_warning(const char *driver);

#endif
