/*
 * Critical sections, SRW locks and condition variables over futexes (see locks.h).
 */
#include "loader/win32/locks.h"

#include <limits.h>
#include <string.h>

#include "loader/ke/futex.h"
#include "loader/ke/ke.h"

/*
 * LockCount as Microsoft's "Displaying a critical section" tells debuggers: bit 0 clear = locked;
 * bit 1 is left set; the bits above hold the ones' complement of the number of waiters. So -1 is
 * free, -2 is locked, and a waiter subtracts 4.
 */
enum { CRITSEC_FREE = -1, CRITSEC_LOCKED = -2, CRITSEC_WAITER = 4 };

void win32_critsec_init(CRITICAL_SECTION *section, DWORD spin_count)
{
    memset(section, 0, sizeof(*section));
    section->DebugInfo = (void *)UINTPTR_MAX; /* "none", as Windows 10 does by default */
    section->LockCount = CRITSEC_FREE;
    section->SpinCount = spin_count & 0x00FFFFFF; /* the top byte holds flags */
}

static void own(CRITICAL_SECTION *section, uintptr_t thread)
{
    section->OwningThread = thread;
    section->RecursionCount = 1;
}

static bool take(CRITICAL_SECTION *section, int32_t seen, int32_t wanted)
{
    return __atomic_compare_exchange_n(&section->LockCount, &seen, wanted, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static void wait_and_take(CRITICAL_SECTION *section)
{
    __atomic_sub_fetch(&section->LockCount, CRITSEC_WAITER, __ATOMIC_RELAXED);
    for (;;) {
        int32_t seen = __atomic_load_n(&section->LockCount, __ATOMIC_RELAXED);
        if (!(seen & 1))
            ke_futex_wait(&section->LockCount, (uint32_t)seen, KE_FUTEX_ANYONE, NULL);
        else if (take(section, seen, (seen & ~1) + CRITSEC_WAITER))
            return;
    }
}

bool win32_critsec_try_enter(CRITICAL_SECTION *section)
{
    uintptr_t self = ke_teb()->ThreadId;
    if (__atomic_load_n(&section->OwningThread, __ATOMIC_RELAXED) == self) {
        section->RecursionCount++;
        return true;
    }
    int32_t seen = __atomic_load_n(&section->LockCount, __ATOMIC_RELAXED);
    if (!(seen & 1) || !take(section, seen, seen & ~1))
        return false;
    own(section, self);
    return true;
}

void win32_critsec_enter(CRITICAL_SECTION *section)
{
    if (win32_critsec_try_enter(section))
        return;
    for (uintptr_t i = 0; i < section->SpinCount && i < 4000; i++) {
        __builtin_ia32_pause();
        if ((__atomic_load_n(&section->LockCount, __ATOMIC_RELAXED) & 1) &&
            win32_critsec_try_enter(section))
            return;
    }
    wait_and_take(section);
    own(section, ke_teb()->ThreadId);
}

void win32_critsec_leave(CRITICAL_SECTION *section)
{
    if (--section->RecursionCount > 0)
        return;
    __atomic_store_n(&section->OwningThread, 0, __ATOMIC_RELAXED);
    int32_t before = __atomic_fetch_or(&section->LockCount, 1, __ATOMIC_RELEASE);
    if (before < CRITSEC_LOCKED)
        ke_futex_wake(&section->LockCount, 1, KE_FUTEX_ANYONE);
}

/*
 * SRW lock: the low 32 bits of the word. Owners are one writer or a count of readers; WAITING says
 * that somebody may sleep. A release wakes one writer or else all readers; a woken writer keeps
 * WAITING set, because others may still sleep behind it. New readers queue behind a waiting writer,
 * or a stream of readers would keep it out for ever.
 */
#define SRW_WAITING 0x80000000u
#define SRW_WRITER  0x40000000u
#define SRW_OWNERS  0x7FFFFFFFu

enum { WAKE_READERS = 1, WAKE_WRITERS = 2 };

static uint32_t *futex_word(WIN32_WORD_LOCK *lock)
{
    return (uint32_t *)&lock->word; /* little-endian */
}

static bool srw_try(uint32_t *word, uint32_t owner, uint32_t blockers, uint32_t keep)
{
    uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (!(seen & blockers))
        if (__atomic_compare_exchange_n(word, &seen, (seen + owner) | keep, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

static void srw_acquire(uint32_t *word, uint32_t owner, uint32_t blockers, uint32_t who)
{
    uint32_t keep = 0;
    while (!srw_try(word, owner, blockers, keep)) {
        uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
        if (!(seen & blockers))
            continue;
        if (!(seen & SRW_WAITING) &&
            !__atomic_compare_exchange_n(word, &seen, seen | SRW_WAITING, false, __ATOMIC_RELAXED,
                                         __ATOMIC_RELAXED))
            continue;
        ke_futex_wait(word, seen | SRW_WAITING, who, NULL);
        keep = who == WAKE_WRITERS ? SRW_WAITING : 0;
    }
}

static void srw_release(uint32_t *word, uint32_t owner)
{
    uint32_t left, seen = __atomic_load_n(word, __ATOMIC_RELAXED);
    do {
        left = seen - owner;
        if (!(left & SRW_OWNERS))
            left = 0;
    } while (
        !__atomic_compare_exchange_n(word, &seen, left, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    if (left != 0 || !(seen & SRW_WAITING))
        return;
    if (ke_futex_wake(word, 1, WAKE_WRITERS) == 0)
        ke_futex_wake(word, INT_MAX, WAKE_READERS);
}

void win32_srw_acquire_exclusive(WIN32_WORD_LOCK *lock)
{
    srw_acquire(futex_word(lock), SRW_WRITER, SRW_OWNERS, WAKE_WRITERS);
}

void win32_srw_acquire_shared(WIN32_WORD_LOCK *lock)
{
    srw_acquire(futex_word(lock), 1, SRW_WRITER | SRW_WAITING, WAKE_READERS);
}

bool win32_srw_try_exclusive(WIN32_WORD_LOCK *lock)
{
    return srw_try(futex_word(lock), SRW_WRITER, SRW_OWNERS, 0);
}

bool win32_srw_try_shared(WIN32_WORD_LOCK *lock)
{
    return srw_try(futex_word(lock), 1, SRW_WRITER, 0);
}

void win32_srw_release_exclusive(WIN32_WORD_LOCK *lock)
{
    srw_release(futex_word(lock), SRW_WRITER);
}

void win32_srw_release_shared(WIN32_WORD_LOCK *lock)
{
    srw_release(futex_word(lock), 1);
}

/*
 * Condition variable: a sequence number that every wake changes, with bit 0 for "somebody may
 * sleep". Who reads the number before it gives up the lock cannot miss a wake.
 */
static uint32_t condition_prepare(uint32_t *word)
{
    return __atomic_or_fetch(word, 1, __ATOMIC_ACQ_REL);
}

bool win32_condition_sleep_critsec(WIN32_WORD_LOCK *condition, CRITICAL_SECTION *section,
                                   DWORD milliseconds)
{
    struct ke_deadline storage;
    const struct ke_deadline *deadline = ke_deadline_after(milliseconds, &storage);
    uint32_t *word = futex_word(condition), seen = condition_prepare(word);
    win32_critsec_leave(section);
    bool woken = ke_futex_wait(word, seen, KE_FUTEX_ANYONE, deadline);
    win32_critsec_enter(section);
    return woken;
}

bool win32_condition_sleep_srw(WIN32_WORD_LOCK *condition, WIN32_WORD_LOCK *lock, bool shared,
                               DWORD milliseconds)
{
    struct ke_deadline storage;
    const struct ke_deadline *deadline = ke_deadline_after(milliseconds, &storage);
    uint32_t *word = futex_word(condition), seen = condition_prepare(word);
    if (shared)
        win32_srw_release_shared(lock);
    else
        win32_srw_release_exclusive(lock);
    bool woken = ke_futex_wait(word, seen, KE_FUTEX_ANYONE, deadline);
    if (shared)
        win32_srw_acquire_shared(lock);
    else
        win32_srw_acquire_exclusive(lock);
    return woken;
}

void win32_condition_wake(WIN32_WORD_LOCK *condition, bool all)
{
    uint32_t *word = futex_word(condition), seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    do {
        if (!(seen & 1))
            return;
    } while (!__atomic_compare_exchange_n(word, &seen, all ? (seen + 2) & ~1u : seen + 2, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    ke_futex_wake(word, all ? INT_MAX : 1, KE_FUTEX_ANYONE);
}
