/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of the compiled pipelines runs: that of the CPU's level. See level.h. */
#ifdef PIPELINE_LEVELS

#include <cpuid.h>

#include <fluxpin/pipeline.h>

uint32_t pipeline_run_baseline(struct pipeline *pipeline, const struct forwarding *forwarding,
			       uint64_t now_ns);
uint32_t pipeline_run_v3(struct pipeline *pipeline, const struct forwarding *forwarding,
			 uint64_t now_ns);

/* Set before main, and not changed. */
static bool has_v3;

/* What x86-64-v3 has beyond v2 (System V ABI for x86-64, table 3.1). The operating system's part of
 * AVX is in the compiler's answer. */
static __attribute__((constructor)) void find_level(void)
{
	unsigned int a, b, c = 0, d, extended = 0;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !__get_cpuid(0x80000001, &a, &b, &extended, &d))
		return;
	has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
		 __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") &&
		 (c & bit_MOVBE) != 0 && (c & bit_F16C) != 0 && (extended & bit_LZCNT) != 0;
}

uint32_t pipeline_run(struct pipeline *pipeline, const struct forwarding *forwarding,
		      uint64_t now_ns)
{
	return has_v3 ? pipeline_run_v3(pipeline, forwarding, now_ns)
		      : pipeline_run_baseline(pipeline, forwarding, now_ns);
}

#else

typedef int pipeline_has_one_level; /* ISO C wants a declaration in each file */

#endif
