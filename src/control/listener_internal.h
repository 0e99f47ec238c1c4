/* SPDX-License-Identifier: BSD-2-Clause */
/* What listener.c (sockets, the loop), listener_clients.c (who may stay) and listener_pages.c (what
 * they get) share. */
#ifndef FLUXPIN_LISTENER_INTERNAL_H
#define FLUXPIN_LISTENER_INTERNAL_H

#include <microhttpd.h>
#include <stdint.h>

#include <fluxpin/listener.h>

struct listener_client {
	int descriptor;	 /* -1: a free slot */
	bool is_leaving; /* told to, but the library still has it */
	uint64_t since_ms;
	uint64_t number; /* in the order of arrival */
};

struct listener_clients {
	struct listener_client slots[LISTENER_CONNECTIONS];
	uint32_t count;
	uint64_t next_number;
};

void listener_clients_start(struct listener_clients *clients);

/* Makes the oldest one leave when there are many. NULL when there is no slot. */
struct listener_client *listener_clients_add(struct listener_clients *clients, int descriptor,
					     uint64_t now_ms);
void listener_clients_remove(struct listener_clients *clients, struct listener_client *client);

/* Makes those leave that have been there for that long. */
void listener_clients_end(struct listener_clients *clients, uint64_t now_ms, uint64_t deadline_ms);

/* Metrics as text, shared by all who ask for them within a short time. */
struct listener_pages {
	struct listener_options options;
	struct MHD_Response *metrics; /* the newest, or NULL */
	uint64_t metrics_ns;	      /* when it was rendered, by uv_hrtime */
	uint64_t fresh_ns;	      /* for how long it is handed out */
	uint32_t rendered;	      /* texts in memory: the newest, and older ones being read */
	struct MHD_Response *status;
};

/* Returns 0 or -ENOMEM. */
int listener_pages_open(struct listener_pages *pages, const struct listener_options *options);

/* After the daemons whose clients read them have stopped. */
void listener_pages_close(struct listener_pages *pages);

/* Answers one request. */
enum MHD_Result listener_pages_answer(struct listener_pages *pages,
				      struct MHD_Connection *connection, const char *path,
				      const char *method);

/* status.html and its Content-Security-Policy, made by cmake/embed.py. */
extern const char listener_status_page[];
extern const size_t listener_status_page_length;
extern const char listener_status_policy[];

#endif
