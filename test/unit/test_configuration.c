/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exact values of the good files, and that no file, however mutilated, crashes the reader or is
 * accepted with errors. What the bad files must say is in test/configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <fluxpin/configuration.h>
#include <fluxpin/suggestion.h>

#define GOOD	"test/configuration/good/"
#define EXAMPLE "conf/fluxpin.conf"

#define MILLISECOND UINT64_C(1000000)
#define SECOND	    UINT64_C(1000000000)

static struct configuration *read_good(const char *file, uint32_t warnings)
{
	struct configuration *configuration = NULL;
	struct findings findings;
	int status = configuration_read(file, &configuration, &findings);

	if (status != 0)
		findings_print(&findings, stderr);
	assert_int_equal(status, 0);
	assert_int_equal(findings.error_count, 0);
	assert_int_equal(findings.count, warnings);
	findings_release(&findings);
	assert_non_null(configuration);
	return configuration;
}

static void assert_address(const struct address *address, const char *text)
{
	char buffer[ADDRESS_TEXT_SIZE];

	assert_string_equal(address_format(address, buffer), text);
}

static void assert_numbers(const uint16_t *numbers, uint32_t count, const uint16_t *expected,
			   uint32_t expected_count)
{
	assert_int_equal(count, expected_count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(numbers[i], expected[i]);
}

static void assert_position(struct position position, uint32_t line, uint32_t column)
{
	assert_int_equal(position.line, line);
	assert_int_equal(position.column, column);
}

static void check_full_interfaces(const struct configuration *configuration)
{
	static const uint16_t queues[] = { 0, 1, 2, 3, 6 }, cpus[] = { 5, 2, 3 };
	const struct interface_configuration *interfaces = configuration->interfaces;

	assert_int_equal(configuration->interface_count, 3);
	assert_string_equal(interfaces[0].name, "lb-one.100");
	assert_numbers(interfaces[0].queues, interfaces[0].queue_count, queues, 5);
	assert_numbers(interfaces[0].cpus, interfaces[0].cpu_count, cpus, 3);
	assert_int_equal(interfaces[0].mode, XDP_MODE_ZEROCOPY);
	assert_string_equal(interfaces[1].name, "eth1");
	assert_null(interfaces[1].queues);
	assert_int_equal(interfaces[1].queue_count, 0);
	assert_null(interfaces[1].cpus);
	assert_int_equal(interfaces[1].mode, XDP_MODE_GENERIC);
	assert_int_equal(interfaces[2].queues[0], 1023);
	assert_int_equal(interfaces[2].mode, XDP_MODE_COPY);
	assert_true(interfaces[0].busy_poll.is_on);
	assert_int_equal(interfaces[0].busy_poll.budget, 16);
	assert_int_equal(interfaces[0].busy_poll.idle_ns, 50000);
	assert_false(interfaces[1].busy_poll.is_on);
	assert_int_equal(interfaces[1].busy_poll.budget, 64);
	assert_int_equal(interfaces[1].busy_poll.idle_ns, 0);
	assert_true(interfaces[2].busy_poll.is_on);
	assert_int_equal(interfaces[2].busy_poll.budget, 64);
	assert_int_equal(interfaces[2].busy_poll.idle_ns, 0);
	assert_position(interfaces[0].position, 9, 11);
	assert_position(interfaces[0].queues_position, 9, 34);
	assert_position(interfaces[0].cpus_position, 9, 50);
	assert_position(interfaces[1].queues_position, 10, 11);
}

static void check_full_pools(const struct configuration *configuration)
{
	const struct pool_configuration *web = &configuration->pools[0];
	const struct pool_configuration *dns = &configuration->pools[1];
	const struct health_check_configuration *check = &web->health_check;

	assert_int_equal(configuration->pool_count, 2);
	assert_string_equal(web->name, "web");
	assert_int_equal(web->encapsulation, ENCAPSULATION_GRE);
	assert_int_equal(web->table_size, 655373);
	assert_int_equal(check->type, HEALTH_CHECK_HTTPS);
	assert_int_equal(check->port, 8443);
	assert_string_equal(check->path, "/healthz?full=1");
	assert_string_equal(check->host, "example.com:8443");
	assert_int_equal(check->interval_ns, 300 * SECOND);
	assert_int_equal(check->timeout_ns, 900 * MILLISECOND);
	assert_int_equal(check->rise, 1);
	assert_int_equal(check->fall, 1000);
	assert_int_equal(web->backend_count, 3);
	assert_string_equal(web->backends[0].name, "web-1");
	assert_address(&web->backends[0].address, "10.1.0.11");
	assert_int_equal(web->backends[0].weight, 65535);
	assert_int_equal(web->backends[1].weight, 0);
	assert_string_equal(web->backends[2].name, "10.1.0.13");
	assert_int_equal(web->backends[2].weight, 100);
	assert_string_equal(dns->name, "dns");
	assert_int_equal(dns->table_size, 65537);
	assert_int_equal(dns->health_check.type, HEALTH_CHECK_NONE);
}

static void check_full_vips(const struct configuration *configuration)
{
	static const struct {
		const char *name, *prefix;
		uint32_t pool;
		uint16_t port;
		uint8_t protocol;
		bool fragments, tracking;
		enum icmp_echo icmp_echo;
		enum affinity affinity;
	} expected[] = {
		{ "everything", "203.0.113.0/28", 1, 0, 0, false, false, ICMP_ECHO_FORWARD,
		  AFFINITY_SOURCE },
		{ "203.0.113.10:443/tcp", "203.0.113.10", 0, 443, IPPROTO_TCP, true, true,
		  ICMP_ECHO_DROP, AFFINITY_5TUPLE },
		{ "203.0.113.10:0/udp", "203.0.113.10", 0, 0, IPPROTO_UDP, true, true,
		  ICMP_ECHO_REPLY, AFFINITY_5TUPLE },
		{ "0.0.0.0/0:53/any", "0.0.0.0/0", 1, 53, 0, true, true, ICMP_ECHO_REPLY,
		  AFFINITY_5TUPLE },
	};

	assert_int_equal(configuration->vip_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		const struct vip_configuration *vip = &configuration->vips[i];
		char buffer[ADDRESS_TEXT_SIZE];

		assert_string_equal(vip->name, expected[i].name);
		assert_string_equal(prefix_format(&vip->prefix, buffer), expected[i].prefix);
		assert_int_equal(vip->pool, expected[i].pool);
		assert_int_equal(vip->port, expected[i].port);
		assert_int_equal(vip->protocol, expected[i].protocol);
		assert_int_equal(vip->fragments, expected[i].fragments);
		assert_int_equal(vip->tracking, expected[i].tracking);
		assert_int_equal(vip->icmp_echo, expected[i].icmp_echo);
		assert_int_equal(vip->affinity, expected[i].affinity);
	}
}

static void test_full(void **state)
{
	struct configuration *configuration = read_good(GOOD "full.conf", 1);

	(void)state;
	assert_true(configuration->hash_seed == UINT64_C(0xfedcba9876543210));
	assert_address(&configuration->source_ipv4, "10.9.0.5");
	assert_address(&configuration->source_ipv6, "fd00::5");
	assert_int_equal(configuration->slow_path, SLOW_PATH_PASS);
	assert_int_equal(configuration->connections.capacity, 8388608);
	assert_int_equal(configuration->connections.tcp_idle_ns, 9 * 3600 * SECOND);
	assert_int_equal(configuration->connections.udp_idle_ns, 3 * SECOND);
	assert_int_equal(configuration->connections.tcp_syn_idle_ns, 1 * SECOND);
	assert_int_equal(configuration->connections.tcp_closing_idle_ns, 120 * SECOND);
	assert_int_equal(configuration->connections.other_idle_ns, 1 * SECOND);
	assert_int_equal(configuration->connections.new_rate, 100000000);
	assert_int_equal(configuration->umem.frames, 1048576);
	assert_int_equal(configuration->umem.frame_size, 4096);
	assert_string_equal(configuration->metrics.textfile, "/tmp/fluxpin.prom");
	assert_int_equal(configuration->metrics.interval_ns, 250 * MILLISECOND);
	assert_int_equal(configuration->metrics.listen.port, 9105);
	assert_int_equal(configuration->metrics.listen.address.bytes[15], 1);
	assert_string_equal(configuration->control, "/tmp/fluxpin.sock");
	check_full_interfaces(configuration);
	check_full_pools(configuration);
	check_full_vips(configuration);
	configuration_release(configuration);
}

static void test_defaults(void **state)
{
	struct configuration *configuration = read_good(GOOD "minimal.conf", 1);
	const struct pool_configuration *pool = &configuration->pools[0];

	(void)state;
	assert_int_equal(configuration->hash_seed, 0);
	assert_true(address_is_zero(&configuration->source_ipv4));
	assert_true(address_is_zero(&configuration->source_ipv6));
	assert_null(configuration->interfaces);
	assert_int_equal(configuration->interface_count, 0);
	assert_int_equal(configuration->slow_path, SLOW_PATH_TAP);
	assert_int_equal(configuration->connections.capacity, 1048576);
	assert_int_equal(configuration->connections.tcp_idle_ns, 900 * SECOND);
	assert_int_equal(configuration->connections.udp_idle_ns, 60 * SECOND);
	assert_int_equal(configuration->connections.tcp_syn_idle_ns, 60 * SECOND);
	assert_int_equal(configuration->connections.tcp_closing_idle_ns, 120 * SECOND);
	assert_int_equal(configuration->connections.other_idle_ns, 600 * SECOND);
	assert_int_equal(configuration->connections.new_rate, 0);
	assert_int_equal(configuration->umem.frames, 8192);
	assert_int_equal(configuration->umem.frame_size, 2048);
	assert_null(configuration->metrics.textfile);
	assert_int_equal(configuration->metrics.interval_ns, 10 * SECOND);
	assert_int_equal(configuration->metrics.listen.port, 0);
	assert_null(configuration->control);
	assert_int_equal(pool->encapsulation, ENCAPSULATION_GRE);
	assert_int_equal(pool->table_size, 65537);
	assert_int_equal(pool->health_check.type, HEALTH_CHECK_NONE);
	assert_string_equal(pool->backends[0].name, "10.0.0.1");
	assert_int_equal(pool->backends[0].weight, 100);
	assert_string_equal(configuration->vips[0].name, "192.0.2.1:80/tcp");
	configuration_release(configuration);
}

static void test_syntax(void **state)
{
	struct configuration *configuration = read_good(GOOD "syntax.conf", 0);

	(void)state;
	assert_true(configuration->hash_seed == UINT64_C(0x0123456789abcdef));
	assert_int_equal(configuration->slow_path, SLOW_PATH_PASS);
	assert_int_equal(configuration->connections.capacity, 65536);
	assert_int_equal(configuration->connections.udp_idle_ns, 60 * SECOND);
	assert_int_equal(configuration->umem.frames, 16384);
	assert_int_equal(configuration->umem.frame_size, 4096);
	assert_string_equal(configuration->control, "/run/a \"b\" \\ \t#// /* c");
	assert_int_equal(configuration->pools[0].backends[0].weight, 7);
	assert_int_equal(configuration->vips[0].port, 80);
	assert_false(configuration->vips[0].tracking);
	assert_true(configuration->vips[0].fragments);
	configuration_release(configuration);
}

static void test_example(void **state)
{
	struct configuration *configuration = read_good(EXAMPLE, 0);

	(void)state;
	assert_int_equal(configuration_size(configuration).pools, 2);
	assert_int_equal(configuration_size(configuration).backends, 5);
	assert_int_equal(configuration->vip_count, 3);
	/* That of its peers is there, too. */
	assert_int_equal(configuration->pool_count, 3);
	assert_true(configuration->pools[2].is_peers);
	assert_int_equal(configuration->pools[2].backend_count, 2);
	configuration_release(configuration);
}

static void test_nothing_to_balance(void **state)
{
	struct configuration *configuration = read_good(GOOD "empty.conf", 2);

	(void)state;
	assert_int_equal(configuration->vip_count, 0);
	assert_null(configuration->vips);
	configuration_release(configuration);
	configuration = read_good(GOOD "empty-lists.conf", 1);
	assert_int_equal(configuration->pool_count, 0);
	assert_null(configuration->pools);
	configuration_release(configuration);
	configuration_release(NULL);
}

static void test_health_check_times(void **state)
{
	struct configuration *configuration = read_good(GOOD "health-check-keys.conf", 2);

	(void)state;
	/* The default timeout gives way to a shorter interval. */
	assert_int_equal(configuration->pools[0].health_check.interval_ns, 100 * MILLISECOND);
	assert_int_equal(configuration->pools[0].health_check.timeout_ns, 100 * MILLISECOND);
	configuration_release(configuration);
}

static void test_untouched_on_failure(void **state)
{
	struct configuration *configuration = (struct configuration *)(uintptr_t)1;
	struct findings findings;

	(void)state;
	assert_int_equal(configuration_read("/nonexistent", &configuration, &findings), -EINVAL);
	assert_ptr_equal(configuration, (void *)(uintptr_t)1);
	assert_int_equal(findings.count, 1);
	assert_string_equal(findings.file, "/nonexistent");
	assert_null(findings.text);
	assert_position(findings.entries[0].position, 0, 0);
	findings_release(&findings);
	findings_release(&findings);
}

static void test_interface_parse(void **state)
{
	static const uint16_t queues[] = { 0, 1, 2, 3, 6 }, cpus[] = { 2, 3, 0 };
	struct interface_configuration interface;
	const char *error = NULL;

	(void)state;
	assert_int_equal(interface_configuration_parse("eth0", &interface, &error), 0);
	assert_string_equal(interface.name, "eth0");
	assert_null(interface.queues);
	assert_null(interface.cpus);
	assert_int_equal(interface.mode, XDP_MODE_AUTO);
	assert_false(interface.busy_poll.is_on);
	assert_int_equal(interface.busy_poll.budget, 64);
	assert_int_equal(interface.position.line, 0);
	interface_configuration_release(&interface);
	assert_int_equal(interface_configuration_parse("e@0.1:6,0-3@2-3,0", &interface, &error), 0);
	assert_string_equal(interface.name, "e@0.1");
	assert_numbers(interface.queues, interface.queue_count, queues, 5);
	assert_numbers(interface.cpus, interface.cpu_count, cpus, 3);
	interface_configuration_release(&interface);
}

static void test_interface_parse_refuses(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "an interface's name is 1 to 15 characters without spaces and \"/\"" },
		{ ":0", "an interface's name is 1 to 15 characters without spaces and \"/\"" },
		{ "sixteen-letters-",
		  "an interface's name is 1 to 15 characters without spaces and "
		  "\"/\"" },
		{ "..", "an interface's name is 1 to 15 characters without spaces and \"/\"" },
		{ "eth0:", "the queue list must be numbers and ranges such as \"0-3,6\"" },
		{ "eth0:@1", "the queue list must be numbers and ranges such as \"0-3,6\"" },
		{ "eth0:0-", "the queue list must be numbers and ranges such as \"0-3,6\"" },
		{ "eth0:0 ", "the queue list must be numbers and ranges such as \"0-3,6\"" },
		{ "eth0:01", "the queue list must be numbers and ranges such as \"0-3,6\"" },
		{ "eth0:0@", "the CPU list must be numbers and ranges such as \"0-3,6\"" },
		{ "eth0:0@1@2", "the CPU list must be numbers and ranges such as \"0-3,6\"" },
		{ "eth0:1-0", "the queue list holds the range 1-0, which runs backwards" },
		{ "eth0:0,0", "the queue list holds 0 twice" },
		{ "eth0:0-1024", "the queue list holds a number above the limit of 1023" },
		{ "eth0:0@8192", "the CPU list holds a number above the limit of 8191" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct interface_configuration interface;
		const char *error = NULL;

		assert_int_equal(interface_configuration_parse(cases[i].text, &interface, &error),
				 -EINVAL);
		assert_string_equal(error, cases[i].error);
	}
}

