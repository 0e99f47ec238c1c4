/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include <fluxpin/counters.h>
#include <fluxpin/fragment_table.h>

#define NONE UINT16_MAX

/* Of the packets that may wait: so few first fragments may be away, each with a datagram behind it.
 */
#define AWAY_SHARE 32

/* The last one takes all that may wait. */
#define SORT_CHAINS 9

_Static_assert(sizeof(struct datagram) == 128, "two cache lines");
_Static_assert(FRAGMENT_MOST_HELD < 1 << SORT_CHAINS, "they fit into chains of powers of two");
_Static_assert(FRAGMENT_MAX_CAPACITY < NONE && FRAGMENT_MOST_HELD < NONE, "indexes are 16 bits");

static uint32_t bucket_count(uint32_t capacity)
{
	uint32_t count = 1;

	while (count < capacity)
		count *= 2;
	return count;
}

size_t fragment_table_size(uint32_t capacity)
{
	return capacity * sizeof(struct datagram) +
	       FRAGMENT_MOST_HELD * sizeof(struct held_fragment) +
	       bucket_count(capacity) * sizeof(uint16_t);
}

void fragment_table_initialise(struct fragment_table *table, void *memory, uint32_t capacity,
			       uint32_t held_limit, uint64_t timeout_ns)
{
	uint32_t buckets = bucket_count(capacity);
	struct datagram *datagrams = memory;
	struct held_fragment *held = (struct held_fragment *)(datagrams + capacity);

	*table = (struct fragment_table){
		.datagrams = datagrams,
		.held = held,
		.buckets = (uint16_t *)(held + FRAGMENT_MOST_HELD),
		.mask = buckets - 1,
		.capacity = capacity,
		.held_limit = held_limit < FRAGMENT_MOST_HELD ? held_limit : FRAGMENT_MOST_HELD,
		.waiting = { NONE, NONE },
		.decided = { NONE, NONE },
		.timeout_ns = timeout_ns,
	};
	for (uint32_t i = 0; i < capacity; i++)
		datagrams[i].next = (uint16_t)(i + 1 < capacity ? i + 1 : NONE);
	for (uint32_t i = 0; i < FRAGMENT_MOST_HELD; i++)
		held[i].next = (uint16_t)(i + 1 < FRAGMENT_MOST_HELD ? i + 1 : NONE);
	memset(table->buckets, 0xff, buckets * sizeof(uint16_t));
}

static uint16_t *bucket_of(const struct fragment_table *table, uint64_t key)
{
	return &table->buckets[key & table->mask];
}

static struct datagram *at(const struct fragment_table *table, uint16_t index)
{
	return index == NONE ? NULL : &table->datagrams[index];
}

struct datagram *fragment_table_find(const struct fragment_table *table, uint64_t key)
{
	struct datagram *datagram = at(table, *bucket_of(table, key));

	while (datagram != NULL && datagram->key != key)
		datagram = at(table, datagram->next);
	return datagram;
}

bool fragment_table_is_full(const struct fragment_table *table)
{
	return table->free == NONE;
}

static struct fragment_queue *queue_of(struct fragment_table *table,
				       const struct datagram *datagram)
{
	return datagram->state == DATAGRAM_WAITING ? &table->waiting : &table->decided;
}

static void enqueue(struct fragment_table *table, struct datagram *datagram, uint64_t now_ns)
{
	struct fragment_queue *queue = queue_of(table, datagram);
	uint16_t index = (uint16_t)(datagram - table->datagrams);

	datagram->since_ns = now_ns;
	datagram->older = queue->newest;
	datagram->newer = NONE;
	if (queue->newest == NONE)
		queue->oldest = index;
	else
		table->datagrams[queue->newest].newer = index;
	queue->newest = index;
}

static void dequeue(struct fragment_table *table, const struct datagram *datagram)
{
	struct fragment_queue *queue = queue_of(table, datagram);

	if (datagram->older == NONE)
		queue->oldest = datagram->newer;
	else
		table->datagrams[datagram->older].newer = datagram->newer;
	if (datagram->newer == NONE)
		queue->newest = datagram->older;
	else
		table->datagrams[datagram->newer].older = datagram->older;
}

struct datagram *fragment_table_add(struct fragment_table *table, uint64_t key, uint64_t now_ns)
{
	uint16_t index = table->free, *bucket = bucket_of(table, key);
	struct datagram *datagram = &table->datagrams[index];

	table->free = datagram->next;
	*datagram = (struct datagram){
		.key = key,
		.next = *bucket,
		.held = NONE,
		.state = DATAGRAM_WAITING,
	};
	*bucket = index;
	enqueue(table, datagram, now_ns);
	counter_add(&table->count, 1);
	return datagram;
}

void fragment_table_decide(struct fragment_table *table, struct datagram *datagram,
			   enum datagram_state state, uint64_t now_ns)
{
	dequeue(table, datagram);
	datagram->state = (uint8_t)state;
	enqueue(table, datagram, now_ns);
}

struct datagram *fragment_table_oldest(const struct fragment_table *table, bool is_waiting)
{
	return at(table, is_waiting ? table->waiting.oldest : table->decided.oldest);
}

struct datagram *fragment_table_oldest_holder(const struct fragment_table *table)
{
	struct datagram *datagram = at(table, table->waiting.oldest);

	/* Few hold nothing: those that are away, and one that begins. */
	while (datagram != NULL && datagram->held == NONE)
		datagram = at(table, datagram->newer);
	return datagram;
}

