/* SPDX-License-Identifier: BSD-2-Clause */
/* Exact values of health checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fluxpin/configuration.h>

#define GOOD "test/configuration/good/"

static struct configuration *read_good(const char *file)
{
	struct configuration *configuration = NULL;
	struct findings findings;
	int status = configuration_read(file, &configuration, &findings);

	if (status != 0)
		findings_print(&findings, stderr);
	assert_int_equal(status, 0);
	findings_release(&findings);
	return configuration;
}

static void assert_address(const struct address *address, const char *text)
{
	char buffer[ADDRESS_TEXT_SIZE];

	assert_string_equal(address_format(address, buffer), text);
}

static const struct health_check_configuration *check_of(const struct configuration *configuration,
							 const char *pool)
{
	for (uint32_t i = 0; i < configuration->pool_count; i++)
		if (strcmp(configuration->pools[i].name, pool) == 0)
			return &configuration->pools[i].health_check;
	fail_msg("no pool %s", pool);
	return NULL;
}

static void test_all_of_https(void **state)
{
	struct configuration *configuration = read_good(GOOD "health-checks.conf");
	const struct health_check_configuration *check = check_of(configuration, "secure");
	static const struct status_range statuses[] = { { 200, 200 }, { 204, 204 }, { 300, 399 } };

	(void)state;
	assert_int_equal(check->type, HEALTH_CHECK_HTTPS);
	assert_int_equal(check->via, HEALTH_CHECK_DIRECT);
	assert_int_equal(check->port, 8443);
	assert_true(check->starts_down);
	assert_false(check->insecure);
	assert_string_equal(check->path, "/a?b#c");
	assert_string_equal(check->host, "www.example.com:8443");
	assert_string_equal(check->sni, "inside.example.com");
	assert_string_equal(check->ca_file, "/etc/ssl/inside.pem");
	assert_string_equal(check->body, "\"all well\"");
	assert_int_equal(check->status_count, 3);
	assert_memory_equal(check->statuses, statuses, sizeof(statuses));
	assert_address(&check->source, "10.0.0.5");
	configuration_release(configuration);
}

/* The name that is asked for is that of the Host field, without its port; an address is none. */
static void test_defaults_of_https(void **state)
{
	struct configuration *configuration = read_good(GOOD "health-checks.conf");
	const struct health_check_configuration *check = check_of(configuration, "insecure");

	(void)state;
	assert_string_equal(check->sni, "www.example.com");
	assert_true(check->insecure);
	assert_false(check->starts_down);
	assert_null(check->ca_file);
	assert_null(check->body);
	assert_int_equal(check->status_count, 1);
	assert_int_equal(check->statuses[0].low, 200);
	assert_int_equal(check->statuses[0].high, 399);
	assert_true(address_is_zero(&check->source));
	assert_null(check_of(configuration, "address")->sni);
	configuration_release(configuration);
}

static void test_bytes_of_udp(void **state)
{
	struct configuration *configuration = read_good(GOOD "health-checks.conf");
	const struct health_check_configuration *check = check_of(configuration, "dns");

	(void)state;
	assert_int_equal(check->type, HEALTH_CHECK_UDP);
	assert_int_equal(check->send.length, 6);
	assert_memory_equal(check->send.bytes, "\x12\x34\x01\x00\x00\xff", 6);
	assert_int_equal(check->expect.length, 2);
	assert_memory_equal(check->expect.bytes, "\x12\x34", 2);
	configuration_release(configuration);
}

static void test_vips_of_the_tunnel(void **state)
{
	struct configuration *configuration = read_good(GOOD "health-checks.conf");
	const struct health_check_configuration *check = check_of(configuration, "tunnel");

	(void)state;
	assert_int_equal(check->via, HEALTH_CHECK_TUNNEL);
	assert_string_equal(check->vip_name, "six");
	assert_address(&check->vip, "2001:db8::80");
	assert_int_equal(check->port, 8080);
	check = check_of(configuration, "tunnel-first");
	assert_null(check->vip_name);
	assert_address(&check->vip, "192.0.2.9");
	assert_int_equal(check->port, 81);
	configuration_release(configuration);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_https),
		cmocka_unit_test(test_defaults_of_https),
		cmocka_unit_test(test_bytes_of_udp),
		cmocka_unit_test(test_vips_of_the_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
