/* SPDX-License-Identifier: BSD-2-Clause */
/* What is written of backends, pools, health checks and announced VIPs, from made-up sources. Those
 * of workers are of real ones: test/lab. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <fluxpin/metrics.h>

static struct backend_configuration web_backends[] = {
	{ .name = (char *)"up", .weight = 100 },
	{ .name = (char *)"down", .weight = 100 },
	{ .name = (char *)"out", .weight = 7 },
	{ .name = (char *)"zero", .weight = 0 },
};

static struct backend_configuration last_backends[] = {
	{ .name = (char *)"a", .weight = 5 },
};

static struct pool_configuration pools[] = {
	{ .name = (char *)"web", .backends = web_backends, .backend_count = 4 },
	{ .name = (char *)"last", .backends = last_backends, .backend_count = 1 },
};

static struct vip_configuration vips[] = {
	{ .name = (char *)"told" },
	{ .name = (char *)"quiet" },
	{ .name = (char *)"back\\slash\"quote" },
};

static struct configuration configuration = {
	.pools = pools, .pool_count = 2, .vips = vips, .vip_count = 3
};

static struct forwarding_backend backends[] = {
	{ .pool = 0, .backend = 0 }, { .pool = 0, .backend = 1 }, { .pool = 0, .backend = 2 },
	{ .pool = 0, .backend = 3 }, { .pool = 1, .backend = 0 },
};

static uint16_t vip_indexes[] = { 0, 1, 2 };

static struct forwarding_tables tables = { .backends = backends,
					   .backend_count = 5,
					   .vip_indexes = vip_indexes };

static struct forwarding_state state = { .tables = &tables };

static const char context_mark;

static void read_backend(const void *context, uint32_t pool, uint32_t backend,
			 struct metrics_backend *out)
{
	assert_ptr_equal(context, &context_mark);
	assert_true(out->is_healthy);
	if (pool == 1) {
		*out = (struct metrics_backend){ .is_checked = true,
						 .is_last_resort = true,
						 .weight = 5,
						 .probes_bad = 12,
						 .flaps = 1 };
		return;
	}
	if (backend == 0) {
		out->is_checked = true;
		out->weight = 33;
		out->probes_good = 4000000000000;
		out->probes_bad = 2;
		out->flaps = 3;
		out->latency_ns = 2000345678;
	} else if (backend == 1) {
		*out = (struct metrics_backend){ .is_checked = true, .probes_bad = 3, .flaps = 1 };
	} else if (backend == 2) {
		out->is_drained = true;
		out->weight = 0;
	}
}

static bool read_announcement(const void *context, uint32_t vip, bool *is_announced)
{
	assert_ptr_equal(context, &context_mark);
	if (vip == 1)
		return false;
	*is_announced = vip == 0;
	return true;
}

static char *render(bool with_functions)
{
	const struct metrics_source source = {
		.configuration = &configuration,
		.state = &state,
		.generation = 7,
		.last_reload_successful = true,
		.context = &context_mark,
		.backend = with_functions ? read_backend : NULL,
		.announcement = with_functions ? read_announcement : NULL,
	};
	size_t length;
	char *text;

	assert_int_equal(metrics_render(&source, &text, &length), 0);
	assert_int_equal(strlen(text), length);
	return text;
}

/* The first line is a comment, so that each sample has a line end on both sides. */
static void assert_line(const char *text, const char *line)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (strstr(text, whole) == NULL)
		fail_msg("no line %s in\n%s", line, text);
}

static void assert_family_is_absent(const char *text, const char *name)
{
	if (strstr(text, name) != NULL)
		fail_msg("%s in\n%s", name, text);
}

static void test_without_sources(void **unused)
{
	char *text = render(false);

	(void)unused;
	assert_line(text, "fluxpin_config_generation 7");
	assert_line(text, "fluxpin_backend_healthy{pool=\"web\",backend=\"down\"} 1");
	assert_line(text, "fluxpin_backend_weight{pool=\"web\",backend=\"out\"} 7");
	assert_line(text, "fluxpin_backend_drained{pool=\"web\",backend=\"out\"} 0");
	assert_line(text, "fluxpin_pool_backends{pool=\"web\",state=\"serving\"} 3");
	assert_line(text, "fluxpin_pool_backends{pool=\"web\",state=\"down\"} 0");
	assert_line(text, "fluxpin_pool_backends{pool=\"web\",state=\"drained\"} 1");
	assert_line(text, "fluxpin_pool_last_resort{pool=\"last\"} 0");
	assert_family_is_absent(text, "fluxpin_health_");
	assert_family_is_absent(text, "fluxpin_backend_health_changes_total");
	assert_family_is_absent(text, "fluxpin_vip_announced");
	assert_family_is_absent(text, "fluxpin_worker_stalled");
	free(text);
}

