/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fluxpin/log.h>

#include "control_internal.h"

#define BACKLOG 64

static int make_socket(void)
{
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return descriptor < 0 ? -errno : descriptor;
}

/* Whether a process takes connections there: -EADDRINUSE; 0 when nobody does. */
static int check_abandoned(const struct sockaddr_un *address)
{
	int descriptor = make_socket(), error = 0;

	if (descriptor < 0)
		return descriptor;
	/* A full backlog (EAGAIN) is a living one, too. */
	if (connect(descriptor, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno == EAGAIN)
		error = -EADDRINUSE;
	else if (errno != ECONNREFUSED && errno != ENOENT)
		error = -errno;
	close(descriptor);
	return error;
}

/* Makes way for the socket, if what is there is one that a killed daemon left. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat status;
	int error;

	if (lstat(address->sun_path, &status) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	error = check_abandoned(address);
	if (error != 0)
		return error;
	log_info("control socket %s: replacing the one that a killed process left",
		 address->sun_path);
	return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

/* With the mode from the first moment on, whatever the umask is. */
static int bind_privately(int descriptor, const struct sockaddr_un *address)
{
	mode_t before = umask(0177);
	int error = bind(descriptor, (const struct sockaddr *)address, sizeof(*address)) == 0
			    ? 0
			    : -errno;

	umask(before);
	return error;
}

/* /run is empty after each boot, so nobody but a service manager could have made the folder of the
 * usual path. */
static bool make_default_directory(const char *path)
{
	char directory[] = CONTROL_DEFAULT_PATH;

	if (strcmp(path, CONTROL_DEFAULT_PATH) != 0)
		return false;
	*strrchr(directory, '/') = '\0';
	return mkdir(directory, 0755) == 0;
}

static void remove_default_directory(void)
{
	char directory[] = CONTROL_DEFAULT_PATH;

	*strrchr(directory, '/') = '\0';
	rmdir(directory);
}

static void log_failure(const char *path, int error)
{
	const char *slash = strrchr(path, '/');

	switch (error) {
	case -EADDRINUSE:
		log_error("control socket %s: another process answers there, perhaps another "
			  "fluxpin: give each its own path",
			  path);
		break;
	case -EEXIST:
		log_error("control socket %s: there is something that is not a socket", path);
		break;
	case -ENOENT:
		log_error("control socket %s: the folder %.*s does not exist", path,
			  slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
		break;
	default:
		log_error("control socket %s: %s", path, strerror(-error));
	}
}

int control_check_folder(const char *path)
{
	const char *slash = path != NULL ? strrchr(path, '/') : NULL;
	char *folder;
	int error = 0;

	if (slash == NULL || slash == path || strcmp(path, CONTROL_DEFAULT_PATH) == 0)
		return 0;
	folder = strndup(path, (size_t)(slash - path));
	if (folder == NULL)
		return -ENOMEM;
	if (access(folder, F_OK) != 0) {
		error = -errno;
		log_failure(path, error);
	}
	free(folder);
	return error;
}

int control_listener_open(const char *path, struct control_listener *listener)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct control_listener made = { .descriptor = -1 };
	struct stat status;
	int error = -ENAMETOOLONG;

	if (strlen(path) >= sizeof(address.sun_path))
		goto fail;
	strcpy(address.sun_path, path);
	error = -ENOMEM;
	made.path = strdup(path);
	if (made.path == NULL)
		goto fail;
	made.descriptor = error = make_socket();
	if (error < 0)
		goto fail;
	made.made_directory = make_default_directory(path);
	error = remove_stale(&address);
	if (error == 0)
		error = bind_privately(made.descriptor, &address);
	if (error != 0)
		goto fail;
	if (listen(made.descriptor, BACKLOG) != 0 || lstat(path, &status) != 0) {
		error = -errno;
		unlink(path);
		goto fail;
	}
	made.device = status.st_dev;
	made.inode = status.st_ino;
	*listener = made;
	return 0;
fail:
	log_failure(path, error);
	if (made.descriptor >= 0)
		close(made.descriptor);
	if (made.made_directory)
		remove_default_directory();
	free(made.path);
	return error;
}

void control_listener_remove(struct control_listener *listener)
{
	struct stat status;

	if (lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
	    status.st_ino == listener->inode) {
		unlink(listener->path);
		if (listener->made_directory)
			remove_default_directory();
	}
	free(listener->path);
	listener->path = NULL;
}