bool fragment_table_may_be_away(const struct fragment_table *table)
{
	return table->held_count <= table->held_limit / 2 &&
	       table->away_count < table->held_limit / AWAY_SHARE;
}

void fragment_table_set_away(struct fragment_table *table, struct datagram *datagram, bool is_away)
{
	table->away_count += (uint32_t)is_away - (uint32_t)datagram->is_away;
	datagram->is_away = is_away;
}

bool fragment_table_is_expired(const struct fragment_table *table, const struct datagram *datagram,
			       uint64_t now_ns)
{
	return now_ns > datagram->since_ns && now_ns - datagram->since_ns > table->timeout_ns;
}

void fragment_table_remove(struct fragment_table *table, struct datagram *datagram)
{
	uint16_t index = (uint16_t)(datagram - table->datagrams);
	uint16_t *link = bucket_of(table, datagram->key);

	while (*link != index)
		link = &table->datagrams[*link].next;
	*link = datagram->next;
	fragment_table_set_away(table, datagram, false);
	dequeue(table, datagram);
	datagram->next = table->free;
	table->free = index;
	counter_add(&table->count, -UINT64_C(1));
}

/* Puts [start, end) in front of ranges[i], or into a neighbour that it touches. */
static bool insert_range(struct datagram *datagram, uint32_t i, uint16_t start, uint16_t end)
{
	struct fragment_range *ranges = datagram->ranges;
	uint32_t count = datagram->range_count;
	bool joins_left = i > 0 && ranges[i - 1].end == start;
	bool joins_right = i < count && ranges[i].start == end;

	if (joins_left && joins_right) {
		ranges[i - 1].end = ranges[i].end;
		memmove(&ranges[i], &ranges[i + 1], (count - i - 1) * sizeof(*ranges));
		datagram->range_count--;
	} else if (joins_left) {
		ranges[i - 1].end = end;
	} else if (joins_right) {
		ranges[i].start = start;
	} else {
		if (count == FRAGMENT_MOST_RANGES)
			return false;
		memmove(&ranges[i + 1], &ranges[i], (count - i) * sizeof(*ranges));
		ranges[i] = (struct fragment_range){ .start = start, .end = end };
		datagram->range_count++;
	}
	return true;
}

enum fragment_fit fragment_table_note(struct datagram *datagram, const struct fragment *fragment)
{
	const struct fragment_range *ranges = datagram->ranges;
	uint16_t start = fragment->offset, end = (uint16_t)(start + fragment->units);
	uint32_t count = datagram->range_count, i = 0;

	while (i < count && ranges[i].end <= start)
		i++;
	if (i < count && ranges[i].start <= start && end <= ranges[i].end)
		return FRAGMENT_DUPLICATE;
	if (i < count && ranges[i].start < end)
		return FRAGMENT_OVERLAPS;
	/* The last fragment tells where the datagram ends: nothing lies beyond, and once only. */
	if (fragment->more ? datagram->end != 0 && end > datagram->end
			   : datagram->end != 0 || (count > 0 && ranges[count - 1].end > end))
		return FRAGMENT_OVERLAPS;
	if (!insert_range(datagram, i, start, end))
		return FRAGMENT_OVERLAPS;
	if (!fragment->more)
		datagram->end = end;
	return FRAGMENT_FITS;
}

bool fragment_table_is_complete(const struct datagram *datagram)
{
	return datagram->end != 0 && datagram->range_count == 1 && datagram->ranges[0].start == 0 &&
	       datagram->ranges[0].end == datagram->end;
}

bool fragment_table_hold(struct fragment_table *table, struct datagram *datagram,
			 const struct packet *packet, uint16_t offset)
{
	uint16_t index = table->free_held;

	if (index == NONE || table->held_count >= table->held_limit)
		return false;
	table->free_held = table->held[index].next;
	table->held[index].packet = *packet;
	table->held[index].offset = offset;
	table->held[index].next = datagram->held;
	datagram->held = index;
	counter_add(&table->held_count, 1);
	return true;
}

/* Makes one ascending chain of two. */
static uint16_t merge(const struct fragment_table *table, uint16_t a, uint16_t b)
{
	uint16_t first, *link = &first;

	while (a != NONE && b != NONE) {
		uint16_t *lower = table->held[a].offset < table->held[b].offset ? &a : &b;

		*link = *lower;
		link = &table->held[*lower].next;
		*lower = *link;
	}
	*link = a != NONE ? a : b;
	return first;
}

void fragment_table_sort(const struct fragment_table *table, struct datagram *datagram)
{
	/* Chains of 1, 2, 4 and so on packets, or none. */
	uint16_t chains[SORT_CHAINS], next = datagram->held, sorted = NONE;

	memset(chains, 0xff, sizeof(chains));
	while (next != NONE) {
		uint16_t chain = next;
		uint32_t i = 0;

		next = table->held[chain].next;
		table->held[chain].next = NONE;
		for (; chains[i] != NONE; i++) {
			chain = merge(table, chains[i], chain);
			chains[i] = NONE;
		}
		chains[i] = chain;
	}
	for (uint32_t i = 0; i < SORT_CHAINS; i++)
		sorted = merge(table, chains[i], sorted);
	datagram->held = sorted;
}

bool fragment_table_take(struct fragment_table *table, struct datagram *datagram,
			 struct packet *packet)
{
	uint16_t index = datagram->held;

	if (index == NONE)
		return false;
	*packet = table->held[index].packet;
	datagram->held = table->held[index].next;
	table->held[index].next = table->free_held;
	table->free_held = index;
	counter_add(&table->held_count, -UINT64_C(1));
	return true;
}
