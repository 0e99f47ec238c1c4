/* SPDX-License-Identifier: BSD-2-Clause */
/* The states of flows: every flag in every state, and the sequences that connections are made of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <fluxpin/connection_state.h>

#define FIN TCP_FLAG_FIN
#define SYN TCP_FLAG_SYN
#define RST TCP_FLAG_RST
#define ACK TCP_FLAG_ACK

static bool is_once(enum connection_state state)
{
	return state == CONNECTION_TCP_ONCE || state == CONNECTION_UDP_ONCE ||
	       state == CONNECTION_OTHER_ONCE;
}

/* What the header says of a TCP segment. */
static enum connection_state expected_of(enum connection_state state, uint8_t flags)
{
	bool fin = flags & FIN, syn = flags & SYN, rst = flags & RST, ack = flags & ACK;

	if (syn && (fin || rst))
		return state;
	if (syn && !ack)
		return CONNECTION_SYN;
	if (rst) {
		if (state == CONNECTION_EMPTY || state == CONNECTION_SYN || is_once(state))
			return state;
		return CONNECTION_CLOSING;
	}
	if (fin)
		return state == CONNECTION_EMPTY ? CONNECTION_EMPTY : CONNECTION_CLOSING;
	if (!ack)
		return state;
	if (state == CONNECTION_EMPTY)
		return CONNECTION_TCP_ONCE;
	return state == CONNECTION_CLOSING ? CONNECTION_CLOSING : CONNECTION_ESTABLISHED;
}

/* All 256 values of the flags in all states; PSH, URG, ECE and CWR (RFC 3168) say nothing. */
static void test_every_flag_in_every_state(void **state)
{
	(void)state;
	for (int before = 0; before < CONNECTION_STATE_COUNT; before++) {
		for (int flags = 0; flags < 256; flags++) {
			enum connection_event event = connection_event(IPPROTO_TCP, (uint8_t)flags);
			enum connection_state after = connection_next((uint8_t)before, event);

			if (after != expected_of((enum connection_state)before, (uint8_t)flags))
				fail_msg("flags 0x%02x in state %s lead to %s", flags,
					 connection_state_label((enum connection_state)before),
					 connection_state_label(after));
			assert_int_equal(event == CONNECTION_EVENT_SYN,
					 (flags & (SYN | ACK | FIN | RST)) == SYN);
			/* What changes nothing is known by its event, in every state. */
			assert_true(event != CONNECTION_EVENT_NONE ||
				    after == (enum connection_state)before);
		}
	}
}

