/*
 * Owners of shared mutexes (see owner.h).
 *
 * 22 bits of thread id and 22 of process id are what Linux has (PID_MAX_LIMIT); the rest are bits
 * of the process's start time: that a process of the same id started a multiple of 2^20 ticks
 * (three hours) later is taken for the owner's is left to chance.
 */
#include "loader/ob/owner.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/ob/bell.h"
#include "loader/ob/process.h"

enum { ID_BITS = 22, START_BITS = 20 };
#define ID_MASK    ((UINT64_C(1) << ID_BITS) - 1)
#define START_MASK ((UINT64_C(1) << START_BITS) - 1)

static uint64_t self; /* this process's bits of an owner; 0 = not known yet, or forked since */

static uint64_t process_bits(uint32_t id, uint64_t start)
{
    return (id & ID_MASK) << ID_BITS | (start & START_MASK) << (2 * ID_BITS);
}

static uint32_t process_of(uint64_t owner)
{
    return (uint32_t)(owner >> ID_BITS & ID_MASK);
}

/* ---- owners that are watched --------------------------------------------------------------------
 */

enum { MAX_WATCHED = 64 };

/* One per process that was ever waited for, until it has ended and the place is needed. */
static struct watched {
    uint64_t process; /* an owner without its thread; 0 = free */
    struct ob_watch *watch;
    bool ended;
} watched[MAX_WATCHED];
static pthread_mutex_t watched_lock = PTHREAD_MUTEX_INITIALIZER;

static void forget_in_child(void)
{
    __atomic_store_n(&self, 0, __ATOMIC_RELAXED);
    for (int i = 0; i < MAX_WATCHED; i++)
        watched[i] = (struct watched){0}; /* the parent's service told; there is none here */
    pthread_mutex_init(&watched_lock, NULL);
}

static void install(void)
{
    pthread_atfork(NULL, NULL, forget_in_child);
}

static uint64_t this_process(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint64_t bits = __atomic_load_n(&self, __ATOMIC_RELAXED);
    if (bits)
        return bits;
    pthread_once(&once, install);
    bits = process_bits((uint32_t)getpid(), ob_process_start((uint32_t)getpid()));
    __atomic_store_n(&self, bits, __ATOMIC_RELAXED);
    return bits;
}

uint64_t ob_owner(uint32_t thread_id)
{
    return this_process() | (thread_id & ID_MASK);
}

bool ob_owner_is_here(uint64_t owner)
{
    return (owner & ~ID_MASK) == this_process();
}

/* On the service thread: locks of this room may be waiting for that one's. */
static void has_ended(void *user)
{
    struct watched *entry = user;
    __atomic_store_n(&entry->ended, true, __ATOMIC_SEQ_CST);
    ob_bell_ring();
}

/* Without a lock: an entry that changes meanwhile is not taken for another's. */
static bool is_watched(uint64_t process)
{
    if (process_of(process) == 0)
        return false;
    for (int i = 0; i < MAX_WATCHED; i++)
        if (__atomic_load_n(&watched[i].process, __ATOMIC_SEQ_CST) == process)
            return !__atomic_load_n(&watched[i].ended, __ATOMIC_SEQ_CST) &&
                   __atomic_load_n(&watched[i].process, __ATOMIC_SEQ_CST) == process;
    return false;
}

static bool is_alive(uint64_t process)
{
    uint32_t id = process_of(process);
    uint64_t start = id ? ob_process_start(id) : 0;
    if (id == 0)
        return false; /* nobody writes that */
    if (start)
        return process_bits(id, start) == process;
    /* No such process, or /proc does not tell: then not of this one either. */
    return ob_process_start((uint32_t)getpid()) == 0 && kill((pid_t)id, 0) == 0;
}

bool ob_owner_is_dead(uint64_t owner)
{
    uint64_t process = owner & ~ID_MASK;
    return process != this_process() && !is_watched(process) && !is_alive(process);
}

/* Lock held. */
static struct watched *free_entry(void)
{
    for (int i = 0; i < MAX_WATCHED; i++) {
        struct watched *entry = &watched[i];
        if (entry->process && !__atomic_load_n(&entry->ended, __ATOMIC_SEQ_CST))
            continue;
        ob_unwatch(entry->watch);
        *entry = (struct watched){0};
        return entry;
    }
    return NULL;
}

/* The pidfd first: then the process that is checked is the one that it means. */
static bool add_watch(struct watched *entry, uint64_t process)
{
    int pidfd = (int)syscall(SYS_pidfd_open, process_of(process), 0);
    if (pidfd < 0)
        return false;
    bool added = is_alive(process) && nt_ok(ob_watch(pidfd, has_ended, entry, &entry->watch, NULL));
    close(pidfd);
    if (added)
        __atomic_store_n(&entry->process, process, __ATOMIC_SEQ_CST);
    return added;
}

bool ob_owner_watch(uint64_t owner)
{
    uint64_t process = owner & ~ID_MASK;
    if (is_watched(process))
        return true;
    pthread_mutex_lock(&watched_lock);
    struct watched *entry = is_watched(process) ? NULL : free_entry();
    bool added = entry ? add_watch(entry, process) : is_watched(process);
    pthread_mutex_unlock(&watched_lock);
    return added;
}