static void test_names(void **state)
{
	enum xdp_mode mode = XDP_MODE_AUTO;

	(void)state;
	assert_int_equal(xdp_mode_parse("skb", &mode), 0);
	assert_int_equal(mode, XDP_MODE_GENERIC);
	assert_string_equal(xdp_mode_name(mode), "skb");
	assert_int_equal(xdp_mode_parse("generic", &mode), -EINVAL);
	assert_int_equal(mode, XDP_MODE_GENERIC);
	assert_string_equal(encapsulation_name(ENCAPSULATION_L2), "l2");
}

static void test_suggestions(void **state)
{
	static const char *const words[] = { "vips", "pools", "table_size", "port", "tap" };

	(void)state;
	assert_int_equal(suggestion_distance("", "abc"), 3);
	assert_int_equal(suggestion_distance("kitten", "sitting"), 3);
	assert_int_equal(suggestion_distance("tcp", "tpc"), 1);
	assert_int_equal(suggestion_distance("same", "same"), 0);
	assert_string_equal(suggestion_find("vip", words, 5, sizeof(words[0])), "vips");
	assert_string_equal(suggestion_find("tabel_size", words, 5, sizeof(words[0])),
			    "table_size");
	assert_null(suggestion_find("x", words, 5, sizeof(words[0])));
	assert_null(suggestion_find("", words, 5, sizeof(words[0])));
	assert_null(suggestion_find("something else", words, 5, sizeof(words[0])));
}

