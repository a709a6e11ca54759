/*
 * One frame of a C++ function on the way of an exception: the part that is the same in both word
 * sizes. eh_x64.c and eh_i386.c find the frame and know how its code is called.
 */
#ifndef WIN32_CRT_EH_FRAME_H
#define WIN32_CRT_EH_FRAME_H

#include "loader/win32/crt/eh_state.h"
#include "loader/win32/crt/eh_thrown.h"

struct eh_frame {
    struct eh_function function;
    uintptr_t key;  /* as dispatch knows it: establisher frame, registration node */
    uintptr_t body; /* what the function's catch blocks and clean-up code get */
    int32_t state;
    bool in_catch;        /* version 3 on x86-64: the frame is that of a catch block ... */
    struct eh_try around; /* ... of this try block */
    void *dispatcher;
};

/* What takes an exception. */
struct eh_taker {
    struct eh_try block;
    struct eh_catch code;
    int32_t enclosing; /* the state around the try block */
    struct ke_exception_record *exception;
    struct ke_context *context;
};

/* Looks for a catch block; when there is one, the call does not return. */
void eh_search(const struct eh_frame *frame, struct ke_exception_record *record,
               struct ke_context *context);
/* Whether an exception concerns a function, or it is compiled for C++ exceptions only. */
bool eh_concerns(const struct eh_function *function, const struct ke_exception_record *record);
/* Runs the frame's clean-up code until it is in `target` or outside of it. */
void eh_unwind_to(struct eh_frame *frame, int32_t target);

/* std::terminate() with a line on standard error that says why. */
void eh_terminate(const char *why) __attribute__((noreturn));
/* The same for tables of an image that make no sense. */
void eh_corrupt(const struct eh_image *image) __attribute__((noreturn));

/* ---- one per word size --------------------------------------------------------------------------
 */

/* Unwinds to the frame, runs the catch block and goes on behind it. */
void eh_take(const struct eh_frame *frame, const struct eh_taker *taker) __attribute__((noreturn));
/* Calls a catch block or clean-up code: on x86-64 with the frame in rdx, on i386 in ebp. */
uintptr_t eh_call(uintptr_t code, uintptr_t body);
/* The frame is in another state: i386 functions keep it in their node. */
void eh_set_state(struct eh_frame *frame, int32_t state);

#endif
