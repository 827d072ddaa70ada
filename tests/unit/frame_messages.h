/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the validators share: a message, whole or with one field
 * changed, goes through its own. */
#ifndef BF_TESTS_FRAME_MESSAGES_H
#define BF_TESTS_FRAME_MESSAGES_H

#include <errno.h>
#include <string.h>

#include "lib/frame.h"
#include "tap.h"

#define DEVICE_BYTES (1ull << 30)

static struct bf_error err;
static uint8_t payload[2 << 20];

static inline struct bf_frame frame_of(uint16_t type, const void *data, size_t length)
{
	memcpy(payload, data, length);
	return (struct bf_frame){ .type = type, .length = (uint32_t)length,
				  .payload = payload };
}

#define CHECK_MESSAGE(name, type, message) ({				\
	struct wire_##name _wire = (message), _out;			\
	struct bf_frame _f;						\
	bf_wire_swap_##name(&_wire);					\
	_f = frame_of(type, &_wire, sizeof(_wire));			\
	memset(&err, 0, sizeof(err));					\
	bf_check_##name(&_f, &_out, &err);				\
})

/* With one field changed it is refused. */
#define REFUSED(name, type, good, field, bad) do {			\
	struct wire_##name _m = (good);					\
	_m.field = (bad);						\
	check_eq(CHECK_MESSAGE(name, type, _m), -EPROTO);		\
	check_eq(err.code, BF_E_PROTOCOL);				\
} while (0)

#define ACCEPTED(name, type, good, field, value) do {			\
	struct wire_##name _m = (good);					\
	_m.field = (value);						\
	check_eq(CHECK_MESSAGE(name, type, _m), 0);			\
} while (0)

#endif /* BF_TESTS_FRAME_MESSAGES_H */
