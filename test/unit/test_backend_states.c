/* SPDX-License-Identifier: BSD-2-Clause */
/* What backends may do, by every source of it, on a clock of the test's own. */
#include <fluxpin/backend_overrides.h>
#include <fluxpin/backend_states.h>

#include "configuration_text.h"

#define SECOND UINT64_C(1000000000)
#define START  (1000 * SECOND)

/* Health by pool and backend; a bit set: down. */
struct test_health {
	uint32_t down[4];
};

static void read_health(const void *context, uint32_t pool, uint32_t backend,
			struct backend_health *health)
{
	const struct test_health *test = context;

	*health = (struct backend_health){ .is_checked = true,
					   .is_healthy = (test->down[pool] >> backend & 1) == 0 };
}

struct fixture {
	struct configuration *configuration;
	struct backend_overrides *drains;
	struct test_health health;
	struct backend_sources sources;
	struct backend_states *states;
	uint64_t next_ns;
};

static void open_fixture(struct fixture *fixture, const char *pools)
{
	memset(fixture, 0, sizeof(*fixture));
	fixture->configuration = configuration_from_pools(pools);
	assert_int_equal(backend_overrides_open(&fixture->drains), 0);
	fixture->sources = (struct backend_sources){ .overrides = fixture->drains,
						     .health = read_health,
						     .context = &fixture->health };
	assert_int_equal(backend_states_build(fixture->configuration, NULL, &fixture->sources,
					      START, &fixture->states),
			 0);
}

static void close_fixture(struct fixture *fixture)
{
	backend_states_release(fixture->states);
	backend_overrides_close(fixture->drains);
	configuration_release(fixture->configuration);
}

static bool update(struct fixture *fixture, uint64_t after_ns)
{
	return backend_states_update(fixture->states, &fixture->sources, START + after_ns,
				     &fixture->next_ns);
}

/* Another configuration with the states of the one before. */
static void reload(struct fixture *fixture, const char *pools, uint64_t after_ns)
{
	struct configuration *configuration = configuration_from_pools(pools);
	struct backend_states *states;

	assert_int_equal(backend_states_build(configuration, fixture->states, &fixture->sources,
					      START + after_ns, &states),
			 0);
	backend_states_release(fixture->states);
	configuration_release(fixture->configuration);
	fixture->states = states;
	fixture->configuration = configuration;
}

static void expect(const struct fixture *fixture, uint32_t pool, uint32_t backend, uint16_t weight,
		   bool is_down)
{
	const struct backend_state *state = backend_states_get(fixture->states, pool, backend);

	assert_int_equal(state->service.weight, weight);
	assert_int_equal(state->service.is_down, is_down);
}

static void set_drain(const struct fixture *fixture, const char *pool, const char *backend, bool on)
{
	assert_int_equal(backend_overrides_set(fixture->drains, pool, backend, BACKEND_DRAINED, on),
			 0);
}

#define TWO                                                                        \
	"{ name = \"p\"; backends = ( { name = \"a\"; address = \"10.0.0.1\"; }, " \
	"{ name = \"b\"; address = \"10.0.0.2\"; weight = 40; } ); }"
#define TWO_LAST_RESORT                                                                          \
	"{ name = \"p\"; on_all_down = \"all\"; backends = ( "                                   \
	"{ name = \"a\"; address = \"10.0.0.1\"; }, { name = \"b\"; address = \"10.0.0.2\"; }, " \
	"{ name = \"c\"; address = \"10.0.0.3\"; weight = 0; } ); }"
#define SLOW                                                                                       \
	"{ name = \"p\"; slow_start = \"10s\"; backends = ( "                                      \
	"{ name = \"a\"; address = \"10.0.0.1\"; }, { name = \"b\"; address = \"10.0.0.2\"; } ); " \
	"}"

