/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http and https probes. Each is one connection and one request, without redirects, proxies, DNS
 * or anything that comes from the environment. What a server may send is bounded: what does not
 * come within the timeout is not waited for, and of headers and body 64 KiB each are read.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "health_http.h"

#define READ_MAX    65536
#define BUFFER_SIZE 2048L

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct prober *prober = context;
	int descriptor = probe_socket_open(prober, SOCK_STREAM);

	(void)purpose;
	(void)address;
	if (descriptor >= 0)
		return descriptor;
	prober->http.open_error = -descriptor;
	return CURL_SOCKET_BAD;
}

static int close_socket(void *context, curl_socket_t descriptor)
{
	(void)context;
	return close(descriptor);
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
	struct http_probe *probe = &((struct prober *)context)->http;

	(void)bytes;
	probe->header_length += size * count;
	probe->has_long_headers |= probe->header_length > READ_MAX;
	return probe->has_long_headers ? 0 : size * count;
}

/* Whether what is searched for came, in whole or its end, with the bytes that are new. */
static bool search(struct http_probe *probe, const char *bytes, size_t length, const char *wanted)
{
	size_t wanted_length = strlen(wanted), start;

	if (probe->body == NULL)
		probe->body = malloc(READ_MAX);
	if (probe->body == NULL)
		return false;
	start = probe->body_length < wanted_length ? 0 : probe->body_length - wanted_length + 1;
	memcpy(probe->body + probe->body_length, bytes, length);
	return memmem(probe->body + start, probe->body_length + length - start, wanted,
		      wanted_length) != NULL;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
	struct prober *prober = context;
	struct http_probe *probe = &prober->http;
	const char *wanted = prober->check->configuration.body;
	size_t length = size * count;

	if (length > READ_MAX - probe->body_length)
		length = READ_MAX - probe->body_length;
	if (wanted != NULL)
		probe->is_found = search(probe, bytes, length, wanted);
	probe->body_length += length;
	probe->is_enough = probe->is_found || probe->body_length == READ_MAX;
	/* Less than what came ends the transfer. */
	return probe->is_enough ? 0 : size * count;
}

/* The URL has the address, or the name for SNI and the certificate, which is not looked up. */
static int name_target(struct prober *prober)
{
	const struct health_check_configuration *check = &prober->check->configuration;
	const struct address *target =
		check->via == HEALTH_CHECK_TUNNEL ? &check->vip : &prober->address;
	char text[ADDRESS_TEXT_SIZE], address[ADDRESS_TEXT_SIZE + 2], line[ADDRESS_TEXT_SIZE + 16];

	address_format(target, text);
	snprintf(address, sizeof(address), address_is_ipv4(target) ? "%s" : "[%s]", text);
	if (check->sni != NULL && prober->http.connect_to == NULL) {
		snprintf(line, sizeof(line), "::%s:%u", address, check->port);
		prober->http.connect_to = curl_slist_append(NULL, line);
		if (prober->http.connect_to == NULL)
			return -ENOMEM;
	}
	if (asprintf(&prober->http.url, "%s://%s:%u/",
		     check->type == HEALTH_CHECK_HTTPS ? "https" : "http",
		     check->sni != NULL ? check->sni : address, check->port) < 0) {
		prober->http.url = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Collects the first error of many calls. */
#define SET(option, value)                                              \
	do {                                                            \
		if (status == CURLE_OK)                                 \
			status = curl_easy_setopt(easy, option, value); \
	} while (0)

static CURL *open_handle(const struct check *check)
{
	const struct health_check_configuration *configuration = &check->configuration;
	long verify = configuration->insecure ? 0 : 1;
	CURLcode status = CURLE_OK;
	CURL *easy = curl_easy_init();

	if (easy == NULL)
		return NULL;
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_REQUEST_TARGET, configuration->path);
	SET(CURLOPT_HTTPHEADER, check->headers);
	SET(CURLOPT_USERAGENT, "fluxpin/" FLUXPIN_VERSION);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_TCP_NODELAY, 0L);
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	/* Entries would be searched one by one after every probe. */
	SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	SET(CURLOPT_BUFFERSIZE, BUFFER_SIZE);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_SSL_VERIFYPEER, verify);
	SET(CURLOPT_SSL_VERIFYHOST, 2 * verify);
	if (configuration->ca_file != NULL) {
		SET(CURLOPT_CAINFO, configuration->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_CA_CACHE_TIMEOUT, HTTP_CA_SECONDS);
	if (status == CURLE_OK)
		return easy;
	curl_easy_cleanup(easy);
	return NULL;
}

static CURLcode aim(CURL *easy, struct prober *prober)
{
	CURLcode status = CURLE_OK;

	SET(CURLOPT_URL, prober->http.url);
	SET(CURLOPT_CONNECT_TO, prober->http.connect_to);
	SET(CURLOPT_PRIVATE, prober);
	SET(CURLOPT_OPENSOCKETDATA, prober);
	SET(CURLOPT_HEADERDATA, prober);
	SET(CURLOPT_WRITEDATA, prober);
	SET(CURLOPT_ERRORBUFFER, prober->http.error);
	return status;
}

/* Ends the transfer, if it has not ended, and keeps the handle for another one. */
static void let_go(struct prober *prober)
{
	struct http_probe *probe = &prober->http;
	struct check *check = prober->check;

	if (probe->easy != NULL) {
		curl_multi_remove_handle(check->client->multi, probe->easy);
		curl_easy_setopt(probe->easy, CURLOPT_ERRORBUFFER, NULL);
		if (check->idle_count < HTTP_IDLE_MAX)
			check->idle[check->idle_count++] = probe->easy;
		else
			curl_easy_cleanup(probe->easy);
	}
	probe->easy = NULL;
	free(probe->body);
	probe->body = NULL;
}

void probe_http_start(struct prober *prober)
{
	struct http_probe *probe = &prober->http;
	struct check *check = prober->check;
	const char *error = "out of memory";

	probe->body_length = probe->header_length = 0;
	probe->is_enough = probe->is_found = probe->has_long_headers = false;
	probe->open_error = 0;
	probe->error[0] = '\0';
	if (probe->url == NULL && name_target(prober) != 0)
		goto out;
	probe->easy = check->idle_count > 0 ? check->idle[--check->idle_count] : open_handle(check);
	if (probe->easy == NULL)
		goto out;
	if (aim(probe->easy, prober) != CURLE_OK ||
	    curl_multi_add_handle(check->client->multi, probe->easy) != CURLM_OK)
		goto out;
	return;
out:
	let_go(prober);
	prober_finish(prober, PROBE_UNDECIDED, error);
}

void probe_http_cancel(struct prober *prober)
{
	let_go(prober);
}

void probe_http_release(struct prober *prober)
{
	free(prober->http.url);
	curl_slist_free_all(prober->http.connect_to);
}

void probe_http_ended(struct prober *prober, CURLcode status)
{
	char text[HEALTH_ERROR_SIZE];
	enum probe_outcome outcome = http_judge(prober, status, text);

	let_go(prober);
	prober_finish(prober, outcome, outcome == PROBE_GOOD ? NULL : text);
}

void http_check_release(struct check *check)
{
	for (uint32_t i = 0; i < check->idle_count; i++)
		curl_easy_cleanup(check->idle[i]);
	curl_slist_free_all(check->headers);
}
