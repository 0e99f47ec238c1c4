/* SPDX-License-Identifier: BSD-2-Clause */
/* What an HTTP transfer says about the backend, in plain words. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "health_http.h"

static void write_ranges(const struct health_check_configuration *check, char *text, size_t size)
{
	size_t used = 0;

	for (uint32_t i = 0; i < check->status_count && used < size; i++) {
		const struct status_range *range = &check->statuses[i];
		const char *link = i > 0 ? ", " : "";

		if (range->low == range->high)
			used += (size_t)snprintf(text + used, size - used, "%s%u", link,
						 range->low);
		else
			used += (size_t)snprintf(text + used, size - used, "%s%u-%u", link,
						 range->low, range->high);
	}
}

static bool is_expected(const struct health_check_configuration *check, long status)
{
	for (uint32_t i = 0; i < check->status_count; i++)
		if (status >= check->statuses[i].low && status <= check->statuses[i].high)
			return true;
	return false;
}

static enum probe_outcome judge_answer(struct prober *prober, char *text)
{
	const struct health_check_configuration *check = &prober->check->configuration;
	const struct http_probe *probe = &prober->http;
	char ranges[64];
	long status = 0;

	curl_easy_getinfo(probe->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!is_expected(check, status)) {
		write_ranges(check, ranges, sizeof(ranges));
		snprintf(text, HEALTH_ERROR_SIZE, "HTTP status %ld, expected %s", status, ranges);
		return PROBE_BAD;
	}
	if (check->body == NULL || probe->is_found)
		return PROBE_GOOD;
	snprintf(text, HEALTH_ERROR_SIZE, "the %s lacks \"%.80s\"",
		 probe->is_enough ? "first 64 KiB of the body" : "body", check->body);
	return PROBE_BAD;
}

/* In libcurl's words, which name what is wrong with a certificate. */
static void write_curl_error(const struct http_probe *probe, CURLcode status, char *text)
{
	const char *words = probe->error[0] != '\0' ? probe->error : curl_easy_strerror(status);

	snprintf(text, HEALTH_ERROR_SIZE, "%.*s", HEALTH_ERROR_SIZE - 1, words);
	if (isupper((unsigned char)text[0]) && islower((unsigned char)text[1]))
		text[0] = (char)tolower((unsigned char)text[0]);
}

enum probe_outcome http_judge(struct prober *prober, CURLcode status,
			      char text[static HEALTH_ERROR_SIZE])
{
	const struct http_probe *probe = &prober->http;
	long number = 0;

	if (status == CURLE_OK || (status == CURLE_WRITE_ERROR && probe->is_enough))
		return judge_answer(prober, text);
	if (probe->has_long_headers) {
		snprintf(text, HEALTH_ERROR_SIZE, "more than 64 KiB of headers");
		return PROBE_BAD;
	}
	curl_easy_getinfo(probe->easy, CURLINFO_OS_ERRNO, &number);
	if (probe->open_error != 0)
		number = probe->open_error;
	if (status == CURLE_COULDNT_CONNECT && number != 0) {
		probe_error_text((int)number, text);
		return probe_error_outcome((int)number);
	}
	switch (status) {
	case CURLE_OUT_OF_MEMORY:
	case CURLE_SSL_CACERT_BADFILE:
		write_curl_error(probe, status, text);
		return PROBE_UNDECIDED;
	case CURLE_GOT_NOTHING:
		snprintf(text, HEALTH_ERROR_SIZE, "the connection was closed without an answer");
		return PROBE_BAD;
	case CURLE_PARTIAL_FILE:
		snprintf(text, HEALTH_ERROR_SIZE, "the connection was closed in mid-answer");
		return PROBE_BAD;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		snprintf(text, HEALTH_ERROR_SIZE, "the answer is not HTTP/1");
		return PROBE_BAD;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		snprintf(text, HEALTH_ERROR_SIZE, "%s",
			 number == ECONNRESET ? "connection reset by peer" : "connection broken");
		return PROBE_BAD;
	default:
		write_curl_error(probe, status, text);
		return PROBE_BAD;
	}
}
