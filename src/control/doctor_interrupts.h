/* SPDX-License-Identifier: BSD-2-Clause */
/* The interrupt of a NIC's queue, by the names that drivers give them in /proc/interrupts. */
#ifndef FLUXPIN_DOCTOR_INTERRUPTS_H
#define FLUXPIN_DOCTOR_INTERRUPTS_H

#include <stdint.h>

/*
 * The number of the interrupt of a receive queue, by the interface's name, such as "eth0-TxRx-3",
 * "eth0-rx-3", "eth0-Tx-Rx-3", "ice-eth0-TxRx-3", or by the name of its device on its bus ("" when
 * it has none), such as "virtio0-input.3" and "mlx5_comp3@pci:0000:81:00.0"; -1 when there is none.
 * `path` is of a file in the form of /proc/interrupts. Thread: any.
 */
int interrupts_find(const char *path, const char *interface, const char *device, uint32_t queue);

#endif
