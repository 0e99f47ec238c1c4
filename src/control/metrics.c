/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of the textfile; metrics_text.c and the others write what is in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fluxpin/metrics.h>

/* Beside the file, so that the rename stays within one file system. The collector reads *.prom
 * only. */
static char *temporary_path(const char *path)
{
	char *temporary;

	return asprintf(&temporary, "%s.tmp", path) < 0 ? NULL : temporary;
}

/* A rename over a device such as /dev/null would replace it for the whole host. */
static bool is_replaceable(const char *path)
{
	struct stat status;

	return lstat(path, &status) != 0 || S_ISREG(status.st_mode);
}

int metrics_render(const struct metrics_source *source, char **text, size_t *length)
{
	char *rendered = NULL;
	size_t size;
	FILE *stream = open_memstream(&rendered, &size);

	if (stream == NULL)
		return -errno;
	metrics_print(source, stream);
	if (fclose(stream) != 0) {
		free(rendered);
		return -ENOMEM;
	}
	*text = rendered;
	*length = size;
	return 0;
}

static int write_all(int descriptor, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t written = write(descriptor, text, length);

		if (written < 0 && errno != EINTR)
			return -errno;
		if (written > 0) {
			text += written;
			length -= (size_t)written;
		}
	}
	return 0;
}

int metrics_write(const struct metrics_source *source, const char *path)
{
	char *temporary = temporary_path(path), *text = NULL;
	int descriptor, error;
	size_t length = 0;

	if (temporary == NULL)
		return -ENOMEM;
	error = is_replaceable(path) ? metrics_render(source, &text, &length) : -EINVAL;
	if (error != 0)
		goto out;
	/* A file of its own: what a killed process left goes, and what whoever else may write to
	 * the folder puts there, such as a link to another file, is not written through. */
	unlink(temporary);
	descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (descriptor < 0) {
		error = -errno;
		goto out;
	}
	error = write_all(descriptor, text, length);
	/* Whatever the umask: another user's collector has to read it. */
	if (fchmod(descriptor, 0644) != 0 && error == 0)
		error = -errno;
	if (close(descriptor) != 0 && error == 0)
		error = -errno;
	if (error == 0 && rename(temporary, path) != 0)
		error = -errno;
	if (error != 0)
		unlink(temporary);
out:
	free(text);
	free(temporary);
	return error;
}

void metrics_remove(const char *path)
{
	char *temporary = temporary_path(path);

	if (!is_replaceable(path)) {
		free(temporary);
		return;
	}
	unlink(path);
	if (temporary != NULL)
		unlink(temporary);
	free(temporary);
}