static const struct sequence {
	const char *what;
	struct {
		uint8_t flags;
		enum connection_state after;
	} steps[8]; /* up to one of flags 0xff */
} sequences[] = {
	{ "a whole connection, closed by the client",
	  { { SYN, CONNECTION_SYN },
	    { ACK, CONNECTION_ESTABLISHED },
	    { ACK, CONNECTION_ESTABLISHED },
	    { FIN | ACK, CONNECTION_CLOSING },
	    { ACK, CONNECTION_CLOSING },
	    { 0xff, 0 } } },
	{ "a half-closed one: the server goes on sending, the client acknowledges",
	  { { SYN, CONNECTION_SYN },
	    { ACK, CONNECTION_ESTABLISHED },
	    { FIN | ACK, CONNECTION_CLOSING },
	    { ACK, CONNECTION_CLOSING },
	    { FIN | ACK, CONNECTION_CLOSING },
	    { ACK, CONNECTION_CLOSING },
	    { 0xff, 0 } } },
	{ "an aborted one, and one after it on the same ports",
	  { { SYN, CONNECTION_SYN },
	    { ACK, CONNECTION_ESTABLISHED },
	    { RST | ACK, CONNECTION_CLOSING },
	    { SYN, CONNECTION_SYN },
	    { ACK, CONNECTION_ESTABLISHED },
	    { 0xff, 0 } } },
	{ "a refused one: the SYN is sent again, then the client gives up",
	  { { SYN, CONNECTION_SYN },
	    { SYN, CONNECTION_SYN },
	    { SYN | 0xc0, CONNECTION_SYN }, /* with ECN (RFC 3168 section 6.1.1) */
	    { RST, CONNECTION_SYN },
	    { 0xff, 0 } } },
	{ "ports used again while the old connection is established",
	  { { SYN, CONNECTION_SYN },
	    { ACK, CONNECTION_ESTABLISHED },
	    { SYN, CONNECTION_SYN },
	    { RST, CONNECTION_SYN },
	    { SYN, CONNECTION_SYN },
	    { ACK, CONNECTION_ESTABLISHED },
	    { 0xff, 0 } } },
	{ "met in the middle",
	  { { ACK, CONNECTION_TCP_ONCE },
	    { ACK, CONNECTION_ESTABLISHED },
	    { ACK, CONNECTION_ESTABLISHED },
	    { 0xff, 0 } } },
	{ "met in the middle, and ended at once",
	  { { ACK, CONNECTION_TCP_ONCE },
	    { RST, CONNECTION_TCP_ONCE },
	    { FIN | ACK, CONNECTION_CLOSING },
	    { 0xff, 0 } } },
	{ "met at its end",
	  { { FIN | ACK, CONNECTION_EMPTY },
	    { RST, CONNECTION_EMPTY },
	    { RST | ACK, CONNECTION_EMPTY },
	    { ACK, CONNECTION_TCP_ONCE },
	    { 0xff, 0 } } },
	{ "a simultaneous open (RFC 9293 section 3.5, figure 7)",
	  { { SYN, CONNECTION_SYN }, { SYN | ACK, CONNECTION_ESTABLISHED }, { 0xff, 0 } } },
	{ "nonsense first",
	  { { SYN | FIN, CONNECTION_EMPTY },
	    { SYN | RST, CONNECTION_EMPTY },
	    { 0, CONNECTION_EMPTY },
	    { SYN | FIN | RST | ACK, CONNECTION_EMPTY },
	    { 0x28, CONNECTION_EMPTY }, /* PSH and URG alone */
	    { 0xff, 0 } } },
	{ "nonsense in a SYN's wake keeps it one that may be evicted",
	  { { SYN, CONNECTION_SYN },
	    { SYN | FIN, CONNECTION_SYN },
	    { SYN | RST | ACK, CONNECTION_SYN },
	    { 0, CONNECTION_SYN },
	    { ACK, CONNECTION_ESTABLISHED },
	    { SYN | FIN | ACK, CONNECTION_ESTABLISHED },
	    { 0, CONNECTION_ESTABLISHED },
	    { 0xff, 0 } } },
};

static void test_sequences(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		enum connection_state now = CONNECTION_EMPTY;

		for (int step = 0; sequences[i].steps[step].flags != 0xff; step++) {
			uint8_t flags = sequences[i].steps[step].flags;

			now = connection_next((uint8_t)now, connection_event(IPPROTO_TCP, flags));
			if (now != sequences[i].steps[step].after)
				fail_msg("%s: step %d leads to %s", sequences[i].what, step,
					 connection_state_label(now));
		}
	}
}

/* Other protocols have no flags: whatever lies in their place. */
static void test_datagrams(void **state)
{
	static const uint8_t others[] = {
		IPPROTO_ICMP, IPPROTO_SCTP, IPPROTO_ESP, IPPROTO_ICMPV6, 0, 255
	};

	(void)state;
	for (int flags = 0; flags < 256; flags++) {
		enum connection_event event = connection_event(IPPROTO_UDP, (uint8_t)flags);

		assert_int_equal(event, CONNECTION_EVENT_UDP);
		assert_int_equal(connection_next(CONNECTION_EMPTY, event), CONNECTION_UDP_ONCE);
		assert_int_equal(connection_next(CONNECTION_UDP_ONCE, event), CONNECTION_UDP);
		assert_int_equal(connection_next(CONNECTION_UDP, event), CONNECTION_UDP);
		for (size_t i = 0; i < sizeof(others); i++) {
			event = connection_event(others[i], (uint8_t)flags);
			assert_int_equal(event, CONNECTION_EVENT_OTHER);
			assert_int_equal(connection_next(CONNECTION_EMPTY, event),
					 CONNECTION_OTHER_ONCE);
			assert_int_equal(connection_next(CONNECTION_OTHER_ONCE, event),
					 CONNECTION_OTHER);
			assert_int_equal(connection_next(CONNECTION_OTHER, event),
					 CONNECTION_OTHER);
		}
	}
}

static void test_labels(void **state)
{
	(void)state;
	assert_string_equal(connection_state_label(CONNECTION_SYN), "syn");
	assert_string_equal(connection_state_label(CONNECTION_OTHER_ONCE), "other_once");
	assert_string_equal(connection_state_label(CONNECTION_CLOSING), "closing");
	for (int i = 0; i < CONNECTION_STATE_COUNT; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(connection_state_label((enum connection_state)i),
						connection_state_label((enum connection_state)j));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_flag_in_every_state),
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
