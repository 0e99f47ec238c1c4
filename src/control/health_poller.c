/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "health_internal.h"

/* Events taken at a time; what is left wakes the loop again. */
#define BATCH 128

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct poller *poller = poll->data;
	struct epoll_event ready[BATCH];
	int count;

	(void)status;
	(void)events;
	count = epoll_wait(poller->epoll, ready, BATCH, 0);
	for (int i = 0; i < count; i++) {
		uint32_t descriptor = (uint32_t)ready[i].data.u64;
		const struct poller_entry *entry = &poller->entries[descriptor];

		/* An earlier event of this batch may have closed it, and its number may be in use
		 * again. One that is forgotten and open all the same must not wake the loop again.
		 */
		if (entry->generation != (uint32_t)(ready[i].data.u64 >> 32))
			continue;
		if (entry->ready != NULL)
			entry->ready(entry->context, (int)descriptor, ready[i].events);
		else
			epoll_ctl(poller->epoll, EPOLL_CTL_DEL, (int)descriptor, NULL);
	}
}

int poller_open(struct poller *poller, uv_loop_t *loop)
{
	int error;

	*poller = (struct poller){ .epoll = epoll_create1(EPOLL_CLOEXEC) };
	if (poller->epoll < 0)
		return -errno;
	error = uv_poll_init(loop, &poller->poll, poller->epoll);
	if (error != 0) {
		close(poller->epoll);
		return error;
	}
	poller->poll.data = poller;
	uv_poll_start(&poller->poll, UV_READABLE, on_ready);
	return 0;
}

void poller_close(struct poller *poller, uv_close_cb closed)
{
	uv_close((uv_handle_t *)&poller->poll, closed);
	close(poller->epoll);
	free(poller->entries);
	poller->entries = NULL;
	poller->entry_count = 0;
}

/* Makes room for descriptors up to this one. */
static int grow(struct poller *poller, uint32_t descriptor)
{
	uint32_t count = poller->entry_count > 0 ? poller->entry_count : 256;
	struct poller_entry *entries;

	if (descriptor < poller->entry_count)
		return 0;
	while (count <= descriptor)
		count *= 2;
	entries = realloc(poller->entries, count * sizeof(*entries));
	if (entries == NULL)
		return -ENOMEM;
	memset(entries + poller->entry_count, 0, (count - poller->entry_count) * sizeof(*entries));
	poller->entries = entries;
	poller->entry_count = count;
	return 0;
}

int poller_watch(struct poller *poller, int descriptor, uint32_t events, poller_callback ready,
		 void *context)
{
	struct epoll_event event = { .events = events };
	struct poller_entry *entry;
	int error = grow(poller, (uint32_t)descriptor), operation = EPOLL_CTL_MOD;

	if (error != 0)
		return error;
	entry = &poller->entries[descriptor];
	if (entry->ready == NULL) {
		operation = EPOLL_CTL_ADD;
		entry->generation++;
	} else if (entry->events == events) {
		return 0;
	}
	event.data.u64 = (uint64_t)entry->generation << 32 | (uint32_t)descriptor;
	if (epoll_ctl(poller->epoll, operation, descriptor, &event) != 0 &&
	    (errno != EEXIST || epoll_ctl(poller->epoll, EPOLL_CTL_MOD, descriptor, &event) != 0))
		return -errno;
	entry->ready = ready;
	entry->context = context;
	entry->events = events;
	return 0;
}

void poller_forget(struct poller *poller, int descriptor)
{
	if ((uint32_t)descriptor < poller->entry_count)
		poller->entries[descriptor].ready = NULL;
}
