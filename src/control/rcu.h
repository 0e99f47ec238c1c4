/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liburcu, QSBR flavour, in the few calls that fluxpin uses.
 *
 * The installed library is not instrumented for ThreadSanitizer, so under it these wrappers state
 * the two orders that the library guarantees: what was written before rcu_publish is seen by who
 * reads the pointer, and what a reader did before its quiescent state is over when
 * rcu_wait_for_readers returns. Everything else stays visible to the sanitizer.
 */
#ifndef FLUXPIN_RCU_H
#define FLUXPIN_RCU_H

#include <urcu-qsbr.h>

#ifdef __SANITIZE_THREAD__
#define FLUXPIN_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FLUXPIN_TSAN 1
#endif
#endif

#ifdef FLUXPIN_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define rcu_annotate_acquire(address) __tsan_acquire(address)
#define rcu_annotate_release(address) __tsan_release(address)
#else
#define rcu_annotate_acquire(address) ((void)(address))
#define rcu_annotate_release(address) ((void)(address))
#endif

/* Thread: control. Partner: rcu_read. */
#define rcu_publish(pointer, value)                      \
	do {                                             \
		rcu_annotate_release((void *)(pointer)); \
		rcu_assign_pointer(*(pointer), value);   \
	} while (0)

/* Thread: worker, registered and online. The value is good until the next quiescent state. */
#define rcu_read(pointer)                                                   \
	({                                                                  \
		__typeof__(*(pointer)) value = rcu_dereference(*(pointer)); \
		rcu_annotate_acquire((void *)(pointer));                    \
		value;                                                      \
	})

/* Thread: worker. Nothing that was read before is used after these. `pointer` is that of rcu_read.
 */
#define rcu_quiesce(pointer)                             \
	do {                                             \
		rcu_annotate_release((void *)(pointer)); \
		rcu_quiescent_state();                   \
	} while (0)

/* Thread: control, not registered. Waits until every reader has quiesced or is offline. */
#define rcu_wait_for_readers(pointer)                    \
	do {                                             \
		synchronize_rcu();                       \
		rcu_annotate_acquire((void *)(pointer)); \
	} while (0)

#endif
