/*
 * What events, semaphores, mutexes and timers have in common: for the files that are these types.
 *
 * The state lies in the object until another process gets to know it, then in its record's body.
 * It is changed by atomic operations only; which of the two places is the state is changed under
 * the wait lock. A record's state may hold anything.
 */
#ifndef OB_SYNC_OBJECT_H
#define OB_SYNC_OBJECT_H

#include "loader/ob/sync.h"

struct ob_sync_state {
    uint64_t word __attribute__((aligned(8)));
    uint32_t recursion;                          /* of a mutex; its owner's to change */
    uint32_t generation;                         /* of a timer: how often it was set or cancelled */
    uint64_t due __attribute__((aligned(8)));    /* of a timer: monotonic milliseconds */
    uint64_t period __attribute__((aligned(8))); /* of a timer: milliseconds, 0 = once */
};
_Static_assert(sizeof(struct ob_sync_state) == 32, "both word sizes share it");

struct ob_sync {
    struct ob_object object;
    struct ob_record *record; /* NULL = no other process knows it */
    struct ob_sync_state *state;
    struct ob_sync_state own;
};

/* Words. */
#define OB_EVENT_SET                 UINT64_C(1) /* of events and timers */
#define OB_EVENT_MANUAL              UINT64_C(2)
#define OB_TIMER_NEVER               ((uint64_t)INT64_MAX)
#define OB_MUTEX_FREE                UINT64_C(0)
#define OB_MUTEX_ABANDONED           UINT64_C(1) /* free, and the last owner ended without releasing it */
#define OB_SEMAPHORE(count, maximum) ((uint64_t)(uint32_t)(maximum) << 32 | (uint32_t)(count))

static inline uint64_t ob_sync_load(const struct ob_sync *sync)
{
    return __atomic_load_n(&sync->state->word, __ATOMIC_SEQ_CST);
}

/* Replaces `*expected`; when it is something else by now, `*expected` becomes that. */
static inline bool ob_sync_change(struct ob_sync *sync, uint64_t *expected, uint64_t wanted)
{
    return __atomic_compare_exchange_n(&sync->state->word, expected, wanted, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* A local object with one reference; NULL = no memory. `size` includes the ob_sync. */
void *ob_sync_create(const struct ob_type *type, uint64_t size, const struct ob_sync_state *state);
/* Around a record, for ob_record_type.attach. */
nt_status ob_sync_attach(const struct ob_type *type, uint64_t size, struct ob_record *record,
                         struct ob_object **out, struct pe_error *err);
/* Creates or opens by name, or creates a local one. */
nt_status ob_sync_create_named(const struct ob_name *name, bool global,
                               const struct ob_record_type *type, const struct ob_sync_state *state,
                               uint64_t size, struct ob_object **out, struct pe_error *err);
/* `signaled`, `take` and `give_back` of types whose word is the flags of an event. */
bool ob_flag_signaled(struct ob_object *object, uint32_t thread_id);
enum ob_taken ob_flag_take(struct ob_object *object, uint32_t thread_id);
void ob_flag_give_back(struct ob_object *object, uint32_t thread_id, enum ob_taken taken);
void ob_sync_destroy(struct ob_object *object);
bool ob_sync_is_shared(const struct ob_object *object);
struct ob_record *ob_sync_record(struct ob_object *object);
nt_status ob_sync_pack(struct ob_object *object, const struct ob_record_type *type,
                       struct ob_parcel *parcel, struct pe_error *err);

/*
 * After a change that may end waits, wait lock held: wakes this process's waiters. The lock is
 * released, then the others are told.
 */
void ob_sync_changed_unlock(struct ob_sync *sync);

#endif