static void test_backends(void **unused)
{
	char *text = render(true);

	(void)unused;
	assert_line(text, "fluxpin_backend_healthy{pool=\"web\",backend=\"up\"} 1");
	assert_line(text, "fluxpin_backend_healthy{pool=\"web\",backend=\"down\"} 0");
	assert_line(text, "fluxpin_backend_healthy{pool=\"last\",backend=\"a\"} 0");
	assert_line(text, "fluxpin_backend_weight{pool=\"web\",backend=\"up\"} 33");
	assert_line(text, "fluxpin_backend_weight{pool=\"web\",backend=\"zero\"} 0");
	assert_line(text, "fluxpin_backend_drained{pool=\"web\",backend=\"out\"} 1");
	assert_line(text, "fluxpin_backend_drained{pool=\"web\",backend=\"zero\"} 0");
	free(text);
}

static void test_each_backend_is_in_one_state(void **unused)
{
	char *text = render(true);

	(void)unused;
	assert_line(text, "fluxpin_pool_backends{pool=\"web\",state=\"serving\"} 1");
	assert_line(text, "fluxpin_pool_backends{pool=\"web\",state=\"down\"} 1");
	assert_line(text, "fluxpin_pool_backends{pool=\"web\",state=\"drained\"} 2");
	/* Down, but serving. */
	assert_line(text, "fluxpin_pool_backends{pool=\"last\",state=\"serving\"} 1");
	assert_line(text, "fluxpin_pool_backends{pool=\"last\",state=\"down\"} 0");
	assert_line(text, "fluxpin_pool_last_resort{pool=\"web\"} 0");
	assert_line(text, "fluxpin_pool_last_resort{pool=\"last\"} 1");
	free(text);
}

static void test_health(void **unused)
{
	char *text = render(true);

	(void)unused;
	assert_line(text, "fluxpin_backend_health_changes_total{pool=\"web\",backend=\"up\"} 3");
	assert_line(text, "fluxpin_health_probes_total{pool=\"web\",backend=\"up\","
			  "result=\"success\"} 4000000000000");
	assert_line(text, "fluxpin_health_probes_total{pool=\"web\",backend=\"down\","
			  "result=\"failure\"} 3");
	assert_line(text, "fluxpin_health_probe_latency_seconds{pool=\"web\",backend=\"up\"} "
			  "2.000345678");
	/* None has succeeded yet; not checked at all. */
	assert_family_is_absent(text, "latency_seconds{pool=\"web\",backend=\"down\"");
	assert_family_is_absent(text, "probes_total{pool=\"web\",backend=\"out\"");
	free(text);
}

static void test_announcements(void **unused)
{
	char *text = render(true);

	(void)unused;
	assert_line(text, "fluxpin_vip_announced{vip=\"told\"} 1");
	assert_line(text, "fluxpin_vip_announced{vip=\"back\\\\slash\\\"quote\"} 0");
	assert_family_is_absent(text, "vip_announced{vip=\"quiet\"}");
	free(text);
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void get(const char *path, char *text, int size)
{
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_non_null(fgets(text, size, file));
	fclose(file);
}

/* The folder is often another user's, the collector's: a link beside the file would lead a daemon
 * of root to any file of the host. */
static void test_the_temporary_file_is_no_link(void **unused)
{
	const struct metrics_source source = { .configuration = &configuration, .state = &state };
	char folder[] = "/tmp/fluxpin-metrics-XXXXXX", path[64], temporary[64], target[64],
	     line[64];
	struct stat status;

	(void)unused;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/f.prom", folder);
	snprintf(temporary, sizeof(temporary), "%s/f.prom.tmp", folder);
	snprintf(target, sizeof(target), "%s/target", folder);
	for (int is_hard = 0; is_hard <= 1; is_hard++) {
		put(target, "mine\n");
		assert_int_equal(chmod(target, 0600), 0);
		assert_int_equal(is_hard ? link(target, temporary) : symlink(target, temporary), 0);
		assert_int_equal(metrics_write(&source, path), 0);
		get(target, line, sizeof(line));
		assert_string_equal(line, "mine\n");
		assert_int_equal(stat(target, &status), 0);
		assert_int_equal(status.st_mode & 0777, 0600);
		assert_int_equal(lstat(path, &status), 0);
		assert_true(S_ISREG(status.st_mode));
		assert_int_equal(status.st_mode & 0777, 0644);
		assert_int_equal(access(temporary, F_OK), -1);
	}
	/* One that was killed while it wrote. */
	put(temporary, "half");
	assert_int_equal(metrics_write(&source, path), 0);
	get(path, line, sizeof(line));
	assert_memory_equal(line, "# HELP ", 7);
	metrics_remove(path);
	unlink(target);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_sources),
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_each_backend_is_in_one_state),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_announcements),
		cmocka_unit_test(test_the_temporary_file_is_no_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
