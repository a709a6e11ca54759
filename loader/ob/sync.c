/*
 * Events and semaphores (Microsoft's documentation of the synchronisation objects).
 *
 * An event's word is two flags. A semaphore's is its count and its maximum; a count that another
 * process has put out of its limits is none.
 */
#include "loader/ob/sync_object.h"

#include <time.h>

#include "loader/ob/bell.h"

/* ---- events -----------------------------------------------------------------------------------
 */

bool ob_flag_signaled(struct ob_object *object, uint32_t thread_id)
{
    return ob_sync_load((struct ob_sync *)object) & OB_EVENT_SET;
}

enum ob_taken ob_flag_take(struct ob_object *object, uint32_t thread_id)
{
    struct ob_sync *event = (struct ob_sync *)object;
    uint64_t word = ob_sync_load(event);
    while (word & OB_EVENT_SET)
        if (word & OB_EVENT_MANUAL || ob_sync_change(event, &word, word & ~OB_EVENT_SET))
            return OB_TAKEN;
    return OB_NOT_TAKEN;
}

void ob_flag_give_back(struct ob_object *object, uint32_t thread_id, enum ob_taken taken)
{
    __atomic_or_fetch(&((struct ob_sync *)object)->state->word, OB_EVENT_SET, __ATOMIC_SEQ_CST);
}

const struct ob_type ob_event_type = {
    .name = "Event",
    .destroy = ob_sync_destroy,
    .signaled = ob_flag_signaled,
    .take = ob_flag_take,
    .give_back = ob_flag_give_back,
    .shared = ob_sync_is_shared,
};

static nt_status event_attach(struct ob_record *record, struct ob_object **out,
                              struct pe_error *err)
{
    return ob_sync_attach(&ob_event_type, sizeof(struct ob_sync), record, out, err);
}

const struct ob_record_type ob_event_record = {&ob_event_type, OB_TYPE_EVENT, event_attach,
                                               ob_sync_record};

static nt_status event_pack(struct ob_object *object, struct ob_parcel *parcel,
                            struct pe_error *err)
{
    return ob_sync_pack(object, &ob_event_record, parcel, err);
}

static nt_status event_unpack(const struct ob_parcel *parcel, struct ob_object **out,
                              struct pe_error *err)
{
    ob_bell_open(NULL);
    return ob_record_unpack(parcel, &ob_event_record, out, err);
}

const struct ob_courier ob_event_courier = {event_pack, event_unpack};

static uint64_t event_word(bool manual_reset, bool initial)
{
    return (manual_reset ? OB_EVENT_MANUAL : 0) | (initial ? OB_EVENT_SET : 0);
}

struct ob_object *ob_event_create(bool manual_reset, bool initial)
{
    const struct ob_sync_state state = {.word = event_word(manual_reset, initial)};
    return ob_sync_create(&ob_event_type, sizeof(struct ob_sync), &state);
}

nt_status ob_event_create_named(const struct ob_name *name, bool global, bool manual_reset,
                                bool initial, struct ob_object **out, struct pe_error *err)
{
    const struct ob_sync_state state = {.word = event_word(manual_reset, initial)};
    return ob_sync_create_named(name, global, &ob_event_record, &state, sizeof(struct ob_sync), out,
                                err);
}

bool ob_event_set(struct ob_object *object, bool state)
{
    struct ob_sync *event = (struct ob_sync *)object;
    uint64_t *word, before;
    ob_wait_lock();
    word = &event->state->word;
    if (state) {
        before = __atomic_fetch_or(word, OB_EVENT_SET, __ATOMIC_SEQ_CST);
        ob_sync_changed_unlock(event);
    } else {
        before = __atomic_fetch_and(word, ~OB_EVENT_SET, __ATOMIC_SEQ_CST);
        ob_wait_unlock();
    }
    return before & OB_EVENT_SET;
}

bool ob_event_pulse(struct ob_object *object)
{
    struct ob_sync *event = (struct ob_sync *)object;
    const struct timespec moment = {.tv_nsec = 1000000};
    ob_wait_lock();
    bool before =
        __atomic_fetch_or(&event->state->word, OB_EVENT_SET, __ATOMIC_SEQ_CST) & OB_EVENT_SET;
    ob_wait_wake();
    if (event->record && ob_sync_load(event) & OB_EVENT_SET) {
        ob_wait_unlock();
        ob_bell_ring();
        nanosleep(&moment, NULL); /* for waiters in other processes to look */
        ob_wait_lock();
    }
    __atomic_and_fetch(&event->state->word, ~OB_EVENT_SET, __ATOMIC_SEQ_CST);
    ob_wait_unlock();
    return before;
}

void ob_event_query(struct ob_object *event, bool *manual_reset, bool *is_set)
{
    ob_wait_lock();
    uint64_t word = ob_sync_load((struct ob_sync *)event);
    ob_wait_unlock();
    *manual_reset = word & OB_EVENT_MANUAL;
    *is_set = word & OB_EVENT_SET;
}

