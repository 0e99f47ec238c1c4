/* SPDX-License-Identifier: BSD-2-Clause */
/* What consecutive forwarding tables share, and that shared or not they say the same. */
#include <fluxpin/forwarding_builder.h>

#include "configuration_text.h"

struct fixture {
	struct registry *backends;
	struct registry *vips;
};

static void open_fixture(struct fixture *fixture)
{
	assert_int_equal(registry_open(&fixture->backends), 0);
	assert_int_equal(registry_open(&fixture->vips), 0);
}

static void close_fixture(struct fixture *fixture)
{
	registry_close(fixture->vips);
	registry_close(fixture->backends);
}

static void ignore_release(void *context, uint16_t index)
{
	(void)context;
	(void)index;
}

static struct forwarding_tables *build(struct fixture *fixture,
				       const struct configuration *configuration,
				       const struct forwarding_tables *previous)
{
	struct forwarding_tables *tables;

	registry_begin(fixture->backends);
	registry_begin(fixture->vips);
	assert_int_equal(forwarding_tables_build(configuration, NULL, previous, fixture->backends,
						 fixture->vips, &tables),
			 0);
	registry_commit(fixture->backends, ignore_release, NULL);
	registry_commit(fixture->vips, ignore_release, NULL);
	return tables;
}

static void expect_same_pools(const struct forwarding_tables *a, const struct forwarding_tables *b)
{
	assert_int_equal(a->pool_count, b->pool_count);
	for (uint32_t i = 0; i < a->pool_count; i++) {
		assert_int_equal(a->pools[i].size, b->pools[i].size);
		assert_memory_equal(a->pools[i].slots, b->pools[i].slots,
				    a->pools[i].size * sizeof(uint16_t));
	}
}

#define CONFIGURATION(web_2)                                                                \
	"hash_seed = \"1\";\npools = (\n"                                                   \
	"{ name = \"web\"; table_size = 1009; backends = ( "                                \
	"{ name = \"web-1\"; address = \"10.0.0.1\"; }, " web_2 " ); },\n"                  \
	"{ name = \"dns\"; table_size = 1009; backends = ( "                                \
	"{ name = \"dns-1\"; address = \"10.0.0.3\"; } ); },\n"                             \
	"{ name = \"empty\"; table_size = 1009; backends = (); } );\n"                      \
	"vips = ( { name = \"v\"; address = \"192.0.2.1\"; protocol = \"tcp\"; port = 80; " \
	"pool = \"web\"; } );\n"

static void test_reload_builds_only_what_changed(void **unused)
{
	struct configuration *first = configuration_from_text(
		CONFIGURATION("{ name = \"web-2\"; address = \"10.0.0.2\"; }"));
	struct configuration *second = configuration_from_text(
		CONFIGURATION("{ name = \"web-2\"; address = \"10.0.0.2\"; weight = 7; }"));
	struct forwarding_tables *old, *new, *fresh;
	struct fixture fixture, other;

	(void)unused;
	open_fixture(&fixture);
	open_fixture(&other);
	old = build(&fixture, first, NULL);
	new = build(&fixture, second, old);
	assert_ptr_not_equal(new->pools[0].slots, old->pools[0].slots);
	assert_ptr_equal(new->pools[1].slots, old->pools[1].slots);
	assert_ptr_equal(new->vips, old->vips);
	fresh = build(&other, second, NULL);
	expect_same_pools(new, fresh);
	/* In either order. */
	forwarding_tables_release(old);
	expect_same_pools(new, fresh);
	forwarding_tables_release(new);
	forwarding_tables_release(fresh);
	close_fixture(&other);
	close_fixture(&fixture);
	configuration_release(second);
	configuration_release(first);
}

static void test_other_address_is_another_member(void **unused)
{
	struct configuration *first = configuration_from_text(
		CONFIGURATION("{ name = \"web-2\"; address = \"10.0.0.2\"; }"));
	struct configuration *second = configuration_from_text(
		CONFIGURATION("{ name = \"web-2\"; address = \"10.0.0.9\"; }"));
	struct forwarding_tables *old, *new;
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture);
	old = build(&fixture, first, NULL);
	new = build(&fixture, second, old);
	assert_ptr_not_equal(new->pools[0].slots, old->pools[0].slots);
	assert_int_not_equal(new->backends[1].index, old->backends[1].index);
	forwarding_tables_release(new);
	forwarding_tables_release(old);
	close_fixture(&fixture);
	configuration_release(second);
	configuration_release(first);
}

static void test_rebuild_follows_the_services(void **unused)
{
	struct configuration *configuration = configuration_from_text(
		CONFIGURATION("{ name = \"web-2\"; address = \"10.0.0.2\"; }"));
	struct backend_service services[] = { { 100, false }, { 0, true }, { 100, false } };
	struct forwarding_tables *old, *down, *up;
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture);
	old = build(&fixture, configuration, NULL);
	assert_int_equal(forwarding_tables_rebuild(configuration, services, old, &down), 0);
	for (uint32_t i = 0; i < 1009; i++)
		assert_int_equal(down->pools[0].slots[i], down->backends[0].index);
	assert_true(down->backends[1].is_down);
	assert_false(down->backends[0].is_down);
	assert_ptr_equal(down->pools[1].slots, old->pools[1].slots);
	assert_ptr_equal(down->vips, old->vips);
	services[1] = (struct backend_service){ 100, false };
	assert_int_equal(forwarding_tables_rebuild(configuration, services, down, &up), 0);
	forwarding_tables_release(down);
	expect_same_pools(up, old);
	assert_false(up->backends[1].is_down);
	forwarding_tables_release(old);
	forwarding_tables_release(up);
	close_fixture(&fixture);
	configuration_release(configuration);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reload_builds_only_what_changed),
		cmocka_unit_test(test_other_address_is_another_member),
		cmocka_unit_test(test_rebuild_follows_the_services),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
