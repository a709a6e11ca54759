/*
 * Waits without a thread (see async.h).
 */
#include "loader/ob/async.h"

static struct ob_async armed = {.next = &armed, .prev = &armed};

void ob_async_disarm(struct ob_async *async)
{
    if (!async->armed)
        return;
    async->armed = false;
    async->next->prev = async->prev;
    async->prev->next = async->next;
}

/* Whether the wait has ended. */
static bool try_fire(struct ob_async *async)
{
    const struct ob_type *type = async->object->type;
    if (!type->signaled(async->object, async->thread_id))
        return false;
    ob_async_disarm(async);
    struct ob_object *object = async->object;
    if (async->fired(async) && type->acquired)
        type->acquired(object, async->thread_id);
    return true;
}

/* What one of them does may signal the object of another: again until nothing happens. Every round
 * ends a wait, so there is an end. */
void ob_async_wake(void)
{
    struct ob_async *at = armed.next;
    while (at != &armed)
        at = try_fire(at) ? armed.next : at->next;
}

bool ob_async_arm(struct ob_async *async)
{
    async->next = &armed;
    async->prev = armed.prev;
    async->prev->next = armed.prev = async;
    async->armed = true;
    if (!try_fire(async))
        return false;
    ob_wait_wake(); /* what it did may end other waits */
    return true;
}
