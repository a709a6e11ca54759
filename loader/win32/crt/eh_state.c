/*
 * The exceptions of a thread (eh_state.h).
 */
#include "loader/win32/crt/eh_state.h"

#include "loader/win32/crt/eh_thrown.h"

static __thread struct eh_state current;

struct eh_state *eh_state(void)
{
    return &current;
}

/* The innermost record that is one; those on stack that nobody owns any more are dropped. */
static struct eh_record *innermost(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    struct eh_record *record = current.innermost;
    enum { SAME_STACK = 64 << 20 };
    while (record != NULL && (uintptr_t)record < here && here - (uintptr_t)record < SAME_STACK) {
        record = record->self == record ? record->outer : NULL;
    }
    current.innermost = record != NULL && record->self == record ? record : NULL;
    return current.innermost;
}

static struct eh_record *outer_of(const struct eh_record *record)
{
    struct eh_record *outer = record->outer;
    return outer != NULL && outer->self == outer ? outer : NULL;
}

static struct eh_record *first_catch(struct eh_record *record)
{
    while (record != NULL && record->kind != EH_CATCHING) {
        record = outer_of(record);
    }
    return record;
}

static void enter(struct eh_record *record, enum eh_record_kind kind)
{
    record->outer = innermost();
    record->self = record;
    record->kind = kind;
    current.innermost = record;
}

void eh_enter_cleanup(struct eh_record *record, uintptr_t frame, int32_t state)
{
    *record = (struct eh_record){.frame = frame, .state = state};
    enter(record, EH_CLEANING);
    current.unwinding++;
}

void eh_enter_fence(struct eh_record *record)
{
    *record = (struct eh_record){.state = EH_NO_STATE};
    enter(record, EH_FENCED);
}

void eh_enter_catch(struct eh_record *record)
{
    enter(record, EH_CATCHING);
    current.exception = record->exception;
    current.context = record->context;
}

void eh_leave(struct eh_record *record)
{
    current.innermost = outer_of(record);
    record->self = NULL;
    if (record->kind != EH_CATCHING) {
        current.unwinding -= record->kind == EH_CLEANING && current.unwinding > 0;
        return;
    }
    struct eh_record *outer = first_catch(current.innermost);
    current.exception = outer != NULL ? outer->exception : NULL;
    current.context = outer != NULL ? outer->context : NULL;
}

static void *object_of(const struct eh_record *record)
{
    return record->foreign ? NULL : (void *)record->exception->ExceptionInformation[1];
}

bool eh_is_last(const void *object)
{
    struct eh_record *r = first_catch(innermost());
    for (; r != NULL; r = first_catch(outer_of(r))) {
        if (object_of(r) == object) {
            return false;
        }
    }
    for (struct eh_frame_info *info = current.frame_infos; info != NULL; info = info->next) {
        if (info->object == object) {
            return false;
        }
    }
    return true;
}

void eh_leave_catch(struct eh_record *record)
{
    void *object = object_of(record);
    eh_leave(record);
    if (object == NULL) {
        return;
    }
    struct eh_record *r = first_catch(innermost());
    for (; r != NULL; r = first_catch(outer_of(r))) { /* it is no more on its way out of those */
        r->rethrown = r->rethrown && object_of(r) != object;
    }
    if (eh_is_last(object)) {
        eh_destroy(record->exception);
    }
}

struct eh_record *eh_current_catch(void)
{
    return first_catch(innermost());
}

bool eh_state_of_frame(uintptr_t frame, int32_t *state)
{
    for (struct eh_record *r = innermost(); r != NULL; r = outer_of(r)) {
        if (r->frame == frame) {
            *state = r->state;
            return true;
        }
    }
    return false;
}

bool eh_left_fence(uintptr_t frame)
{
    for (struct eh_record *r = innermost(); r != NULL && (uintptr_t)r < frame; r = outer_of(r)) {
        if (r->kind != EH_CATCHING) {
            return true;
        }
    }
    return false;
}

/* Whether a catch block of the frame's function goes on when `block` takes an exception. */
static bool goes_on(const struct eh_record *record, uintptr_t frame, const struct eh_try *block)
{
    return block != NULL && record->kind == EH_CATCHING && record->frame == frame &&
           block->low > record->block.high && block->high <= record->block.catch_high;
}

struct eh_record *eh_next_abandoned(uintptr_t frame, const struct eh_try *keep)
{
    struct eh_record *r = innermost();
    while (r != NULL && (uintptr_t)r < frame && !goes_on(r, frame, keep)) {
        if (r->kind == EH_CATCHING && r->frame == frame) {
            return r;
        }
        eh_end(r);
        r = innermost();
    }
    return NULL;
}

void eh_end(struct eh_record *record)
{
    if (record->kind == EH_CATCHING && !record->rethrown) {
        eh_leave_catch(record);
    } else {
        eh_leave(record);
    }
}

int *eh_unwinding(void)
{
    return &current.unwinding;
}

struct ke_exception_record **eh_current_exception(void)
{
    return &current.exception;
}

struct ke_context **eh_current_context(void)
{
    return &current.context;
}

struct eh_frame_info **eh_frame_infos(void)
{
    return &current.frame_infos;
}
