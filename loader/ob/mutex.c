/*
 * Mutexes (Microsoft's documentation of mutex objects; NT calls them mutants).
 *
 * A mutex's word is its owner (owner.h), or says that it is free. The mutexes that threads of this
 * process own are on one list, so that a thread's end can abandon its own; what a process owned
 * that ended is taken over by the next who looks.
 */
#include <stdlib.h>

#include "loader/mm/data.h"
#include "loader/ob/bell.h"
#include "loader/ob/owner.h"
#include "loader/ob/record_file.h"
#include "loader/ob/sync_object.h"

/* A thread can own a mutex so often, as on Windows. */
#define MAX_RECURSION 0x80000000u

struct mutex {
    struct ob_sync sync;
    struct mutex *next, *prev; /* in the list of owned ones while it is listed */
    bool listed;
    uint32_t holder; /* while listed: the thread of this process that has it */
};

/* All under the wait lock. */
static struct mutex owned = {.next = &owned, .prev = &owned};

static void list_add(struct mutex *mutex, uint32_t thread_id)
{
    if (mutex->listed)
        return;
    mutex->listed = true;
    mutex->holder = thread_id;
    mutex->next = owned.next;
    mutex->prev = &owned;
    owned.next->prev = mutex;
    owned.next = mutex;
}

static void list_remove(struct mutex *mutex)
{
    if (!mutex->listed)
        return;
    mutex->listed = false;
    mutex->next->prev = mutex->prev;
    mutex->prev->next = mutex->next;
}

static bool is_free(uint64_t word)
{
    return word == OB_MUTEX_FREE || word == OB_MUTEX_ABANDONED;
}

/* ---- the type -----------------------------------------------------------------------------------
 */

static bool mutex_signaled(struct ob_object *object, uint32_t thread_id)
{
    uint64_t word = ob_sync_load((struct ob_sync *)object);
    return is_free(word) || word == ob_owner(thread_id) || ob_owner_is_dead(word);
}

static enum ob_taken take_again(struct mutex *mutex, uint32_t thread_id)
{
    if (mutex->sync.state->recursion < MAX_RECURSION)
        mutex->sync.state->recursion++;
    list_add(mutex, thread_id); /* it may have been acquired through another object, since closed */
    return OB_TAKEN;
}

static enum ob_taken mutex_take(struct ob_object *object, uint32_t thread_id)
{
    struct mutex *mutex = (struct mutex *)object;
    const uint64_t me = ob_owner(thread_id);
    uint64_t word = ob_sync_load(&mutex->sync);
    for (;;) {
        if (word == me)
            return take_again(mutex, thread_id);
        if (!is_free(word) && !ob_owner_is_dead(word))
            return OB_NOT_TAKEN;
        if (ob_sync_change(&mutex->sync, &word, me))
            break;
    }
    list_remove(mutex); /* who had it is gone */
    mutex->sync.state->recursion = 1;
    list_add(mutex, thread_id);
    return word == OB_MUTEX_FREE ? OB_TAKEN : OB_TAKEN_ABANDONED;
}

/* One release by its owner: it is free after the last. */
static void release(struct mutex *mutex, uint64_t free_word)
{
    struct ob_sync_state *state = mutex->sync.state;
    if (state->recursion > 1) {
        state->recursion--;
        return;
    }
    list_remove(mutex);
    state->recursion = 0;
    __atomic_store_n(&state->word, free_word, __ATOMIC_SEQ_CST);
}

static void mutex_give_back(struct ob_object *object, uint32_t thread_id, enum ob_taken taken)
{
    release((struct mutex *)object,
            taken == OB_TAKEN_ABANDONED ? OB_MUTEX_ABANDONED : OB_MUTEX_FREE);
}

static uint64_t mutex_owner(struct ob_object *object)
{
    uint64_t word = ob_sync_load((struct ob_sync *)object);
    return is_free(word) || ob_owner_is_here(word) ? 0 : word;
}

/* ---- mutexes that are owned, and closed ---------------------------------------------------------
 */

/* A shared mutex that a thread of this process owns lives on in others when it is closed here; its
 * state stays mapped for the thread's end. */
struct orphan {
    struct orphan *next;
    uint32_t holder;
    uint64_t dev, ino;
    void *page;
};

static struct orphan *orphans; /* under the wait lock */

