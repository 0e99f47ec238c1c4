/* SPDX-License-Identifier: BSD-2-Clause */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <fluxpin/driver.h>

#define LARGEST_FRAME 4096 /* bytes; AF_XDP's limit is a page */

/*
 * igb and igc give their NICs the size of receive buffers in whole kilobytes, rounded down
 * (BSIZEPKT in igb_setup_srrctl and igc_configure_rx_ring, Linux 6.14). Of 2048 bytes less XDP's
 * headroom that leaves 1024, and the rest of a longer frame would arrive as a frame of its own.
 */
uint32_t driver_frame_size(const char *driver, uint32_t configured)
{
	if (strcmp(driver, "igb") == 0 || strcmp(driver, "igc") == 0)
		return LARGEST_FRAME;
	return configured;
}

/*
 * virtio_net maps the header of zero-copy frames, a static variable, for DMA (xsk_hdr in
 * virtnet_xsk_pool_enable, Linux 6.13 to 7.3 at least). A module's variables have no such address:
 * the device reads other memory in its place, and drops the frames unless that is zero.
 */
const char *driver_warning(const char *driver)
{
	/* Only a module that was loaded has this file. */
	if (strcmp(driver, "virtio_net") == 0 &&
	    access("/sys/module/virtio_net/initstate", F_OK) == 0)
		return "virtio_net, as a module, may send zero-copy frames with a broken header, "
		       "so that all are lost; mode = \"copy\" is safe";
	return NULL;
}
