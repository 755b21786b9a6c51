/* SPDX-License-Identifier: Apache-2.0 */
/* Where a record lies in this process's memory, and what its head says of it. */
#ifndef PROCTOR_PLACES_H
#define PROCTOR_PLACES_H

struct record_place {
	__u64 time_ns;
	__u64 address;
	__u32 length;            /* of what lies there, which its head may belie */
	__u16 type;
	__u16 flags;
};

#endif
