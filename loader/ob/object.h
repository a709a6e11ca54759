/*
 * Objects and handles of this process.
 *
 * An object is reference-counted and typed by a vtable; a handle is an index into the process's
 * handle table, a multiple of 4 as on Windows. Waitable objects share one lock and wake their
 * waiters through it: simple, and correct for wait-all.
 */
#ifndef OB_OBJECT_H
#define OB_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "pe/status.h"

struct ob_object;

enum ob_taken { OB_NOT_TAKEN, OB_TAKEN, OB_TAKEN_ABANDONED };

struct ob_type {
    const char *name; /* "Event", "File", ... */
    /* Last reference gone: release what the object holds; the memory itself is freed by ob. */
    void (*destroy)(struct ob_object *object);
    /* Waitable types only; called with the wait lock held. */
    bool (*signaled)(struct ob_object *object, uint32_t thread_id);
    /* A wait was satisfied: auto-reset, decrement, own. Returns true for an abandoned mutex. */
    bool (*acquired)(struct ob_object *object, uint32_t thread_id);
    /*
     * For types whose objects other processes may change at any time (ob/bell.h), under the wait
     * lock too. `take` replaces `acquired`: looks and takes in one step. `give_back` undoes it.
     * `shared`: whether this one is known to others. `owner` (may be NULL): who of another process
     * has it (ob/owner.h), 0 = nobody.
     */
    enum ob_taken (*take)(struct ob_object *object, uint32_t thread_id);
    void (*give_back)(struct ob_object *object, uint32_t thread_id, enum ob_taken taken);
    bool (*shared)(const struct ob_object *object);
    uint64_t (*owner)(struct ob_object *object);
    /* The process ends while a handle is open: undoes what the kernel does not. May be called more
     * than once, must not touch handles; NULL = nothing. Other threads may be anywhere. */
    void (*leave)(struct ob_object *object);
};

/* First member of every object. */
struct ob_object {
    const struct ob_type *type;
    int32_t references;
};

/* Zeroed memory of `size` bytes that begins with an ob_object holding one reference; NULL = no
 * memory. */
void *ob_object_create(const struct ob_type *type, uint64_t size);
void ob_object_ref(struct ob_object *object);
void ob_object_unref(struct ob_object *object);

/* The handle takes its own reference. 0 on failure. Flags: 1 inherit, 2 protect from close. */
uint32_t ob_handle_create(struct ob_object *object, uint32_t access, uint32_t flags);
/* STATUS_INVALID_HANDLE, or STATUS_HANDLE_NOT_CLOSABLE for a protected one. */
nt_status ob_handle_close(uint32_t handle);
/* The end of the process: every object with a handle leaves (ob_type). exit() calls it by itself.
 */
void ob_handle_leave(void);
/* A new reference, or NULL; `type` NULL = any. STATUS_INVALID_HANDLE / STATUS_OBJECT_TYPE_MISMATCH.
 */
nt_status ob_handle_get(uint32_t handle, const struct ob_type *type, struct ob_object **out,
                        uint32_t *access);
/* Sets the flags of `mask`; `old` may be NULL. */
nt_status ob_handle_flags(uint32_t handle, uint32_t mask, uint32_t flags, uint32_t *old);

/* The wait lock: not recursive, and no reference may be dropped under it. State that `signaled`
 * reads changes only under it. */
void ob_wait_lock(void);
void ob_wait_unlock(void);
/* Wakes everyone whose wait may have become true. Wait lock held. */
void ob_wait_wake(void);
/* The object is known to other processes from now on: who waits for it listens to the bell as well.
 * Wait lock held. */
void ob_wait_became_shared(const struct ob_object *object);
/* Takes the object for the thread if it is signaled. Wait lock held. */
enum ob_taken ob_take(struct ob_object *object, uint32_t thread_id);
bool ob_is_shared(const struct ob_object *object);

#define OB_INFINITE 0xFFFFFFFFu
/*
 * Waits for one or all of `count` objects. STATUS_SUCCESS + `*index`, 0x80 + index in `*index` when
 * an abandoned mutex was acquired (in a wait for all: 0x80), STATUS_TIMEOUT. `milliseconds`
 * OB_INFINITE = for ever. STATUS_INVALID_PARAMETER for none, more than 64, or a wait for all that
 * names an object twice; STATUS_OBJECT_TYPE_MISMATCH for one that cannot be waited for. The caller
 * holds a reference to each object for the duration.
 */
nt_status ob_wait(struct ob_object *const *objects, uint32_t count, bool all, uint32_t milliseconds,
                  uint32_t thread_id, uint32_t *index);

/* What waits need to know of a thread that others may call upon. Under the wait lock. */
struct ob_thread {
    uint32_t id;
    bool apc;     /* procedure calls are queued for it */
    bool alerted; /* NtAlertThread; an alertable wait takes it back */
    bool ending;  /* it is to leave every wait */
};
#define OB_STATUS_USER_APC 0x000000C0u
#define OB_STATUS_ALERTED  0x00000101u
#define OB_STATUS_ENDING   ((nt_status)0xC000004B) /* STATUS_THREAD_IS_TERMINATING */
/*
 * The same for a thread that others may call upon: OB_STATUS_ENDING, and from an alertable wait
 * OB_STATUS_ALERTED and OB_STATUS_USER_APC. An object that is signaled comes before them, as in
 * Windows. `count` 0 sleeps.
 */
nt_status ob_wait_as(struct ob_object *const *objects, uint32_t count, bool all,
                     uint32_t milliseconds, struct ob_thread *thread, bool alertable,
                     uint32_t *index);
/* Ends the wait that `thread` is in, if what it is called for concerns it. Wait lock held. */
void ob_wait_interrupt(const struct ob_thread *thread);
/* Set while this thread sleeps in the kernel and holds no lock: a signal handler may keep it there
 * as long as it likes. */
extern __thread volatile bool ob_asleep __attribute__((tls_model("initial-exec")));

/* ---- events, semaphores, mutexes ------------------------------------------------------------- */
extern const struct ob_type ob_event_type, ob_semaphore_type, ob_mutex_type;
struct ob_object *ob_event_create(bool manual_reset, bool initial);
bool ob_event_set(struct ob_object *event, bool state); /* whether it was set */
/* Sets it for those who wait now, and resets it. Those of other processes may miss it, as Microsoft
 * warns. */
bool ob_event_pulse(struct ob_object *event);
/* NULL also when not 0 <= initial <= maximum, maximum > 0. */
struct ob_object *ob_semaphore_create(int32_t initial, int32_t maximum);
/* STATUS_SEMAPHORE_LIMIT_EXCEEDED leaves the count alone; `previous` may be NULL. */
nt_status ob_semaphore_release(struct ob_object *semaphore, int32_t count, int32_t *previous);
/* `owner_thread` 0 = nobody owns it at first. */
struct ob_object *ob_mutex_create(uint32_t owner_thread);
/* STATUS_MUTANT_NOT_OWNED when another thread or nobody owns it. */
nt_status ob_mutex_release(struct ob_object *mutex, uint32_t thread_id);
/* A thread ended: the mutexes it owns become abandoned. */
void ob_mutex_abandon_all(uint32_t thread_id);
/* With names, and what else tells of them: ob/sync.h. */

#endif
