/* SPDX-License-Identifier: BSD-2-Clause */
#include "doctor_interrupts.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The number behind the last "-", or -1. */
static long trailing_number(const char *name)
{
	const char *dash = strrchr(name, '-');
	char *end;
	long number;

	if (dash == NULL || !isdigit((unsigned char)dash[1]))
		return -1;
	number = strtol(dash + 1, &end, 10);
	return *end == '\0' ? number : -1;
}

/* Whether the interface stands in it as a whole word between dashes, or at an end. */
static bool names_interface(const char *name, const char *interface)
{
	size_t length = strlen(interface);

	for (const char *at = name; (at = strstr(at, interface)) != NULL; at++) {
		bool begins = at == name || at[-1] == '-';

		if (begins && (at[length] == '-' || at[length] == '\0'))
			return true;
	}
	return false;
}

/* "eth0-tx-3", and not ena's "eth0-Tx-Rx-3". */
static bool only_transmits(const char *name)
{
	for (const char *at = name; *at != '\0'; at++)
		if (strncasecmp(at, "-tx-", 4) == 0)
			return strncasecmp(at + 4, "rx-", 3) != 0;
	return false;
}

/* Named for the device on its bus: by virtio, "virtio0-input.3", and by mlx5_core,
 * "mlx5_comp3@pci:0000:81:00.0". */
static bool names_device(const char *name, const char *device, uint32_t queue)
{
	char wanted[128];

	if (device[0] == '\0')
		return false;
	snprintf(wanted, sizeof(wanted), "%s-input.%u", device, queue);
	if (strcmp(name, wanted) == 0)
		return true;
	snprintf(wanted, sizeof(wanted), "mlx5_comp%u@pci:%s", queue, device);
	return strcmp(name, wanted) == 0;
}

int interrupts_find(const char *path, const char *interface, const char *device, uint32_t queue)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	int found = -1;

	if (file == NULL)
		return -1;
	while (found < 0 && getline(&line, &size, file) > 0) {
		char *end, *name;
		long number = strtol(line, &end, 10);

		/* "NUMBER: COUNT... CHIP TRIGGER NAME"; the others begin with letters. */
		if (end == line || *end != ':')
			continue;
		line[strcspn(line, "\n")] = '\0';
		for (name = line + strlen(line); name > line && isspace((unsigned char)name[-1]);)
			*--name = '\0';
		while (name > line && !isspace((unsigned char)name[-1]))
			name--;
		if (names_device(name, device, queue) ||
		    (names_interface(name, interface) && !only_transmits(name) &&
		     trailing_number(name) == (long)queue))
			found = (int)number;
	}
	free(line);
	fclose(file);
	return found;
}
