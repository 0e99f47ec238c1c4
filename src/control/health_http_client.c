/* SPDX-License-Identifier: BSD-2-Clause */
/* libcurl's multi handles on the loop: sockets by the poller, time-outs by one timer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <fluxpin/log.h>

#include "health_http.h"

static void on_timer(uv_timer_t *timer);

/* Has the timer run out when the first client wants to, or before: then it is set again. libcurl
 * changes its mind several times a probe. */
static void wait_for(struct health *health, uint64_t due_ns)
{
	if (health->http_due_ns != 0 && health->http_due_ns <= due_ns)
		return;
	health->http_due_ns = due_ns;
	health_start_timer(health, &health->http_timer, on_timer, due_ns);
}

/* Takes what has ended. */
static void collect(struct http_client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
		CURLcode status = message->data.result;
		struct prober *prober = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &prober);
		probe_http_ended(prober, status);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct health *health = timer->data;
	uint64_t now_ns = clock_ns(), due_ns = UINT64_MAX;
	int running;

	health->http_due_ns = 0;
	for (struct http_client *client = health->clients; client; client = client->next) {
		if (client->due_ns == 0 || client->due_ns > now_ns)
			continue;
		client->due_ns = 0;
		curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		collect(client);
	}
	for (const struct http_client *client = health->clients; client; client = client->next)
		if (client->due_ns != 0 && client->due_ns < due_ns)
			due_ns = client->due_ns;
	if (due_ns != UINT64_MAX)
		wait_for(health, due_ns);
}

static void on_ready(void *context, int descriptor, uint32_t events)
{
	struct http_client *client = context;
	int what = 0, running;

	what |= events & EPOLLIN ? CURL_CSELECT_IN : 0;
	what |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
	what |= events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
	curl_multi_socket_action(client->multi, descriptor, what, &running);
	collect(client);
}

static int on_socket(CURL *easy, curl_socket_t descriptor, int what, void *context, void *unused)
{
	struct http_client *client = context;
	uint32_t events = 0;

	(void)easy;
	(void)unused;
	if (what == CURL_POLL_REMOVE) {
		poller_forget(&client->health->poller, descriptor);
		return 0;
	}
	events |= what & CURL_POLL_IN ? EPOLLIN : 0;
	events |= what & CURL_POLL_OUT ? EPOLLOUT : 0;
	/* Not watched for want of memory: the probe times out. */
	poller_watch(&client->health->poller, descriptor, events, on_ready, client);
	return 0;
}

/* May be called from within libcurl, which must not be called from there. */
static int on_wait(CURLM *multi, long milliseconds, void *context)
{
	struct http_client *client = context;

	(void)multi;
	client->due_ns = 0;
	if (milliseconds < 0)
		return 0;
	client->due_ns = clock_ns() + (uint64_t)milliseconds * UINT64_C(1000000);
	wait_for(client->health, client->due_ns);
	return 0;
}

/* A file that is not there would take every backend down. */
static int check_ca_file(const char *name)
{
	int file = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0;
	char byte;

	if (file < 0 || read(file, &byte, 1) < 0)
		error = -errno;
	if (file >= 0)
		close(file);
	if (error != 0)
		log_error("health checks: CA file %s: %s", name, strerror(-error));
	return error;
}

static bool has_ca_file(const struct http_client *client, const char *ca_file)
{
	if (client->ca_file == NULL || ca_file == NULL)
		return client->ca_file == ca_file;
	return strcmp(client->ca_file, ca_file) == 0;
}

static int client_new(struct health *health, const char *ca_file, struct http_client **result)
{
	struct http_client *client;
	int error = ca_file != NULL ? check_ca_file(ca_file) : 0;

	if (error != 0)
		return error;
	client = calloc(1, sizeof(*client));
	if (client == NULL)
		return -ENOMEM;
	client->health = health;
	client->multi = curl_multi_init();
	client->ca_file = ca_file != NULL ? strdup(ca_file) : NULL;
	if (client->multi == NULL || (ca_file != NULL && client->ca_file == NULL)) {
		curl_multi_cleanup(client->multi);
		free(client->ca_file);
		free(client);
		return -ENOMEM;
	}
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_wait);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	client->next = health->clients;
	health->clients = client;
	*result = client;
	return 0;
}

void http_client_put(struct health *health, struct http_client *client)
{
	struct http_client **link = &health->clients;

	if (client == NULL || --client->users > 0)
		return;
	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	curl_multi_cleanup(client->multi);
	free(client->ca_file);
	free(client);
}

int http_check_prepare(struct health *health, struct check *check)
{
	const struct health_check_configuration *configuration = &check->configuration;
	struct http_client *client = health->clients;
	const char *ca_file = configuration->insecure ? NULL : configuration->ca_file;
	char line[512];
	int error = 0;

	if (configuration->type != HEALTH_CHECK_HTTP && configuration->type != HEALTH_CHECK_HTTPS)
		return 0;
	if (configuration->type == HEALTH_CHECK_HTTP)
		ca_file = NULL;
	check->headers = curl_slist_append(NULL, "Connection: close");
	if (check->headers == NULL)
		return -ENOMEM;
	if (configuration->host != NULL) {
		snprintf(line, sizeof(line), "Host: %s", configuration->host);
		if (curl_slist_append(check->headers, line) == NULL)
			return -ENOMEM;
	}
	while (client != NULL && !has_ca_file(client, ca_file))
		client = client->next;
	if (client == NULL)
		error = client_new(health, ca_file, &client);
	if (error != 0)
		return error;
	client->users++;
	check->client = client;
	return 0;
}