static char *print_to_text(const struct findings *findings)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);

	assert_non_null(stream);
	findings_print(findings, stream);
	fclose(stream);
	return text;
}

static void test_findings_print(void **state)
{
	struct findings findings = { .file = strdup("f.conf"),
				     .text = strdup("one = \x1b;\n\ttwo\t= \xc3\xbc x;\r\nthree") };
	char *text;

	(void)state;
	assert_int_equal(findings_add(&findings, false, (struct position){ 2, 10 }, "a%d\x1b[", 1),
			 0);
	assert_int_equal(findings_add(&findings, true, (struct position){ 0, 0 }, "whole"), 0);
	assert_int_equal(findings_add(&findings, false, (struct position){ 1, 0 }, "line"), 0);
	assert_int_equal(findings_add(&findings, true, (struct position){ 3, 6 }, "end"), 0);
	assert_int_equal(findings_add(&findings, true, (struct position){ 9, 9 }, "\xff"), 0);
	assert_int_equal(findings.error_count, 2);
	text = print_to_text(&findings);
	assert_string_equal(text, "f.conf:2:10: a1?[\n"
				  "\ttwo\t= \xc3\xbc x;\n"
				  "\t   \t    ^\n"
				  "f.conf: warning: whole\n"
				  "f.conf:1: line\n"
				  "one = ?;\n"
				  "f.conf:3:6: warning: end\n"
				  "three\n"
				  "     ^\n"
				  "f.conf:9:9: warning: ?\n");
	free(text);
	findings_release(&findings);
}

