/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Maglev table of a pool and the VIP table, shared by consecutive forwarding tables as long as
 * nothing changes that they are made from: a reload builds only what is new.
 *
 * Thread: control only. Allocates.
 */
#ifndef FLUXPIN_FORWARDING_POOL_H
#define FLUXPIN_FORWARDING_POOL_H

#include <stdint.h>

#include <fluxpin/maglev.h>
#include <fluxpin/vip_table.h>

/* Index and generation stand for pool, name and address of a backend. */
struct pool_member {
	uint16_t index;
	uint16_t generation;
	uint16_t weight;
};

struct pool_table {
	uint32_t references;
	uint32_t size;
	uint32_t member_count;
	struct pool_member *members;
	uint16_t *slots;
};

/*
 * The table of these members, whose names are names[i]: `old` (may be NULL) once more if it is the
 * same, else a new one. Returns 0 or -ENOMEM.
 */
int pool_table_get(struct pool_table *old, const struct pool_member *members,
		   const char *const *names, uint32_t count, uint32_t size,
		   struct pool_table **table);
struct pool_table *pool_table_share(struct pool_table *table);
void pool_table_release(struct pool_table *table);

struct vip_set {
	uint32_t references;
	uint32_t count;
	struct vip *vips;
	struct vip_table *table;
};

/* Takes `vips`, which came from malloc, also on failure. Else as pool_table_get. */
int vip_set_get(struct vip_set *old, struct vip *vips, uint32_t count, struct vip_set **set);
struct vip_set *vip_set_share(struct vip_set *set);
void vip_set_release(struct vip_set *set);

#endif
