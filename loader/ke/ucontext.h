/*
 * CONTEXT and the ucontext_t that a signal handler gets, one made from the other.
 *
 * Both are parts of the same state; what only the ucontext_t has (upper halves of ymm registers,
 * the signal mask) stays as it is there. Async-signal-safe.
 */
#ifndef KE_UCONTEXT_H
#define KE_UCONTEXT_H

#include <ucontext.h>

#include "loader/ke/exception.h"

/* Fills the parts that `flags` (KE_CONTEXT_...) names and sets ContextFlags to them; debug
 * registers read 0. Other parts of `context` are left alone. */
void ke_context_from_ucontext(struct ke_context *context, const ucontext_t *host, uint32_t flags);
/*
 * The parts that ContextFlags names go into `host`, except segment and debug registers, which are
 * not a program's to choose. i386: x87 registers come from FloatSave where both it and
 * ExtendedRegisters are named.
 */
void ke_context_to_ucontext(const struct ke_context *context, ucontext_t *host);

#endif