/* ---- semaphores -------------------------------------------------------------------------------
 */

static int32_t count_of(uint64_t word)
{
    return (int32_t)(uint32_t)word;
}

static int32_t maximum_of(uint64_t word)
{
    return (int32_t)(uint32_t)(word >> 32);
}

static bool semaphore_signaled(struct ob_object *object, uint32_t thread_id)
{
    return count_of(ob_sync_load((struct ob_sync *)object)) > 0;
}

static enum ob_taken semaphore_take(struct ob_object *object, uint32_t thread_id)
{
    struct ob_sync *semaphore = (struct ob_sync *)object;
    uint64_t word = ob_sync_load(semaphore);
    while (count_of(word) > 0)
        if (ob_sync_change(semaphore, &word, word - 1))
            return OB_TAKEN;
    return OB_NOT_TAKEN;
}

/* Adds to the count; false, and nothing is changed, beyond the maximum. */
static bool add(struct ob_sync *semaphore, int32_t count, int32_t *previous)
{
    uint64_t word = ob_sync_load(semaphore);
    do {
        int64_t sum = (int64_t)count_of(word) + count;
        if (count_of(word) < 0 || sum > maximum_of(word))
            return false;
    } while (!ob_sync_change(semaphore, &word, word + (uint32_t)count));
    if (previous)
        *previous = count_of(word);
    return true;
}

/* At the maximum somebody has released it meanwhile: with it taken for good that would have been
 * refused, so nothing is lost. */
static void semaphore_give_back(struct ob_object *object, uint32_t thread_id, enum ob_taken taken)
{
    add((struct ob_sync *)object, 1, NULL);
}

const struct ob_type ob_semaphore_type = {
    .name = "Semaphore",
    .destroy = ob_sync_destroy,
    .signaled = semaphore_signaled,
    .take = semaphore_take,
    .give_back = semaphore_give_back,
    .shared = ob_sync_is_shared,
};

static nt_status semaphore_attach(struct ob_record *record, struct ob_object **out,
                                  struct pe_error *err)
{
    return ob_sync_attach(&ob_semaphore_type, sizeof(struct ob_sync), record, out, err);
}

const struct ob_record_type ob_semaphore_record = {&ob_semaphore_type, OB_TYPE_SEMAPHORE,
                                                   semaphore_attach, ob_sync_record};

static nt_status semaphore_pack(struct ob_object *object, struct ob_parcel *parcel,
                                struct pe_error *err)
{
    return ob_sync_pack(object, &ob_semaphore_record, parcel, err);
}

static nt_status semaphore_unpack(const struct ob_parcel *parcel, struct ob_object **out,
                                  struct pe_error *err)
{
    ob_bell_open(NULL);
    return ob_record_unpack(parcel, &ob_semaphore_record, out, err);
}

const struct ob_courier ob_semaphore_courier = {semaphore_pack, semaphore_unpack};

static bool are_limits(int32_t initial, int32_t maximum)
{
    return initial >= 0 && maximum > 0 && initial <= maximum;
}

struct ob_object *ob_semaphore_create(int32_t initial, int32_t maximum)
{
    if (!are_limits(initial, maximum))
        return NULL;
    const struct ob_sync_state state = {.word = OB_SEMAPHORE(initial, maximum)};
    return ob_sync_create(&ob_semaphore_type, sizeof(struct ob_sync), &state);
}

nt_status ob_semaphore_create_named(const struct ob_name *name, bool global, int32_t initial,
                                    int32_t maximum, struct ob_object **out, struct pe_error *err)
{
    const struct ob_sync_state state = {.word = OB_SEMAPHORE(initial, maximum)};
    if (!are_limits(initial, maximum))
        return pe_fail(err, STATUS_INVALID_PARAMETER, "a semaphore cannot count from %d to %d",
                       (int)initial, (int)maximum);
    return ob_sync_create_named(name, global, &ob_semaphore_record, &state, sizeof(struct ob_sync),
                                out, err);
}

nt_status ob_semaphore_release(struct ob_object *object, int32_t count, int32_t *previous)
{
    struct ob_sync *semaphore = (struct ob_sync *)object;
    if (count <= 0)
        return STATUS_INVALID_PARAMETER;
    ob_wait_lock();
    if (!add(semaphore, count, previous)) {
        ob_wait_unlock();
        return STATUS_SEMAPHORE_LIMIT_EXCEEDED;
    }
    ob_sync_changed_unlock(semaphore);
    return STATUS_SUCCESS;
}

void ob_semaphore_query(struct ob_object *semaphore, int32_t *count, int32_t *maximum)
{
    ob_wait_lock();
    uint64_t word = ob_sync_load((struct ob_sync *)semaphore);
    ob_wait_unlock();
    *count = count_of(word);
    *maximum = maximum_of(word);
}
