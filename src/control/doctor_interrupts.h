/* SPDX-License-Identifier: BSD-2-Clause */
/* The interrupt of a NIC's queue, by the names that drivers give them in /proc/interrupts. */
#ifndef FLUXPIN_DOCTOR_INTERRUPTS_H
#define FLUXPIN_DOCTOR_INTERRUPTS_H

#include <stdint.h>

/*
 * The number of the interrupt that is named for the interface and the receive queue, such as
 * "eth0-TxRx-3", "eth0-rx-3", "ice-eth0-TxRx-3" or "mlx5_comp3@..." (which names no interface, and
 * is not found); -1 when there is none. `file` has the form of /proc/interrupts. Thread: any.
 */
int interrupts_find(const char *file, const char *interface, uint32_t queue);

#endif
