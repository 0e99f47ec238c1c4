/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

bool interface_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	/* What the kernel allows (dev_valid_name), and no non-ASCII bytes. */
	if (length == 0 || length >= IF_NAMESIZE || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isascii(name[i]) || !isgraph(name[i]) || strchr("/:", name[i]))
			return false;
	}
	return true;
}

static int parse_list(const char *noun, const char *text, uint32_t limit, bool sort,
		      uint16_t **numbers, uint32_t *count, const char **error)
{
	static _Thread_local char message[NUMBER_LIST_ERROR_SIZE + 16];
	char reason[NUMBER_LIST_ERROR_SIZE];
	int status = number_list_parse(text, limit, sort, numbers, count, reason);

	if (status == -EINVAL) {
		snprintf(message, sizeof(message), "the %s list %s", noun, reason);
		*error = message;
	} else if (status != 0) {
		*error = "out of memory";
	}
	return status;
}

int interface_configuration_parse(const char *text, struct interface_configuration *interface,
				  const char **error)
{
	struct interface_configuration parsed = {
		.mode = XDP_MODE_AUTO,
		.busy_poll.budget = BUSY_POLL_BUDGET_DEFAULT,
	};
	char *copy = strdup(text), *queues, *cpus;
	int status = -EINVAL;

	if (!copy) {
		*error = "out of memory";
		return -EINVAL;
	}
	/* No interface name holds a ":", but one may hold an "@": the first ":" comes first. */
	queues = strchr(copy, ':');
	if (queues)
		*queues++ = '\0';
	cpus = queues ? strchr(queues, '@') : NULL;
	if (cpus)
		*cpus++ = '\0';
	if (!interface_name_is_valid(copy)) {
		*error = "an interface's name is 1 to 15 characters without spaces and \"/\"";
		goto out;
	}
	memcpy(parsed.name, copy, strlen(copy) + 1);
	if (queues && parse_list("queue", queues, CONFIGURATION_MAX_QUEUES - 1, true,
				 &parsed.queues, &parsed.queue_count, error) != 0)
		goto out;
	if (cpus && parse_list("CPU", cpus, CPU_NUMBER_MAX, false, &parsed.cpus, &parsed.cpu_count,
			       error) != 0)
		goto out;
	*interface = parsed;
	memset(&parsed, 0, sizeof(parsed));
	status = 0;
out:
	interface_configuration_release(&parsed);
	free(copy);
	return status;
}

void interface_configuration_release(struct interface_configuration *interface)
{
	free(interface->queues);
	free(interface->cpus);
	interface->queues = NULL;
	interface->cpus = NULL;
	interface->queue_count = 0;
	interface->cpu_count = 0;
}

int interface_configuration_add(const char *text, struct interface_configuration **list,
				uint32_t *count, const char **error)
{
	struct interface_configuration *grown = reallocarray(*list, *count + 1, sizeof(*grown));
	int status;

	*error = "out of memory";
	if (grown == NULL)
		return -ENOMEM;
	*list = grown;
	memset(&grown[*count], 0, sizeof(*grown));
	status = interface_configuration_parse(text, &grown[*count], error);
	if (status != 0)
		return status;
	for (uint32_t i = 0; i < *count; i++) {
		if (strcmp(grown[i].name, grown[*count].name) != 0)
			continue;
		interface_configuration_release(&grown[*count]);
		*error = "interface given twice";
		return -EINVAL;
	}
	++*count;
	return 0;
}
