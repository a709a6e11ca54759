/*
 * The chain of registration records at fs:[0] of an i386 thread: calling and unwinding its frames.
 *
 * Records lie on the stack, the innermost first, and the chain ends with -1. Sources: winnt.h
 * (EXCEPTION_REGISTRATION_RECORD), Microsoft's documentation of RtlUnwind, and the published
 * descriptions of structured exception handling on i386.
 */
#ifndef KE_CHAIN_H
#define KE_CHAIN_H

#include "loader/ke/exception.h"

#ifdef __i386__

struct ke_registration; /* EXCEPTION_REGISTRATION_RECORD */
/* `dispatcher` points to a word that nested exceptions and collided unwinds answer through. */
typedef enum ke_disposition(WINCDECL *ke_frame_handler)(struct ke_exception_record *record,
                                                        struct ke_registration *frame,
                                                        struct ke_context *context,
                                                        struct ke_registration **dispatcher);
struct ke_registration {
    struct ke_registration *Next;
    ke_frame_handler Handler;
};
#define KE_CHAIN_END ((struct ke_registration *)UINTPTR_MAX)

/* Which addresses a record of this thread may have: from here up to the stack's base. */
struct ke_chain_bounds {
    uintptr_t low, high;
};
struct ke_chain_bounds ke_chain_bounds(void);
/* Whether a record may lie there: aligned, on the stack. */
bool ke_chain_holds(const struct ke_chain_bounds *bounds, const struct ke_registration *frame);

/*
 * What RtlDispatchException asks before it calls a frame's handler (SafeSEH, NO_SEH, handlers on
 * the stack, memory that is not executable). Takes no lock.
 */
bool ke_frame_handler_allowed(uintptr_t handler);

/*
 * RtlUnwind without the way back: calls the handlers of all frames below `target` with
 * EXCEPTION_UNWINDING and takes them out of the chain; `target` itself stays. `record` NULL =
 * STATUS_UNWIND; `target` NULL = exit unwind, which ends in the unhandled filter; KE_CHAIN_END =
 * every frame. Raises STATUS_INVALID_UNWIND_TARGET or STATUS_BAD_STACK where Windows does.
 */
void ke_unwind_frames(struct ke_registration *target, struct ke_exception_record *record,
                      struct ke_context *context);

/*
 * Calls a handler under a registration record of its own, whose handler is `inner` and which names
 * `frame` (stubs_i386.c): an exception or unwind that meets it knows which frame was being called.
 */
enum ke_disposition ke_frame_call(struct ke_exception_record *record, struct ke_registration *frame,
                                  struct ke_context *context, struct ke_registration **dispatcher,
                                  ke_frame_handler handler, ke_frame_handler inner);
/* The record that it makes. */
struct ke_inner_frame {
    struct ke_registration header;
    struct ke_registration *frame; /* whose handler is running */
};

/* A handler answered what is no answer: raises STATUS_INVALID_DISPOSITION. */
void ke_frame_bad_answer(struct ke_exception_record *record) __attribute__((noreturn));

#endif
#endif
