/*
 * Waits without a thread (see async.h).
 *
 * Changes in this process are told by whoever makes them. Those of other processes are not: as long
 * as one of the objects is shared, a thread of this file listens to the bell and looks.
 */
#include "loader/ob/async.h"

#include <pthread.h>
#include <signal.h>

#include "loader/ob/bell.h"

static struct ob_async armed = {.next = &armed, .prev = &armed};

void ob_async_disarm(struct ob_async *async)
{
    if (!async->armed)
        return;
    async->armed = false;
    async->next->prev = async->prev;
    async->prev->next = async->next;
}

/* Whether the wait has ended. What other processes may take meanwhile is taken before it is told.
 */
static bool try_fire(struct ob_async *async)
{
    struct ob_object *object = async->object;
    const struct ob_type *type = object->type;
    bool shared = ob_is_shared(object);
    enum ob_taken taken = OB_NOT_TAKEN;
    if (!type->signaled(object, async->thread_id))
        return false;
    if (shared && (taken = ob_take(object, async->thread_id)) == OB_NOT_TAKEN)
        return false;
    ob_async_disarm(async);
    bool wanted = async->fired(async);
    if (wanted && !shared)
        ob_take(object, async->thread_id);
    if (!wanted && shared) {
        type->give_back(object, async->thread_id, taken);
        ob_bell_ring();
    }
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

/* ---- listening ----------------------------------------------------------------------------------
 */

enum { LISTENER_STACK = 256 << 10 };
static bool listens; /* under the wait lock */

static bool any_shared(void)
{
    for (const struct ob_async *at = armed.next; at != &armed; at = at->next)
        if (ob_is_shared(at->object))
            return true;
    return false;
}

/* Looks once a second as other waiters do (wait.c). Ends when there is nothing to listen for. */
static void *listen(void *unused)
{
    for (;;) {
        uint32_t seen = ob_bell_read();
        ob_wait_lock();
        ob_wait_wake();
        listens = any_shared();
        bool more = listens;
        ob_wait_unlock();
        if (!more)
            return NULL;
        ob_bell_sleep(seen, ob_bell_is_open() ? 1000000000 : 20000000);
    }
}

static void forget_in_child(void)
{
    listens = false;
}

static void install(void)
{
    pthread_atfork(NULL, NULL, forget_in_child);
}

/* Without a listener, changes of other processes are seen when something changes in this one. */
static void start_listening(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (listens)
        return;
    pthread_once(&once, install);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, LISTENER_STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all); /* the host's signals are none of its business */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    listens = pthread_create(&thread, &attributes, listen, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

void ob_async_became_shared(const struct ob_object *object)
{
    for (const struct ob_async *at = armed.next; at != &armed; at = at->next)
        if (at->object == object)
            start_listening();
}

bool ob_async_arm(struct ob_async *async)
{
    async->next = &armed;
    async->prev = armed.prev;
    async->prev->next = armed.prev = async;
    async->armed = true;
    if (!try_fire(async)) {
        if (ob_is_shared(async->object))
            start_listening();
        return false;
    }
    ob_wait_wake(); /* what it did may end other waits */
    return true;
}