/* ---- files that nobody wrote ---- */

static char *load_example(size_t *length)
{
	FILE *file = fopen(EXAMPLE, "r");
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_non_null(text);
	*length = fread(text, 1, 65535, file);
	fclose(file);
	assert_true(*length > 1000 && *length < 65535);
	return text;
}

/* A file in memory, written anew for each text. */
struct scratch {
	int file;
	char path[64];
	FILE *sink;
};

static struct scratch scratch_open(void)
{
	struct scratch scratch = { .file = memfd_create("configuration", 0) };

	assert_true(scratch.file >= 0);
	snprintf(scratch.path, sizeof(scratch.path), "/proc/self/fd/%d", scratch.file);
	scratch.sink = fopen("/dev/null", "w");
	assert_non_null(scratch.sink);
	return scratch;
}

static void scratch_close(struct scratch *scratch)
{
	close(scratch->file);
	fclose(scratch->sink);
}

/* Whatever the text, reading ends, and with errors exactly if there is no configuration. */
static bool read_scratch(struct scratch *scratch, const char *text, size_t length)
{
	struct configuration *configuration = NULL;
	struct findings findings;
	int status;

	assert_int_equal(ftruncate(scratch->file, 0), 0);
	assert_int_equal(pwrite(scratch->file, text, length, 0), length);
	status = configuration_read(scratch->path, &configuration, &findings);
	assert_true(status == 0 || status == -EINVAL);
	assert_int_equal(status == 0, findings.error_count == 0);
	assert_int_equal(status == 0, configuration != NULL);
	for (uint32_t i = 0; i < findings.count; i++) {
		/* Nothing that our own pass let through may reach libconfig's errors. */
		assert_string_not_equal(findings.entries[i].message, "syntax error");
		assert_int_not_equal(strncmp(findings.entries[i].message, "libconfig reads", 15),
				     0);
		assert_true(findings.entries[i].position.line == 0 ||
			    findings.entries[i].position.column > 0);
	}
	findings_print(&findings, scratch->sink);
	configuration_release(configuration);
	findings_release(&findings);
	return status == 0;
}

