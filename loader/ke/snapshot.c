/*
 * Threads, the process block and the thread block of the one that takes it (ke/snapshot.h).
 */
#include "loader/ke/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "loader/ke/thread.h"

struct ke_snapshot {
    struct ke_thread *taker;
    struct ke_teb teb;
    struct ke_peb peb;
    uint32_t count;
    struct ob_object *threads[]; /* attached ones, with a reference each */
};

static uint32_t count_threads(void)
{
    uint32_t count = 0;
    for (struct ke_thread *t = ke_threads_next(NULL); t; t = ke_threads_next(t))
        count++;
    return count;
}

/* A thread of an image has been found: it may be anywhere in its code. List lock held. */
static nt_status check_thread(const struct ke_thread *thread, struct pe_error *err)
{
    if (!thread->object->start || thread == ke_current)
        return STATUS_SUCCESS;
    return pe_fail(err, STATUS_NOT_SUPPORTED,
                   "thread %u of an image is running: no snapshot while there are such threads",
                   thread->object->id);
}

static nt_status gather(struct ke_snapshot *snapshot, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    for (struct ke_thread *t = ke_threads_next(NULL); t && nt_ok(status); t = ke_threads_next(t)) {
        status = check_thread(t, err);
        if (nt_ok(status)) {
            ob_object_ref(&t->object->header);
            snapshot->threads[snapshot->count++] = &t->object->header;
        }
    }
    return status;
}

nt_status ke_snapshot_take(struct ke_snapshot **out, struct pe_error *err)
{
    ke_threads_lock();
    struct ke_snapshot *snapshot =
        calloc(1, sizeof(*snapshot) + count_threads() * sizeof(snapshot->threads[0]));
    nt_status status = snapshot ? gather(snapshot, err)
                                : pe_fail(err, STATUS_NO_MEMORY, "no memory for a snapshot");
    ke_threads_unlock();
    *out = NULL;
    if (!nt_ok(status)) {
        ke_snapshot_drop(snapshot);
        return status;
    }
    snapshot->taker = ke_current;
    snapshot->teb = *ke_current->teb;
    snapshot->peb = *ke_peb();
    *out = snapshot;
    return STATUS_SUCCESS;
}

/* The list changes at one end only, so the same threads come in the same order. */
static nt_status compare(const struct ke_snapshot *snapshot, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    uint32_t i = 0;
    struct ke_thread *t = ke_threads_next(NULL);
    for (; t && nt_ok(status); t = ke_threads_next(t), i++) {
        if (i >= snapshot->count || snapshot->threads[i] != &t->object->header)
            break;
        status = check_thread(t, err);
    }
    if (nt_ok(status) && (t || i != snapshot->count))
        status = pe_fail(err, STATUS_NOT_SUPPORTED,
                         "the threads that are attached are not those of the snapshot: "
                         "there were %u, there are %u",
                         snapshot->count, count_threads());
    return status;
}

nt_status ke_snapshot_check(const struct ke_snapshot *snapshot, struct pe_error *err)
{
    if (snapshot->taker != ke_current)
        return pe_fail(err, STATUS_NOT_SUPPORTED,
                       "the snapshot was taken by another thread, which alone can go back to it");
    ke_threads_lock();
    nt_status status = compare(snapshot, err);
    ke_threads_unlock();
    return status;
}

/* What describes the stack stays: the caller may be deeper or less deep in it than it was. */
void ke_snapshot_reset(const struct ke_snapshot *snapshot)
{
    struct ke_teb *teb = ke_current->teb;
    void *const now[] = {teb->ExceptionList, teb->StackBase, teb->StackLimit,
                         teb->DeallocationStack};
    uint32_t guaranteed = teb->GuaranteedStackBytes;
    *teb = snapshot->teb;
    *ke_peb() = snapshot->peb;
    teb->ExceptionList = now[0];
    teb->StackBase = now[1];
    teb->StackLimit = now[2];
    teb->DeallocationStack = now[3];
    teb->GuaranteedStackBytes = guaranteed;
}

void ke_snapshot_drop(struct ke_snapshot *snapshot)
{
    if (!snapshot)
        return;
    for (uint32_t i = 0; i < snapshot->count; i++)
        ob_object_unref(snapshot->threads[i]);
    free(snapshot);
}