static void test_down_loses_its_slots_and_flows(void **unused)
{
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture, TWO);
	expect(&fixture, 0, 0, 100, false);
	expect(&fixture, 0, 1, 40, false);
	fixture.health.down[0] = 1;
	assert_true(update(&fixture, 1));
	expect(&fixture, 0, 0, 0, true);
	expect(&fixture, 0, 1, 40, false);
	assert_false(update(&fixture, 2));
	fixture.health.down[0] = 0;
	assert_true(update(&fixture, 3));
	expect(&fixture, 0, 0, 100, false);
	assert_true(fixture.next_ns == UINT64_MAX);
	close_fixture(&fixture);
}

static void test_drained_keeps_its_flows(void **unused)
{
	struct fixture fixture;
	struct pool_state pool;

	(void)unused;
	open_fixture(&fixture, TWO);
	set_drain(&fixture, "p", "a", true);
	assert_true(update(&fixture, 1));
	expect(&fixture, 0, 0, 0, false);
	assert_true(backend_states_get(fixture.states, 0, 0)->is_drained);
	/* Over a reload. */
	reload(&fixture, TWO, 2);
	expect(&fixture, 0, 0, 0, false);
	backend_states_pool(fixture.states, 0, &pool);
	assert_int_equal(pool.serving, 1);
	assert_int_equal(pool.drained, 1);
	/* One that is down as well has no flows. */
	fixture.health.down[0] = 1;
	assert_true(update(&fixture, 3));
	expect(&fixture, 0, 0, 0, true);
	fixture.health.down[0] = 0;
	set_drain(&fixture, "p", "a", false);
	assert_true(update(&fixture, 4));
	expect(&fixture, 0, 0, 100, false);
	close_fixture(&fixture);
}

static void test_an_event_takes_one_down(void **unused)
{
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture, TWO_LAST_RESORT);
	fixture.sources.health = NULL;
	assert_int_equal(backend_overrides_set(fixture.drains, "p", "a", BACKEND_DOWN, true), 0);
	assert_true(update(&fixture, 1));
	expect(&fixture, 0, 0, 0, true);
	assert_false(backend_states_get(fixture.states, 0, 0)->is_drained);
	assert_int_equal(backend_overrides_set(fixture.drains, "p", "b", BACKEND_DOWN, true), 0);
	assert_true(update(&fixture, 2));
	expect(&fixture, 0, 0, 100, false);
	expect(&fixture, 0, 1, 100, false);
	close_fixture(&fixture);
}

static void test_last_resort(void **unused)
{
	struct fixture fixture;
	struct pool_state pool;

	(void)unused;
	open_fixture(&fixture, TWO_LAST_RESORT);
	fixture.health.down[0] = 1;
	update(&fixture, 1);
	expect(&fixture, 0, 0, 0, true);
	fixture.health.down[0] = 3;
	assert_true(update(&fixture, 2));
	/* Those that are to serve, and no others. */
	expect(&fixture, 0, 0, 100, false);
	expect(&fixture, 0, 1, 100, false);
	expect(&fixture, 0, 2, 0, false);
	backend_states_pool(fixture.states, 0, &pool);
	assert_true(pool.is_last_resort);
	assert_int_equal(pool.serving, 2);
	/* With one back it is over. */
	fixture.health.down[0] = 2;
	assert_true(update(&fixture, 3));
	expect(&fixture, 0, 0, 100, false);
	expect(&fixture, 0, 1, 0, true);
	backend_states_pool(fixture.states, 0, &pool);
	assert_false(pool.is_last_resort);
	close_fixture(&fixture);
}

static void test_last_resort_leaves_out_what_is_drained(void **unused)
{
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture, TWO_LAST_RESORT);
	set_drain(&fixture, "p", "a", true);
	fixture.health.down[0] = 2;
	update(&fixture, 1);
	expect(&fixture, 0, 0, 0, false);
	expect(&fixture, 0, 1, 100, false);
	/* Drained alone is no reason. */
	set_drain(&fixture, "p", "b", true);
	fixture.health.down[0] = 0;
	update(&fixture, 2);
	expect(&fixture, 0, 0, 0, false);
	expect(&fixture, 0, 1, 0, false);
	/* Nor is one of them that fails: it loses its flows as ever. */
	fixture.health.down[0] = 2;
	update(&fixture, 3);
	expect(&fixture, 0, 0, 0, false);
	expect(&fixture, 0, 1, 0, true);
	close_fixture(&fixture);
}