static void test_truncated(void **state)
{
	struct scratch scratch = scratch_open();
	size_t length;
	char *text = load_example(&length);

	(void)state;
	for (size_t i = 0; i <= length; i++)
		read_scratch(&scratch, text, i);
	assert_true(read_scratch(&scratch, text, length));
	scratch_close(&scratch);
	free(text);
}

/* xorshift64*: the same numbers on every machine. */
static uint32_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)(*state * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static size_t mutate(char *text, size_t length, uint64_t *random)
{
	static const char interesting[] = "{}()[];:,=\"\\#/*@\n\t .-+0179LxeE\x1b\xc3\xff";
	size_t at = next_random(random) % length, count, to;

	switch (next_random(random) % 5) {
	case 0: /* another byte */
		text[at] = (char)next_random(random);
		return length;
	case 1: /* a byte that means something */
		text[at] = interesting[next_random(random) % (sizeof(interesting) - 1)];
		return length;
	case 2: /* a part left out */
		count = next_random(random) % 40;
		if (count > length - at)
			count = length - at;
		memmove(text + at, text + at + count, length - at - count);
		return length - count > 0 ? length - count : length;
	case 3: /* one byte more */
		memmove(text + at + 1, text + at, length - at);
		text[at] = interesting[next_random(random) % (sizeof(interesting) - 1)];
		return length + 1;
	default: /* a part copied elsewhere */
		count = next_random(random) % 60;
		to = next_random(random) % length;
		if (count > length - at)
			count = length - at;
		if (count > length - to)
			count = length - to;
		memmove(text + to, text + at, count);
		return length;
	}
}

static void test_mutated(void **state)
{
	struct scratch scratch = scratch_open();
	uint64_t random = UINT64_C(0x9e3779b97f4a7c15);
	size_t length;
	char *example = load_example(&length);
	char *text = malloc(length + 64);
	uint32_t valid = 0;

	(void)state;
	assert_non_null(text);
	for (uint32_t i = 0; i < 6000; i++) {
		uint32_t count = 1 + next_random(&random) % 8;
		size_t now = length;

		memcpy(text, example, length);
		for (uint32_t j = 0; j < count; j++)
			now = mutate(text, now, &random);
		valid += read_scratch(&scratch, text, now);
	}
	/* Mutations of comments do no harm: both outcomes must have been seen. */
	assert_true(valid > 100 && valid < 5000);
	free(text);
	free(example);
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_nothing_to_balance),
		cmocka_unit_test(test_health_check_times),
		cmocka_unit_test(test_untouched_on_failure),
		cmocka_unit_test(test_interface_parse),
		cmocka_unit_test(test_interface_parse_refuses),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_suggestions),
		cmocka_unit_test(test_findings_print),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_mutated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
