/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a backend, and when it is probed next.
 *
 * Damping: the first two falls cost nothing. Each one after that, while those before are not
 * forgotten, doubles the good probes in a row that bring the backend up again, up to five minutes'
 * worth. One fall is forgotten every five minutes, so a backend that goes on flapping at the limit
 * stays at the limit, and one that has become stable is like any other after a while.
 */
#include "health_internal.h"

/* Beyond this many, `needed` has reached its limit for every interval. */
#define FALLS_MAX 32

uint32_t health_machine_needed(const struct health_machine *machine,
			       const struct health_check_configuration *check)
{
	uint64_t limit = HEALTH_DAMPING_MAX_NS / check->interval_ns, needed = check->rise;

	for (uint32_t fall = HEALTH_FREE_FALLS; fall < machine->falls && needed < limit; fall++)
		needed *= 2;
	/* The limit never makes it less than `rise`. */
	if (needed > limit && needed > check->rise)
		needed = limit > check->rise ? limit : check->rise;
	return (uint32_t)needed;
}

bool health_machine_is_damped(const struct health_machine *machine,
			      const struct health_check_configuration *check)
{
	return !machine->is_up && machine->run >= check->rise;
}

static void fall(struct health_machine *machine, uint64_t now_ns)
{
	uint64_t forgotten = (now_ns - machine->last_fall_ns) / HEALTH_FORGET_NS;

	machine->falls = machine->falls > forgotten ? machine->falls - (uint32_t)forgotten : 0;
	if (machine->falls < FALLS_MAX)
		machine->falls++;
	machine->last_fall_ns = now_ns;
	machine->flaps++;
}

bool health_machine_take(struct health_machine *machine,
			 const struct health_check_configuration *check, bool is_good,
			 uint64_t now_ns)
{
	uint32_t needed = machine->is_up ? check->fall : health_machine_needed(machine, check);

	if (is_good == machine->is_up) {
		machine->run = 0;
		return false;
	}
	if (++machine->run < needed)
		return false;
	machine->run = 0;
	machine->is_up = is_good;
	machine->since_ns = now_ns;
	if (!is_good)
		fall(machine, now_ns);
	return true;
}

/* Never more than the interval: so `fall` bad probes take no more than as many intervals. */
uint64_t health_next_delay(uint64_t interval_ns, uint64_t random)
{
	return interval_ns - random % (interval_ns / 20 + 1);
}

uint64_t health_first_delay(uint64_t interval_ns, uint64_t random)
{
	return random % interval_ns;
}

uint64_t health_align(uint64_t due_ns, uint64_t interval_ns)
{
	return due_ns - due_ns % (interval_ns / HEALTH_STARTS);
}
