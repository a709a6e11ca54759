/*
 * Asynchronous procedure calls (see apc.h). Queues change under the wait lock, because an alertable
 * wait must not miss what is queued while it begins.
 */
#include "loader/ke/apc.h"

#include <stdlib.h>

#include "loader/ke/suspend.h"

typedef void(WINAPI *apc_one)(uintptr_t a);
typedef void(WINAPI *apc_three)(uintptr_t a, uintptr_t b, uintptr_t c);

bool ke_apc_queue_locked(struct ob_object *thread, struct ke_apc *apc)
{
    struct ke_thread_object *object = (struct ke_thread_object *)thread;
    if (apc->queued || object->finished)
        return false;
    apc->queued = true;
    apc->next = NULL;
    if (object->last_apc)
        object->last_apc->next = apc;
    else
        object->apcs = apc;
    object->last_apc = apc;
    object->wait.apc = true;
    ob_wait_interrupt(&object->wait);
    return true;
}

nt_status ke_apc_queue_new(struct ob_object *thread, const void *function, uint8_t count,
                           const uintptr_t arguments[KE_APC_ARGUMENTS])
{
    struct ke_apc *apc = calloc(1, sizeof(*apc));
    if (!apc)
        return STATUS_NO_MEMORY;
    apc->allocated = true;
    apc->function = function;
    apc->count = count;
    for (int i = 0; i < KE_APC_ARGUMENTS; i++)
        apc->arguments[i] = arguments[i];
    ob_wait_lock();
    bool queued = ke_apc_queue_locked(thread, apc);
    ob_wait_unlock();
    if (!queued)
        free(apc);
    return queued ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

void ke_apc_remove_locked(struct ob_object *thread, struct ke_apc *apc)
{
    struct ke_thread_object *object = (struct ke_thread_object *)thread;
    struct ke_apc *before = NULL;
    if (!apc->queued)
        return;
    for (struct ke_apc *at = object->apcs; at != apc; at = at->next)
        before = at;
    if (before)
        before->next = apc->next;
    else
        object->apcs = apc->next;
    if (object->last_apc == apc)
        object->last_apc = before;
    object->wait.apc = object->apcs != NULL;
    apc->queued = false;
}

bool ke_apc_pending(struct ke_thread_object *object)
{
    ob_wait_lock();
    bool pending = object->apcs != NULL;
    ob_wait_unlock();
    return pending;
}

/* The first of the queue, copied, because what it lies in may go or be queued again. */
static bool take_first(struct ke_thread_object *object, struct ke_apc *out)
{
    ob_wait_lock();
    struct ke_apc *apc = object->apcs;
    if (apc) {
        *out = *apc;
        ke_apc_remove_locked(&object->header, apc);
        if (!out->allocated)
            apc = NULL;
    } else {
        out->function = NULL;
    }
    ob_wait_unlock();
    free(apc);
    return out->function != NULL;
}

bool ke_apc_run(void)
{
    struct ke_apc apc;
    bool any = false;
    while (take_first(ke_current->object, &apc)) {
        const uintptr_t *a = apc.arguments;
        any = true;
        if (apc.count == 1)
            ((apc_one)apc.function)(a[0]);
        else
            ((apc_three)apc.function)(a[0], a[1], a[2]);
    }
    return any;
}

void ke_apc_drop_all(struct ke_thread_object *object)
{
    struct ke_apc *next, *heap = NULL;
    ob_wait_lock();
    for (struct ke_apc *apc = object->apcs; apc; apc = next) {
        next = apc->next;
        apc->queued = false;
        if (apc->allocated) {
            apc->next = heap;
            heap = apc;
        }
    }
    object->apcs = object->last_apc = NULL;
    object->wait.apc = false;
    ob_wait_unlock();
    for (struct ke_apc *apc = heap; apc; apc = next) {
        next = apc->next;
        free(apc);
    }
}

void ke_thread_alert(struct ob_object *thread)
{
    struct ke_thread_object *object = (struct ke_thread_object *)thread;
    ob_wait_lock();
    object->wait.alerted = true;
    ob_wait_interrupt(&object->wait);
    ob_wait_unlock();
}

bool ke_thread_test_alert(void)
{
    ke_teb();
    struct ke_thread_object *object = ke_current->object;
    ob_wait_lock();
    bool alerted = object->wait.alerted;
    object->wait.alerted = false;
    ob_wait_unlock();
    ke_apc_run();
    return alerted;
}

nt_status ke_wait(struct ob_object *const *objects, uint32_t count, bool all, uint32_t milliseconds,
                  bool alertable, uint32_t *index)
{
    ke_teb();
    return ob_wait_as(objects, count, all, milliseconds, &ke_current->object->wait, alertable,
                      index);
}

void ke_wait_done(nt_status status)
{
    if (status == OB_STATUS_ENDING)
        ke_thread_end_if_told();
    if (status == (nt_status)OB_STATUS_USER_APC)
        ke_apc_run();
}

nt_status ke_sleep(uint32_t milliseconds, bool alertable)
{
    nt_status status = ke_wait(NULL, 0, false, milliseconds, alertable, NULL);
    ke_wait_done(status);
    return status == STATUS_TIMEOUT ? STATUS_SUCCESS : status;
}
