/* SPDX-License-Identifier: BSD-2-Clause */
/* What listener.c (sockets, clients, the loop) and listener_pages.c (what they get) share. */
#ifndef FLUXPIN_LISTENER_INTERNAL_H
#define FLUXPIN_LISTENER_INTERNAL_H

#include <microhttpd.h>
#include <stdint.h>

#include <fluxpin/listener.h>

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
