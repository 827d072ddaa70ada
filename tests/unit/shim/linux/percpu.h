/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel shim: per-CPU memory for SHIM_CPUS made-up CPUs. A thread says with
 * shim_cpu which it is on; several may be on one, as interrupts are.
 */
#ifndef BF_SHIM_PERCPU_H
#define BF_SHIM_PERCPU_H

#include <stdlib.h>

#include <linux/types.h>

#define SHIM_CPUS	4
#define SHIM_STRIDE	4096

extern __thread unsigned int shim_cpu;

#define alloc_percpu(type) \
	((type *)calloc(SHIM_CPUS, sizeof(char[SHIM_STRIDE])))
#define free_percpu(at)		free(at)
#define per_cpu_ptr(at, cpu) \
	((__typeof__(at))((char *)(at) + (cpu) * SHIM_STRIDE))

#define shim_this(lvalue)	per_cpu_ptr(&(lvalue), shim_cpu)
#define this_cpu_add_return(lvalue, n) \
	__atomic_add_fetch(shim_this(lvalue), (n), __ATOMIC_RELAXED)
#define this_cpu_add(lvalue, n)	((void)this_cpu_add_return(lvalue, n))
#define this_cpu_sub(lvalue, n)	((void)this_cpu_add_return(lvalue, -(n)))

#define num_possible_cpus()	SHIM_CPUS
#define for_each_possible_cpu(cpu) \
	for ((cpu) = 0; (cpu) < SHIM_CPUS; (cpu)++)

#endif /* BF_SHIM_PERCPU_H */
