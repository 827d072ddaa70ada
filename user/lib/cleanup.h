/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-bound clean-up: what a scope opens is closed on every way out of it. */
#ifndef BF_LIB_CLEANUP_H
#define BF_LIB_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void bf_cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void bf_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void bf_cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _cleanup_free_ _cleanup_(bf_cleanup_free)
#define _cleanup_close_ _cleanup_(bf_cleanup_close)
#define _cleanup_fclose_ _cleanup_(bf_cleanup_fclose)

/* Hand a descriptor or pointer on to the caller and disarm its clean-up. */
#define bf_take_fd(fd) ({ int _taken = (fd); (fd) = -1; _taken; })
#define bf_take_pointer(p) ({ __typeof__(p) _taken = (p); (p) = NULL; _taken; })

#endif /* BF_LIB_CLEANUP_H */
