/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a finished call must have come to, for recording and counting alike. */
#ifndef PROCTOR_TRACE_FILTER_H
#define PROCTOR_TRACE_FILTER_H

#include "task.h"

#define ERRNO_MAX 4095

static __always_inline bool is_error(s64 result)
{
	return result < 0 && result >= -ERRNO_MAX;
}

static __always_inline bool result_wanted(s64 result)
{
	bool inside = result >= configuration.result_low && result <= configuration.result_high;

	switch (configuration.result_filter) {
	case RESULT_INSIDE:
		return inside;
	case RESULT_OUTSIDE:
		return !inside;
	default:
		return true;
	}
}

static __always_inline bool duration_wanted(u64 duration_ns)
{
	return duration_ns >= configuration.minimum_duration_ns;
}

#endif
