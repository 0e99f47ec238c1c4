/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of http probes share: health_http.c, health_http_client.c, health_http_answer.c.
 */
#ifndef FLUXPIN_HEALTH_HTTP_H
#define FLUXPIN_HEALTH_HTTP_H

#include "health_internal.h"

/* A CA file that changed is in use after this many seconds. */
#define HTTP_CA_SECONDS 60L

/* A multi handle, and when libcurl wants to be called next. */
struct http_client {
	struct http_client *next;
	struct health *health;
	CURLM *multi;
	char *ca_file;	 /* NULL: those without */
	uint32_t users;	 /* checks */
	uint64_t due_ns; /* 0: not at all */
};

/* The transfer of a probe has ended; not from within a callback of libcurl. */
void probe_http_ended(struct prober *prober, CURLcode status);

/* What an ended transfer says about the backend; `text` why it is not good. */
enum probe_outcome http_judge(struct prober *prober, CURLcode status,
			      char text[static HEALTH_ERROR_SIZE]);

#endif
