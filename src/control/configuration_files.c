/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that the configuration names, as they are on this host. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <fluxpin/control.h>

#include "configuration_internal.h"

static bool uses_ca_file(const struct health_check_configuration *check)
{
	return check->type == HEALTH_CHECK_HTTPS && !check->insecure && check->ca_file != NULL;
}

static int compare_checks(const void *a, const void *b)
{
	const struct health_check_configuration *left = *(const void *const *)a;
	const struct health_check_configuration *right = *(const void *const *)b;
	int order = strcmp(left->ca_file, right->ca_file);

	return order != 0 ? order : (left > right) - (left < right);
}

/* Each file once, where the first pool names it. */
static int check_ca_files(const struct configuration *configuration, struct findings *findings)
{
	const struct health_check_configuration **checks =
		calloc(configuration->pool_count + 1, sizeof(*checks));
	uint32_t count = 0;
	int error = 0;

	if (checks == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < configuration->pool_count; i++)
		if (uses_ca_file(&configuration->pools[i].health_check))
			checks[count++] = &configuration->pools[i].health_check;
	if (count > 0)
		qsort(checks, count, sizeof(*checks), compare_checks);
	for (uint32_t i = 0; i < count && error == 0; i++) {
		char problem[CERTIFICATE_ERROR_SIZE];

		if ((i > 0 && strcmp(checks[i]->ca_file, checks[i - 1]->ca_file) == 0) ||
		    certificate_file_check(checks[i]->ca_file, problem))
			continue;
		error = findings_add(findings, true, checks[i]->ca_file_position, "\"%s\" %s",
				     checks[i]->ca_file, problem);
	}
	free(checks);
	return error;
}

static int check_folder(const struct configuration *configuration, const char *folder,
			struct findings *findings)
{
	struct position position = configuration->control_position;
	struct stat status;

	if (stat(folder, &status) != 0)
		return findings_add(findings, true, position,
				    "the folder of the control socket, %s, cannot be used: %s",
				    folder, strerror(errno));
	if (!S_ISDIR(status.st_mode))
		return findings_add(findings, true, position,
				    "the control socket would be in %s, which is not a folder",
				    folder);
	if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0)
		return findings_add(findings, true, position,
				    "anybody may write to the folder of the control socket, %s, "
				    "and so take its place (chmod o-w %s)",
				    folder, folder);
	return 0;
}

/* fluxpin makes that of the usual path itself. */
static int check_control(const struct configuration *configuration, struct findings *findings)
{
	const char *path = configuration->control, *slash;
	char *folder;
	int error;

	if (path == NULL || strcmp(path, CONTROL_DEFAULT_PATH) == 0)
		return 0;
	slash = strrchr(path, '/');
	folder = slash == NULL ? strdup(".")
			       : strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (folder == NULL)
		return -ENOMEM;
	error = check_folder(configuration, folder, findings);
	free(folder);
	return error;
}

int configuration_check_files(const struct configuration *configuration, struct findings *findings)
{
	int error = check_ca_files(configuration, findings);

	return error == 0 ? check_control(configuration, findings) : error;
}