static void test_without_last_resort_all_down_is_down(void **unused)
{
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture, TWO);
	fixture.health.down[0] = 3;
	update(&fixture, 1);
	expect(&fixture, 0, 0, 0, true);
	expect(&fixture, 0, 1, 0, true);
	close_fixture(&fixture);
}

static void test_slow_start_grows_in_steps(void **unused)
{
	struct fixture fixture;
	uint64_t at = 100 * SECOND;
	uint16_t last = 0;
	uint32_t steps = 0;

	(void)unused;
	open_fixture(&fixture, SLOW);
	fixture.health.down[0] = 2;
	update(&fixture, at - SECOND);
	fixture.health.down[0] = 0;
	assert_true(update(&fixture, at));
	expect(&fixture, 0, 1, 10, false);
	assert_int_equal(backend_states_get(fixture.states, 0, 1)->slow_start_percent, 10);
	assert_int_equal(backend_states_get(fixture.states, 0, 0)->slow_start_percent, 100);
	/* Each announced time brings a step, and nothing happens before. */
	while (fixture.next_ns != UINT64_MAX) {
		uint64_t next = fixture.next_ns - START;
		uint16_t weight = backend_states_get(fixture.states, 0, 1)->service.weight;

		assert_true(weight > last);
		last = weight;
		assert_false(update(&fixture, next - 1));
		assert_true(update(&fixture, next));
		assert_true(++steps <= BACKEND_SLOW_START_STEPS);
	}
	assert_int_equal(steps, BACKEND_SLOW_START_STEPS - 1);
	expect(&fixture, 0, 1, 100, false);
	close_fixture(&fixture);
}

static void test_slow_start_not_at_the_start_and_not_alone(void **unused)
{
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture, SLOW);
	/* Backends that come up one after the other when the daemon starts. */
	fixture.health.down[0] = 2;
	update(&fixture, SECOND);
	fixture.health.down[0] = 0;
	update(&fixture, 2 * SECOND);
	expect(&fixture, 0, 1, 100, false);
	/* All of a pool that was down. */
	fixture.health.down[0] = 3;
	update(&fixture, 50 * SECOND);
	fixture.health.down[0] = 0;
	update(&fixture, 51 * SECOND);
	expect(&fixture, 0, 0, 100, false);
	expect(&fixture, 0, 1, 100, false);
	/* The one that has grown goes while another grows. */
	fixture.health.down[0] = 2;
	update(&fixture, 60 * SECOND);
	fixture.health.down[0] = 0;
	update(&fixture, 61 * SECOND);
	expect(&fixture, 0, 1, 10, false);
	fixture.health.down[0] = 1;
	update(&fixture, 62 * SECOND);
	expect(&fixture, 0, 1, 100, false);
	close_fixture(&fixture);
}

static void test_slow_start_of_undrained_and_new(void **unused)
{
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture, SLOW);
	set_drain(&fixture, "p", "a", true);
	update(&fixture, 50 * SECOND);
	set_drain(&fixture, "p", "a", false);
	update(&fixture, 60 * SECOND);
	expect(&fixture, 0, 0, 10, false);
	/* It goes on growing over a reload, and one that is new begins to. */
	reload(&fixture,
	       "{ name = \"p\"; slow_start = \"10s\"; backends = ( "
	       "{ name = \"new\"; address = \"10.0.0.9\"; weight = 5; }, "
	       "{ name = \"b\"; address = \"10.0.0.2\"; }, "
	       "{ name = \"a\"; address = \"10.0.0.1\"; } ); }",
	       65 * SECOND);
	expect(&fixture, 0, 0, 1, false);
	expect(&fixture, 0, 1, 100, false);
	assert_in_range(backend_states_get(fixture.states, 0, 2)->service.weight, 50, 60);
	/* The same name with another address is another backend. */
	reload(&fixture,
	       "{ name = \"p\"; slow_start = \"10s\"; backends = ( "
	       "{ name = \"b\"; address = \"10.0.0.2\"; }, "
	       "{ name = \"a\"; address = \"10.0.0.99\"; } ); }",
	       90 * SECOND);
	expect(&fixture, 0, 1, 10, false);
	close_fixture(&fixture);
}

