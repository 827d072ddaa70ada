/* SPDX-License-Identifier: Apache-2.0 */
/* Privileges: what the receiver does not need once it listens is given up. */
#ifndef BF_TARGET_PRIVILEGES_H
#define BF_TARGET_PRIVILEGES_H

#include "lib/error.h"

/* Before any thread is started: each thread has privileges of its own. */
int bf_drop_privileges(struct bf_error *err);

#endif /* BF_TARGET_PRIVILEGES_H */
