/*
 * Reading memory that may not be there: tables of images and stacks that a context points to.
 *
 * The reads are a few instructions in assembly; the handler of SIGSEGV and SIGBUS (fault.c) knows
 * them and lets them fail. No system call, no lock, so that a fault handler may use them.
 */
#ifndef KE_PROBE_H
#define KE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False, with a part of `out` written: not all of [from, from + size) can be read. */
bool ke_probe(void *out, uintptr_t from, size_t size);
/* The same for one machine word; `from` may be unaligned. */
bool ke_probe_word(uintptr_t *out, uintptr_t from);

/* For the fault handler: whether a fault at `*pc` is a probe's; `*pc` is then where it goes on. */
bool ke_probe_fault(uintptr_t *pc);

#endif