static void test_contained_is_drained_by_either_name(void **unused)
{
	static const char *const pools =
		"{ name = \"all\"; pools = ( \"base\" ); backends = ( "
		"{ name = \"x\"; address = \"10.0.0.7\"; } ); }, "
		"{ name = \"base\"; backends = ( { name = \"a\"; address = \"10.0.0.1\"; } ); }";
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture, pools);
	assert_string_equal(fixture.configuration->pools[0].backends[1].name, "a");
	set_drain(&fixture, "base", "a", true);
	update(&fixture, 1);
	expect(&fixture, 0, 0, 100, false);
	expect(&fixture, 0, 1, 0, false);
	expect(&fixture, 1, 0, 0, false);
	set_drain(&fixture, "base", "a", false);
	set_drain(&fixture, "all", "a", true);
	update(&fixture, 2);
	expect(&fixture, 0, 1, 0, false);
	expect(&fixture, 1, 0, 100, false);
	close_fixture(&fixture);
}

/* A server that comes in by several ways is drained by each of them, and by a pool between. */
static void test_contained_is_drained_by_every_way(void **unused)
{
	static const char *const pools =
		"{ name = \"all\"; pools = ( \"some\", \"second\" ); backends = ( "
		"{ name = \"x\"; address = \"10.0.0.7\"; } ); }, "
		"{ name = \"some\"; pools = ( \"first\" ); }, "
		"{ name = \"first\"; backends = ( { name = \"a\"; address = \"10.0.0.1\"; } ); }, "
		"{ name = \"second\"; backends = ( { name = \"a\"; address = \"10.0.0.1\"; }, "
		"{ name = \"x\"; address = \"10.0.0.7\"; } ); }, "
		"{ name = \"other\"; backends = ( { name = \"a\"; address = \"10.0.0.1\"; } ); }";
	/* Where `a` is drained then: in "all", "some", "first", "second" and "other". */
	static const struct {
		const char *pool;
		bool drained[5];
	} cases[] = {
		{ "all", { true, false, false, false, false } },
		{ "some", { true, true, false, false, false } },
		{ "first", { true, true, true, false, false } },
		{ "second", { true, false, false, true, false } },
		{ "other", { false, false, false, false, true } },
	};
	static const uint32_t places[] = { 1, 0, 0, 0, 0 };
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture, pools);
	assert_int_equal(fixture.configuration->pools[0].backend_count, 2);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set_drain(&fixture, cases[i].pool, "a", true);
		update(&fixture, 1);
		for (uint32_t pool = 0; pool < 5; pool++)
			expect(&fixture, pool, places[pool], cases[i].drained[pool] ? 0 : 100,
			       false);
		set_drain(&fixture, cases[i].pool, "a", false);
	}
	/* Two that overlap: one of them stays. */
	set_drain(&fixture, "first", "a", true);
	set_drain(&fixture, "second", "a", true);
	set_drain(&fixture, "first", "a", false);
	update(&fixture, 2);
	expect(&fixture, 0, 1, 0, false);
	/* Also one that the containing pool names itself. */
	set_drain(&fixture, "second", "x", true);
	update(&fixture, 3);
	expect(&fixture, 0, 0, 0, false);
	close_fixture(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_down_loses_its_slots_and_flows),
		cmocka_unit_test(test_drained_keeps_its_flows),
		cmocka_unit_test(test_an_event_takes_one_down),
		cmocka_unit_test(test_last_resort),
		cmocka_unit_test(test_last_resort_leaves_out_what_is_drained),
		cmocka_unit_test(test_without_last_resort_all_down_is_down),
		cmocka_unit_test(test_slow_start_grows_in_steps),
		cmocka_unit_test(test_slow_start_not_at_the_start_and_not_alone),
		cmocka_unit_test(test_slow_start_of_undrained_and_new),
		cmocka_unit_test(test_contained_is_drained_by_either_name),
		cmocka_unit_test(test_contained_is_drained_by_every_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
