/* SPDX-License-Identifier: BSD-2-Clause */
#include <fluxpin/verdict.h>

static const char *const labels[DROP_REASON_COUNT] = {
#define X(identifier, label, explanation) [DROP_##identifier] = label,
	DROP_REASONS(X)
#undef X
};

static const char *const explanations[DROP_REASON_COUNT] = {
#define X(identifier, label, explanation) [DROP_##identifier] = explanation,
	DROP_REASONS(X)
#undef X
};

const char *drop_reason_label(enum drop_reason reason)
{
	return labels[reason];
}

const char *drop_reason_explanation(enum drop_reason reason)
{
	return explanations[reason];
}
