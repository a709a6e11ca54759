/*
 * Where the state of synchronisation objects lies, and how it gets from this process's memory to a
 * record that others have, too (see sync_object.h).
 */
#include "loader/ob/sync_object.h"

#include <stdio.h>
#include <string.h>

#include "loader/ob/bell.h"

void *ob_sync_create(const struct ob_type *type, uint64_t size, const struct ob_sync_state *state)
{
    struct ob_sync *sync = ob_object_create(type, size);
    if (!sync)
        return NULL;
    sync->state = &sync->own;
    sync->own = *state;
    return sync;
}

nt_status ob_sync_attach(const struct ob_type *type, uint64_t size, struct ob_record *record,
                         struct ob_object **out, struct pe_error *err)
{
    struct ob_sync *sync = ob_object_create(type, size);
    if (!sync) {
        ob_record_close(record);
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for an object");
    }
    sync->record = record;
    sync->state = ob_record_body(record);
    *out = &sync->object;
    return STATUS_SUCCESS;
}

void ob_sync_destroy(struct ob_object *object)
{
    struct ob_sync *sync = (struct ob_sync *)object;
    if (sync->record)
        ob_record_close(sync->record);
}

bool ob_sync_is_shared(const struct ob_object *object)
{
    return ((const struct ob_sync *)object)->record != NULL;
}

struct ob_record *ob_sync_record(struct ob_object *object)
{
    return ((struct ob_sync *)object)->record;
}

static nt_status fill(void *user, void *body, int fd, struct pe_error *err)
{
    memcpy(body, user, sizeof(struct ob_sync_state));
    return STATUS_SUCCESS;
}

nt_status ob_sync_create_named(const struct ob_name *name, bool global,
                               const struct ob_record_type *type, const struct ob_sync_state *state,
                               uint64_t size, struct ob_object **out, struct pe_error *err)
{
    struct ob_sync_state initial = *state;
    const struct ob_record_init init = {.type = type, .fill = fill, .user = &initial};
    if (name->length) {
        ob_bell_open(NULL); /* else waiters look from time to time */
        return ob_record_create(name, global, &init, out, err);
    }
    struct ob_sync *sync = ob_sync_create(type->type, size, state);
    if (!sync)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for an object");
    *out = &sync->object;
    return STATUS_SUCCESS;
}

/* Moves the state into the record unless another thread was first. */
static bool move(struct ob_sync *sync, struct ob_record *record)
{
    ob_wait_lock();
    bool first = !sync->record;
    if (first) {
        struct ob_sync_state *shared = ob_record_body(record);
        *shared = *sync->state;
        sync->state = shared;
        sync->record = record;
        ob_wait_became_shared(&sync->object);
    }
    ob_wait_unlock();
    return first;
}

static nt_status share(struct ob_sync *sync, const struct ob_record_type *type,
                       struct pe_error *err)
{
    const struct ob_record_init init = {.type = type};
    struct ob_record *record;
    if (__atomic_load_n(&sync->record, __ATOMIC_ACQUIRE))
        return STATUS_SUCCESS;
    nt_status status = ob_record_make(&init, &record, err);
    if (!nt_ok(status))
        return status;
    ob_bell_open(NULL);
    ob_record_bind(record, &sync->object); /* before anybody can send it back */
    if (!move(sync, record))
        ob_record_close(record);
    return STATUS_SUCCESS;
}

nt_status ob_sync_pack(struct ob_object *object, const struct ob_record_type *type,
                       struct ob_parcel *parcel, struct pe_error *err)
{
    struct ob_sync *sync = (struct ob_sync *)object;
    nt_status status = share(sync, type, err);
    return nt_ok(status) ? ob_record_pack(sync->record, type, parcel, err) : status;
}

void ob_sync_changed_unlock(struct ob_sync *sync)
{
    ob_wait_wake();
    /* What this process's waiters have taken is nothing to tell of. */
    bool tell = sync->record && sync->object.type->signaled(&sync->object, 0);
    ob_wait_unlock();
    if (tell)
        ob_bell_ring();
}

bool ob_sync_describe(uint32_t type_id, const void *body, char *text, size_t size)
{
    struct ob_sync_state state;
    memcpy(&state, body, sizeof state);
    int32_t count = (int32_t)(uint32_t)state.word, maximum = (int32_t)(uint32_t)(state.word >> 32);
    switch (type_id) {
    case OB_TYPE_EVENT:
    case OB_TYPE_TIMER:
        snprintf(text, size, "%s, %s", state.word & OB_EVENT_MANUAL ? "manual-reset" : "auto-reset",
                 state.word & OB_EVENT_SET ? "set" : "not set");
        return (state.word & ~(OB_EVENT_MANUAL | OB_EVENT_SET)) == 0;
    case OB_TYPE_SEMAPHORE:
        snprintf(text, size, "%d of %d", count, maximum);
        return maximum > 0 && count >= 0 && count <= maximum;
    case OB_TYPE_MUTEX:
        snprintf(text, size, "%s",
                 state.word == OB_MUTEX_FREE        ? "free"
                 : state.word == OB_MUTEX_ABANDONED ? "abandoned"
                                                    : "owned");
        return true;
    default:
        return false;
    }
}
