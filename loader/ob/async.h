/*
 * Waits without a thread: a record that is told when an object is signaled. Completion packets of
 * waits and the waits of the thread pool are made of it.
 */
#ifndef OB_ASYNC_H
#define OB_ASYNC_H

#include "loader/ob/object.h"

/*
 * Zeroed at first, then `object` and `fired` are the owner's to set while it is not armed. The
 * owner keeps a reference to the object as long as the record is armed.
 */
struct ob_async {
    struct ob_object *object;
    /*
     * The object is signaled: true takes it (an event resets itself, a semaphore counts down) and
     * ends the wait; false leaves it, and the wait ends as well. Called with the wait lock held; it
     * may change what other objects' `signaled` reads, but must not call ob_wait_wake().
     */
    bool (*fired)(struct ob_async *async);
    uint32_t thread_id; /* who would own a mutex */
    bool armed;
    struct ob_async *next, *prev;
};

/* Wait lock held for all of them. Fires at once when the object is signaled already; returns
 * whether it did. */
bool ob_async_arm(struct ob_async *async);
/* Nothing when it is not armed. */
void ob_async_disarm(struct ob_async *async);
/* Part of ob_wait_wake(). */
void ob_async_wake(void);
/* Part of ob_wait_became_shared(). */
void ob_async_became_shared(const struct ob_object *object);

#endif
