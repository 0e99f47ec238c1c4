/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients of the listener get.
 *
 * Rendering the metrics of many thousand backends takes long and much memory, and clients may ask
 * often and read slowly. So a text is handed out again for as long as FRESH_NS, or ten times as
 * long as rendering it took, so that at most a tenth of the control thread's time goes into it; and
 * there are at most RENDERED_MAX texts in memory. While slow readers hold that many, the newest one
 * is handed out: it is no older than their deadline in listener.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "listener_internal.h"

#define FRESH_NS     100000000
#define FRESH_SHARE  10
#define RENDERED_MAX 4

struct rendered {
	struct listener_pages *pages;
	char *text;
};

static void release_rendered(void *context)
{
	struct rendered *rendered = context;

	rendered->pages->rendered--;
	free(rendered->text);
	free(rendered);
}

static bool add_headers(struct MHD_Response *response, const char *type)
{
	return MHD_add_response_header(response, "Content-Type", type) == MHD_YES &&
	       MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES &&
	       MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES &&
	       /* One request each, so that a client's deadline is that of its request. */
	       MHD_add_response_header(response, "Connection", "close") == MHD_YES;
}

static int render(struct listener_pages *pages, struct MHD_Response **response)
{
	struct rendered *rendered = calloc(1, sizeof(*rendered));
	struct MHD_Response *made;
	size_t length;
	int error;

	if (rendered == NULL)
		return -ENOMEM;
	rendered->pages = pages;
	error = pages->options.render(pages->options.context, &rendered->text, &length);
	if (error != 0) {
		free(rendered);
		return error;
	}
	pages->rendered++;
	made = MHD_create_response_from_buffer_with_free_callback_cls(length, rendered->text,
								      release_rendered, rendered);
	if (made == NULL) {
		release_rendered(rendered);
		return -ENOMEM;
	}
	if (!add_headers(made, "text/plain; version=0.0.4; charset=utf-8")) {
		MHD_destroy_response(made);
		return -ENOMEM;
	}
	*response = made;
	return 0;
}

/* Makes the newest text new enough, if it can. */
static int refresh_metrics(struct listener_pages *pages)
{
	uint64_t started = uv_hrtime(), took;
	struct MHD_Response *response;
	int error;

	if (pages->metrics != NULL &&
	    (started - pages->metrics_ns < pages->fresh_ns || pages->rendered >= RENDERED_MAX))
		return 0;
	error = render(pages, &response);
	if (error != 0)
		return error;
	if (pages->metrics != NULL)
		MHD_destroy_response(pages->metrics);
	pages->metrics = response;
	pages->metrics_ns = uv_hrtime();
	took = pages->metrics_ns - started;
	pages->fresh_ns = took * FRESH_SHARE > FRESH_NS ? took * FRESH_SHARE : FRESH_NS;
	return 0;
}

/* A line of plain text, copied; with the methods that there are, if it is about them. */
static enum MHD_Result answer_line(struct MHD_Connection *connection, unsigned int status,
				   const char *line)
{
	char text[LISTENER_REASON_SIZE + 1];
	int length = snprintf(text, sizeof(text), "%s\n", line);
	struct MHD_Response *response =
		MHD_create_response_from_buffer((size_t)length, text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (response == NULL)
		return MHD_NO;
	if (add_headers(response, "text/plain; charset=utf-8") &&
	    (status != MHD_HTTP_METHOD_NOT_ALLOWED ||
	     MHD_add_response_header(response, "Allow", "GET, HEAD") == MHD_YES))
		result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer_metrics(struct listener_pages *pages,
				      struct MHD_Connection *connection)
{
	int error = refresh_metrics(pages);

	if (error != 0)
		return answer_line(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, strerror(-error));
	return MHD_queue_response(connection, MHD_HTTP_OK, pages->metrics);
}

static enum MHD_Result answer_health(struct listener_pages *pages,
				     struct MHD_Connection *connection)
{
	char reason[LISTENER_REASON_SIZE] = "";

	if (pages->options.is_healthy(pages->options.context, reason))
		return answer_line(connection, MHD_HTTP_OK, "ok");
	return answer_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, reason);
}

enum MHD_Result listener_pages_answer(struct listener_pages *pages,
				      struct MHD_Connection *connection, const char *path,
				      const char *method)
{
	bool is_metrics = strcmp(path, "/metrics") == 0;
	bool is_health = strcmp(path, "/healthz") == 0;

	if (!is_metrics && !is_health && strcmp(path, "/") != 0)
		return answer_line(connection, MHD_HTTP_NOT_FOUND,
				   "not found: there are /, /metrics and /healthz");
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
				   "method not allowed: there are GET and HEAD");
	if (is_metrics)
		return answer_metrics(pages, connection);
	if (is_health)
		return answer_health(pages, connection);
	return MHD_queue_response(connection, MHD_HTTP_OK, pages->status);
}

int listener_pages_open(struct listener_pages *pages, const struct listener_options *options)
{
	/* libmicrohttpd does not write to what it is told to keep. */
	struct MHD_Response *status = MHD_create_response_from_buffer(
		listener_status_page_length, (void *)(uintptr_t)listener_status_page,
		MHD_RESPMEM_PERSISTENT);

	if (status == NULL)
		return -ENOMEM;
	if (!add_headers(status, "text/html; charset=utf-8") ||
	    MHD_add_response_header(status, "Content-Security-Policy", listener_status_policy) !=
		    MHD_YES ||
	    MHD_add_response_header(status, "Referrer-Policy", "no-referrer") != MHD_YES) {
		MHD_destroy_response(status);
		return -ENOMEM;
	}
	*pages = (struct listener_pages){ .options = *options, .status = status };
	return 0;
}

void listener_pages_close(struct listener_pages *pages)
{
	if (pages->metrics != NULL)
		MHD_destroy_response(pages->metrics);
	MHD_destroy_response(pages->status);
}
