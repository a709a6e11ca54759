/*
 * What a thread is doing about C++ exceptions: the catch blocks that run, innermost first, and the
 * clean-up code.
 *
 * Both are code of a function that runs below (deeper than) that function's frame, on behalf of
 * this library, so a record on the library's own frame describes each. It says which state the
 * function is in meanwhile: the return address in the function's own frame still is the one of the
 * throw. An unwind abandons the records below the frames that it passes. Records below the stack
 * pointer were abandoned by a jump that told nobody; they are dropped unseen.
 */
#ifndef WIN32_CRT_EH_STATE_H
#define WIN32_CRT_EH_STATE_H

#include "loader/ke/exception.h"
#include "loader/win32/crt/eh_table.h"

enum eh_record_kind {
    EH_CATCHING,
    EH_CLEANING, /* an unwind runs it; no C++ exception may leave it */
    EH_FENCED,   /* other code that no C++ exception may leave */
};

struct eh_record {
    struct eh_record *outer, *self; /* self: proof against stack that is used again */
    enum eh_record_kind kind;
    uintptr_t frame; /* of the function, as dispatch knows it */
    int32_t state;   /* its state meanwhile */
    /* EH_CATCHING: */
    struct ke_exception_record *exception;
    struct ke_context *context;
    bool rethrown; /* "throw;" has been said of it */
    struct eh_try block;
    uintptr_t saved_stack; /* i386: what the function's node holds outside of the catch block */
    bool foreign;          /* not C++: nothing to destroy */
};

void eh_enter_cleanup(struct eh_record *record, uintptr_t frame, int32_t state);
void eh_enter_fence(struct eh_record *record);
/* The caller has filled the record but for outer, self and kind. */
void eh_enter_catch(struct eh_record *record);
/* Takes the innermost record away. */
void eh_leave(struct eh_record *record);
/* The same at the end of a catch block: destroys the exception unless it is still needed. */
void eh_leave_catch(struct eh_record *record);

/* The innermost catch block that runs; NULL: none. */
struct eh_record *eh_current_catch(void);
/* The state of a function whose frame is not innermost; false: its return address tells it. */
bool eh_state_of_frame(uintptr_t frame, int32_t *state);
/* Whether an exception that has come to `frame` has left code that none may leave. */
bool eh_left_fence(uintptr_t frame);
/*
 * An unwind has come to `frame`: ends the records below it, one after the other, up to the first
 * catch block of the frame's own function, which it returns for the caller to end. NULL: all are
 * gone. `keep`, on i386, is the try block of the frame's function that goes on: catch blocks around
 * it do, too. NULL = none.
 */
struct eh_record *eh_next_abandoned(uintptr_t frame, const struct eh_try *keep);
/* Ends the innermost record from outside; its exception with it unless that was thrown again. */
void eh_end(struct eh_record *record);

/* Whether nobody else needs an exception's object. */
bool eh_is_last(const void *object);
/* How many unwinds run clean-up code: std::uncaught_exceptions(). */
int *eh_unwinding(void);
/* What __current_exception() and __current_exception_context() give the addresses of. */
struct ke_exception_record **eh_current_exception(void);
struct ke_context **eh_current_context(void);

/* All of it, for snapshots. */
struct eh_state {
    struct eh_record *innermost;
    int unwinding;
    struct ke_exception_record *exception;
    struct ke_context *context;
    struct eh_frame_info *frame_infos;
};
struct eh_state *eh_state(void);

/* The chain of _CreateFrameInfo(): lies in the caller's memory. */
struct eh_frame_info {
    void *object;
    struct eh_frame_info *next;
};
struct eh_frame_info **eh_frame_infos(void);

#endif
