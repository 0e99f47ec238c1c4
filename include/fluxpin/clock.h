/* SPDX-License-Identifier: BSD-2-Clause */
/* The monotonic clock, for whoever does not own time as the pipeline and replay do. Thread: any. */
#ifndef FLUXPIN_CLOCK_H
#define FLUXPIN_CLOCK_H

#include <stdint.h>

uint64_t clock_ns(void);
uint64_t clock_ms(void);

#endif
