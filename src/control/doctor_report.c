/* SPDX-License-Identifier: BSD-2-Clause */
/* The report, and what all checks read by. */
#include "doctor_internal.h"

#include <ctype.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *doctor_severity_name(enum doctor_severity severity)
{
	static const char *const names[DOCTOR_SEVERITY_COUNT] = {
		[DOCTOR_OK] = "ok",
		[DOCTOR_NOTE] = "note",
		[DOCTOR_WARNING] = "warning",
		[DOCTOR_ERROR] = "error",
	};

	return names[severity];
}

const char *doctor_probe_outcome_name(enum doctor_probe_outcome outcome)
{
	static const char *const names[] = {
		[PROBE_IMPOSSIBLE] = "impossible", [PROBE_NO_NEXT_HOP] = "no next hop",
		[PROBE_NO_ANSWER] = "no answer",   [PROBE_ICMP_ERROR] = "icmp error",
		[PROBE_REFUSED] = "refused",	   [PROBE_ANSWERED] = "answered",
	};

	return names[outcome];
}

void doctor_add(struct doctor_report *report, enum doctor_severity severity, const char *check,
		const char *subject, const char *command, const char *format, ...)
{
	struct doctor_finding finding = { .severity = severity, .check = check };
	struct doctor_finding *grown = report->findings;
	va_list arguments;
	int length;

	if (report->error != 0)
		return;
	report->error = -ENOMEM;
	if ((report->count & (report->count - 1)) == 0) {
		grown = reallocarray(grown, report->count ? 2 * (size_t)report->count : 1,
				     sizeof(*grown));
		if (grown == NULL)
			return;
		report->findings = grown;
	}
	va_start(arguments, format);
	length = vasprintf(&finding.sentence, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	finding.subject = strdup(subject);
	finding.command = command != NULL ? strdup(command) : NULL;
	if (finding.subject == NULL || (command != NULL && finding.command == NULL)) {
		free(finding.subject);
		free(finding.sentence);
		free(finding.command);
		return;
	}
	report->findings[report->count++] = finding;
	report->by_severity[severity]++;
	report->error = 0;
}

void doctor_report_release(struct doctor_report *report)
{
	for (uint32_t i = 0; i < report->count; i++) {
		free(report->findings[i].subject);
		free(report->findings[i].sentence);
		free(report->findings[i].command);
	}
	free(report->findings);
	*report = (struct doctor_report){ 0 };
}

const char *doctor_command(char buffer[static DOCTOR_COMMAND_SIZE], const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(buffer, DOCTOR_COMMAND_SIZE, format, arguments);
	va_end(arguments);
	return length >= 0 && length < DOCTOR_COMMAND_SIZE ? buffer : NULL;
}

const char *doctor_quote(const char *text, char *buffer, uint32_t size)
{
	uint32_t used = 0;
	bool is_plain = *text != '\0';

	for (const char *at = text; *at != '\0' && is_plain; at++)
		is_plain = isalnum((unsigned char)*at) || strchr("/._-:@%+,=", *at) != NULL;
	if (is_plain)
		return snprintf(buffer, size, "%s", text) < (int)size ? buffer : NULL;
	if (size < 3)
		return NULL;
	buffer[used++] = '\'';
	for (; *text != '\0'; text++) {
		/* Out of the quotes, an escaped one, and in again. */
		const char *written = *text == '\'' ? "'\\''" : (char[]){ *text, '\0' };
		uint32_t length = (uint32_t)strlen(written);

		if (used + length + 2 > size)
			return NULL;
		memcpy(buffer + used, written, length);
		used += length;
	}
	buffer[used++] = '\'';
	buffer[used] = '\0';
	return buffer;
}

long doctor_read_number(const char *path, long fallback)
{
	FILE *file = fopen(path, "re");
	long number = fallback;

	if (file == NULL)
		return fallback;
	if (fscanf(file, "%ld", &number) != 1)
		number = fallback;
	fclose(file);
	return number;
}

long doctor_read_conf(const char *interface, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", interface, name);
	return doctor_read_number(path, 0);
}

long doctor_read_effective_conf(const char *interface, const char *name)
{
	long all = doctor_read_conf("all", name), own = doctor_read_conf(interface, name);

	return all > own ? all : own;
}

static bool is_address(const struct sockaddr *socket_address, const struct address *address)
{
	if (socket_address == NULL)
		return false;
	if (socket_address->sa_family == AF_INET) {
		const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)socket_address;
		struct address mapped = address_from_ipv4(ipv4->sin_addr.s_addr);

		return address_equal(&mapped, address);
	}
	return socket_address->sa_family == AF_INET6 &&
	       memcmp(&((const struct sockaddr_in6 *)socket_address)->sin6_addr, address->bytes,
		      sizeof(address->bytes)) == 0;
}

/* The leading ones of a netmask. */
static uint8_t mask_length(const struct sockaddr *mask)
{
	const uint8_t *bytes = NULL;
	uint32_t size = 0, length = 0;

	if (mask != NULL && mask->sa_family == AF_INET) {
		bytes = (const uint8_t *)&((const struct sockaddr_in *)mask)->sin_addr;
		size = 4;
	} else if (mask != NULL && mask->sa_family == AF_INET6) {
		bytes = (const uint8_t *)&((const struct sockaddr_in6 *)mask)->sin6_addr;
		size = 16;
	}
	for (; length < 8 * size && (bytes[length / 8] >> (7 - length % 8) & 1) != 0; length++)
		;
	return (uint8_t)length;
}

bool doctor_find_local(const struct address *address, char *device, uint8_t *prefix_length)
{
	struct ifaddrs *addresses;
	bool is_found = false;

	if (getifaddrs(&addresses) != 0)
		return false;
	for (const struct ifaddrs *each = addresses; each != NULL && !is_found;
	     each = each->ifa_next) {
		is_found = is_address(each->ifa_addr, address);
		if (is_found) {
			/* An IPv4 address may have a label, "eth0:1". */
			snprintf(device, IF_NAMESIZE, "%.*s", (int)strcspn(each->ifa_name, ":"),
				 each->ifa_name);
			*prefix_length = mask_length(each->ifa_netmask);
		}
	}
	freeifaddrs(addresses);
	return is_found;
}
