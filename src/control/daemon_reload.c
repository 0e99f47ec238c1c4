/* SPDX-License-Identifier: BSD-2-Clause */
/* A reload: reads the file again, makes it active or says why not, and keeps count. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <fluxpin/log.h>

#include "daemon_internal.h"

static void warn_changes(const struct daemon *daemon, const struct configuration *new)
{
	const char *settings[DAEMON_RESTART_MAX];
	uint32_t count = daemon_find_restart(daemon, new, settings);

	for (uint32_t i = 0; i < count; i++)
		log_warning("reload: %s changed; that takes a restart", settings[i]);
	if (daemon->configuration->hash_seed != new->hash_seed)
		log_warning("reload: hash_seed changed; open connections lose their backend");
}

/* Whether this host has what the interfaces ask for. What is only worth a warning was said at the
 * start. */
static int check_host(const struct configuration *configuration, struct findings *findings)
{
	struct findings unsaid = { 0 };
	int error = configuration_check_host(configuration, &unsaid);

	findings_release(&unsaid);
	/* Again into those of the file, which alone can be printed. */
	return error == 0 ? 0 : configuration_check_host(configuration, findings);
}

static int read_configuration(struct daemon *daemon, struct configuration **new,
			      struct findings *findings)
{
	int error = configuration_read(daemon->options->configuration_file, new, findings);

	/* With interfaces on the command line, those of the file are not in use. */
	if (error == 0 && daemon->options->interface_count == 0) {
		error = check_host(*new, findings);
		if (error != 0)
			configuration_release(*new);
	}
	findings_print(findings, stderr);
	return error;
}

static int reload(struct daemon *daemon, struct findings *findings)
{
	struct metrics_source *metrics = &daemon->metrics;
	struct configuration *new;
	int error;

	log_info("reload: reading %s", daemon->options->configuration_file);
	error = read_configuration(daemon, &new, findings);
	if (error == 0) {
		warn_changes(daemon, new);
		error = daemon_begin_announce(daemon, new);
		if (error == 0)
			error = daemon_activate(daemon, new, findings);
		if (error != 0 && findings->error_count == 0)
			findings_add(findings, false, (struct position){ 0 },
				     "the configuration cannot be made active: %s (the daemon's "
				     "log says what failed)",
				     strerror(-error));
		if (error != 0)
			configuration_release(new);
	}
	metrics->last_reload_successful = error == 0;
	if (error != 0) {
		daemon_end_announce(daemon, false);
		metrics->reloads_failed++;
		log_error("reload refused: configuration generation %llu stays active",
			  (unsigned long long)metrics->generation);
		return error;
	}
	metrics->reloads_succeeded++;
	metrics->last_success_seconds = time(NULL);
	log_info("configuration generation %llu active: VIPs %u, pools %u, backends %u",
		 (unsigned long long)metrics->generation, daemon->configuration->vip_count,
		 configuration_size(daemon->configuration).pools,
		 configuration_size(daemon->configuration).backends);
	daemon_end_announce(daemon, true);
	return 0;
}

int daemon_reload(struct daemon *daemon, struct findings *findings)
{
	const char *path = daemon_metrics_path(daemon);
	char *old_path = path != NULL ? strdup(path) : NULL;
	int error = reload(daemon, findings);

	if (error == 0) {
		path = daemon_metrics_path(daemon);
		if (old_path != NULL && (path == NULL || strcmp(path, old_path) != 0))
			metrics_remove(old_path);
		daemon_start_metrics_timer(daemon);
		daemon_follow_listener(daemon);
		daemon_follow_control(daemon);
		daemon_warn_later(daemon);
	}
	free(old_path);
	daemon_write_metrics(daemon);
	return error;
}
