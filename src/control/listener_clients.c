/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clients of a listener, and when they have to leave.
 *
 * libmicrohttpd's time limit is one of silence, which a client that sends a byte now and then never
 * reaches. Deadlines are therefore kept here, from the accept on, and end a connection by shutdown:
 * the library sees its end and closes it.
 */
#include <sys/socket.h>

#include "listener_internal.h"

/* Above this, a new client makes the oldest leave; what is between this and the limit has been
 * told to, but is not gone yet. */
#define CROWDED (LISTENER_CONNECTIONS / 2)

static bool may_stay(const struct listener_client *client)
{
	return client->descriptor >= 0 && !client->is_leaving;
}

static void cut_off(struct listener_client *client)
{
	shutdown(client->descriptor, SHUT_RDWR);
	client->is_leaving = true;
}

static void make_room(struct listener_clients *clients)
{
	struct listener_client *oldest = NULL;

	for (int i = 0; i < LISTENER_CONNECTIONS; i++) {
		struct listener_client *client = &clients->slots[i];

		if (may_stay(client) && (oldest == NULL || client->number < oldest->number))
			oldest = client;
	}
	if (oldest != NULL)
		cut_off(oldest);
}

void listener_clients_start(struct listener_clients *clients)
{
	*clients = (struct listener_clients){ 0 };
	for (int i = 0; i < LISTENER_CONNECTIONS; i++)
		clients->slots[i].descriptor = -1;
}

struct listener_client *listener_clients_add(struct listener_clients *clients, int descriptor,
					     uint64_t now_ms)
{
	if (clients->count >= CROWDED)
		make_room(clients);
	for (int i = 0; i < LISTENER_CONNECTIONS; i++) {
		struct listener_client *client = &clients->slots[i];

		if (client->descriptor >= 0)
			continue;
		*client = (struct listener_client){ .descriptor = descriptor,
						    .since_ms = now_ms,
						    .number = clients->next_number++ };
		clients->count++;
		return client;
	}
	return NULL;
}

void listener_clients_remove(struct listener_clients *clients, struct listener_client *client)
{
	client->descriptor = -1;
	clients->count--;
}

void listener_clients_end(struct listener_clients *clients, uint64_t now_ms, uint64_t deadline_ms)
{
	for (int i = 0; i < LISTENER_CONNECTIONS; i++) {
		struct listener_client *client = &clients->slots[i];

		if (may_stay(client) && now_ms - client->since_ms >= deadline_ms)
			cut_off(client);
	}
}