static void abandon(struct ob_sync_state *state, uint32_t thread_id)
{
    uint64_t word = ob_owner(thread_id);
    __atomic_compare_exchange_n(&state->word, &word, OB_MUTEX_ABANDONED, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
}

static bool is_orphan(const struct orphan *wanted)
{
    for (const struct orphan *at = orphans; at; at = at->next)
        if (at->ino == wanted->ino && at->dev == wanted->dev && at->holder == wanted->holder)
            return true;
    return false;
}

/* Without memory the mutex is abandoned now instead of later. Wait lock not held. */
static void keep_state(struct mutex *mutex)
{
    struct orphan *orphan = malloc(sizeof *orphan);
    if (!orphan || !nt_ok(mm_host_map(ob_record_fd(mutex->sync.record), 0, OB_RECORD_PAGE,
                                      &orphan->page, NULL))) {
        free(orphan);
        abandon(mutex->sync.state, mutex->holder);
        ob_bell_ring();
        return;
    }
    orphan->holder = mutex->holder;
    ob_record_identity(mutex->sync.record, &orphan->dev, &orphan->ino);
    ob_wait_lock();
    bool known = is_orphan(orphan);
    if (!known) {
        orphan->next = orphans;
        orphans = orphan;
    }
    ob_wait_unlock();
    if (known) {
        mm_host_unmap(orphan->page, OB_RECORD_PAGE);
        free(orphan);
    }
}

static void mutex_destroy(struct ob_object *object)
{
    struct mutex *mutex = (struct mutex *)object;
    ob_wait_lock();
    bool is_owned = mutex->listed;
    list_remove(mutex);
    ob_wait_unlock();
    if (is_owned && mutex->sync.record && ob_record_has_others(mutex->sync.record))
        keep_state(mutex);
    ob_sync_destroy(object);
}

/* Takes those of the thread off the list. */
static struct orphan *take_orphans(uint32_t thread_id)
{
    struct orphan *taken = NULL;
    for (struct orphan **link = &orphans; *link;) {
        struct orphan *orphan = *link;
        if (orphan->holder != thread_id) {
            link = &orphan->next;
            continue;
        }
        *link = orphan->next;
        orphan->next = taken;
        taken = orphan;
        abandon((struct ob_sync_state *)((char *)orphan->page + OB_RECORD_BODY_AT), thread_id);
    }
    return taken;
}

static void free_orphans(struct orphan *orphan)
{
    while (orphan) {
        struct orphan *next = orphan->next;
        mm_host_unmap(orphan->page, OB_RECORD_PAGE);
        free(orphan);
        orphan = next;
    }
}

void ob_mutex_abandon_all(uint32_t thread_id)
{
    struct mutex *next;
    bool shared = false;
    ob_wait_lock();
    for (struct mutex *mutex = owned.next; mutex != &owned; mutex = next) {
        next = mutex->next;
        if (mutex->holder != thread_id)
            continue;
        shared = shared || mutex->sync.record;
        list_remove(mutex);
        mutex->sync.state->recursion = 0;
        abandon(mutex->sync.state, thread_id);
    }
    struct orphan *taken = take_orphans(thread_id);
    ob_wait_wake();
    ob_wait_unlock();
    if (shared || taken)
        ob_bell_ring();
    free_orphans(taken);
}

/* ---- creating and releasing ---------------------------------------------------------------------
 */

const struct ob_type ob_mutex_type = {
    .name = "Mutant",
    .destroy = mutex_destroy,
    .signaled = mutex_signaled,
    .take = mutex_take,
    .give_back = mutex_give_back,
    .shared = ob_sync_is_shared,
    .owner = mutex_owner,
};

static nt_status mutex_attach(struct ob_record *record, struct ob_object **out,
                              struct pe_error *err)
{
    return ob_sync_attach(&ob_mutex_type, sizeof(struct mutex), record, out, err);
}

const struct ob_record_type ob_mutex_record = {&ob_mutex_type, OB_TYPE_MUTEX, mutex_attach,
                                               ob_sync_record};

static nt_status mutex_pack(struct ob_object *object, struct ob_parcel *parcel,
                            struct pe_error *err)
{
    return ob_sync_pack(object, &ob_mutex_record, parcel, err);
}

static nt_status mutex_unpack(const struct ob_parcel *parcel, struct ob_object **out,
                              struct pe_error *err)
{
    ob_bell_open(NULL);
    return ob_record_unpack(parcel, &ob_mutex_record, out, err);
}

const struct ob_courier ob_mutex_courier = {mutex_pack, mutex_unpack};

nt_status ob_mutex_create_named(const struct ob_name *name, bool global, uint32_t owner_thread,
                                struct ob_object **out, struct pe_error *err)
{
    const struct ob_sync_state state = {
        .word = owner_thread ? ob_owner(owner_thread) : OB_MUTEX_FREE,
        .recursion = owner_thread != 0,
    };
    nt_status status = ob_sync_create_named(name, global, &ob_mutex_record, &state,
                                            sizeof(struct mutex), out, err);
    if (status != STATUS_SUCCESS || !owner_thread)
        return status;
    ob_wait_lock();
    list_add((struct mutex *)*out, owner_thread);
    ob_wait_unlock();
    return status;
}

struct ob_object *ob_mutex_create(uint32_t owner_thread)
{
    const struct ob_name none = {0};
    struct ob_object *mutex = NULL;
    ob_mutex_create_named(&none, false, owner_thread, &mutex, NULL);
    return mutex;
}

nt_status ob_mutex_release(struct ob_object *object, uint32_t thread_id)
{
    struct mutex *mutex = (struct mutex *)object;
    ob_wait_lock();
    if (thread_id == 0 || ob_sync_load(&mutex->sync) != ob_owner(thread_id)) {
        ob_wait_unlock();
        return STATUS_MUTANT_NOT_OWNED;
    }
    release(mutex, OB_MUTEX_FREE);
    if (ob_sync_load(&mutex->sync) == ob_owner(thread_id))
        ob_wait_unlock();
    else
        ob_sync_changed_unlock(&mutex->sync);
    return STATUS_SUCCESS;
}

void ob_mutex_query(struct ob_object *object, uint32_t thread_id, int32_t *count, bool *owned_here,
                    bool *abandoned)
{
    struct mutex *mutex = (struct mutex *)object;
    ob_wait_lock();
    uint64_t word = ob_sync_load(&mutex->sync);
    uint32_t recursion = mutex->sync.state->recursion;
    *abandoned = word == OB_MUTEX_ABANDONED || (!is_free(word) && ob_owner_is_dead(word));
    ob_wait_unlock();
    *owned_here = word == ob_owner(thread_id);
    *count = is_free(word) ? 1 : 1 - (int32_t)(recursion < 0x7FFFFFFF ? recursion : 0x7FFFFFFF);
}
