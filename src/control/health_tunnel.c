/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "health_internal.h"

int health_set_tunnel(struct health *health, const struct health_tunnel *tunnel)
{
	health->tunnel = *tunnel;
	return -EOPNOTSUPP;
}

int health_tunnel_bind(struct prober *prober, int descriptor, int type)
{
	(void)prober;
	(void)descriptor;
	(void)type;
	return -ENODEV;
}

void health_tunnel_forget(struct prober *prober)
{
	(void)prober;
}

void health_tunnel_close(struct health *health)
{
	(void)health;
}
