/*
 * One-time initialisation (INIT_ONCE) and waiting on an address.
 *
 * INIT_ONCE: the two low bits say how far it is, the rest is the caller's context, whose own two
 * low bits must be clear (INIT_ONCE_CTX_RESERVED_BITS).
 */
#include "loader/win32/locks.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "loader/ke/futex.h"
#include "loader/ke/suspend.h"
#include "loader/win32/errors.h"

enum { ONCE_NOT_STARTED = 0, ONCE_PENDING = 1, ONCE_DONE = 2, ONCE_ASYNC_PENDING = 3 };

static void once_finish(uintptr_t *once, uintptr_t value)
{
    __atomic_store_n(once, value, __ATOMIC_RELEASE);
    ke_futex_wake(once, INT_MAX, KE_FUTEX_ANYONE);
}

static nt_status once_done(uintptr_t value, void **context)
{
    if (context)
        *context = (void *)(value & ~(uintptr_t)3);
    return STATUS_SUCCESS;
}

nt_status win32_once_begin(uintptr_t *once, DWORD flags, void **context)
{
    uintptr_t start = flags & ONCE_ASYNC ? ONCE_ASYNC_PENDING : ONCE_PENDING;
    if (flags & ~(DWORD)(ONCE_CHECK_ONLY | ONCE_ASYNC) || flags == (ONCE_CHECK_ONLY | ONCE_ASYNC))
        return STATUS_INVALID_PARAMETER;
    for (;;) {
        uintptr_t seen = __atomic_load_n(once, __ATOMIC_ACQUIRE);
        if ((seen & 3) == ONCE_DONE)
            return once_done(seen, context);
        if (flags & ONCE_CHECK_ONLY)
            return STATUS_UNSUCCESSFUL;
        if (seen == ONCE_NOT_STARTED) {
            if (__atomic_compare_exchange_n(once, &seen, start, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_ACQUIRE))
                return STATUS_PENDING;
        } else if ((seen & 3) != start) { /* begun in the other mode */
            return STATUS_INVALID_PARAMETER;
        } else if (start == ONCE_ASYNC_PENDING) {
            return STATUS_PENDING;
        } else {
            ke_futex_wait(once, (uint32_t)seen, KE_FUTEX_ANYONE, NULL);
        }
    }
}

nt_status win32_once_complete(uintptr_t *once, DWORD flags, void *context)
{
    bool async = flags & ONCE_ASYNC, failed = flags & ONCE_INIT_FAILED;
    uintptr_t seen = async ? ONCE_ASYNC_PENDING : ONCE_PENDING;
    uintptr_t value = failed ? ONCE_NOT_STARTED : (uintptr_t)context | ONCE_DONE;
    if (((uintptr_t)context & 3) || (failed && (async || context)))
        return STATUS_INVALID_PARAMETER;
    if (!__atomic_compare_exchange_n(once, &seen, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        /* Of several that initialise asynchronously the first one wins. */
        return async && (seen & 3) == ONCE_DONE ? STATUS_OBJECT_NAME_COLLISION
                                                : STATUS_UNSUCCESSFUL;
    once_finish(once, value);
    return STATUS_SUCCESS;
}

nt_status win32_once_execute(uintptr_t *once, win32_once_function function, void *parameter,
                             void **context)
{
    void *result = NULL;
    nt_status status = win32_once_begin(once, 0, context);
    if (status != STATUS_PENDING)
        return status;
    if (!function(once, parameter, &result)) {
        win32_once_complete(once, ONCE_INIT_FAILED, NULL);
        return STATUS_UNSUCCESSFUL;
    }
    status = win32_once_complete(once, 0, result);
    if (nt_ok(status) && context)
        *context = result;
    return status;
}

/*
 * Values of 1, 2 and 8 bytes are nothing the kernel can sleep on, so sleepers queue by address,
 * each on a word of its own.
 */
struct sleeper {
    struct sleeper *next, *prev;
    const volatile void *address;
    uint32_t woken; /* futex word */
};

static struct bucket {
    pthread_mutex_t mutex;
    struct sleeper head;
} buckets[64];
static pthread_once_t buckets_once = PTHREAD_ONCE_INIT;

static void init_buckets(void)
{
    for (size_t i = 0; i < sizeof(buckets) / sizeof(*buckets); i++) {
        pthread_mutex_init(&buckets[i].mutex, NULL);
        buckets[i].head.next = buckets[i].head.prev = &buckets[i].head;
    }
}

static struct bucket *lock_bucket(const volatile void *address)
{
    pthread_once(&buckets_once, init_buckets);
    struct bucket *bucket =
        &buckets[((uintptr_t)address >> 3) % (sizeof(buckets) / sizeof(*buckets))];
    pthread_mutex_lock(&bucket->mutex);
    return bucket;
}

static void dequeue(struct sleeper *sleeper)
{
    sleeper->next->prev = sleeper->prev;
    sleeper->prev->next = sleeper->next;
}

static bool equal(const volatile void *address, const void *compare, size_t size)
{
    switch (size) {
    case 1:
        return *(const volatile uint8_t *)address == *(const uint8_t *)compare;
    case 2:
        return *(const volatile uint16_t *)address == *(const uint16_t *)compare;
    case 4:
        return *(const volatile uint32_t *)address == *(const uint32_t *)compare;
    default:
        return *(const volatile uint64_t *)address == *(const uint64_t *)compare;
    }
}

bool win32_address_wait(const volatile void *address, const void *compare, size_t size,
                        DWORD milliseconds)
{
    struct ke_deadline storage;
    const struct ke_deadline *deadline = ke_deadline_after(milliseconds, &storage);
    struct bucket *bucket = lock_bucket(address);
    if (!equal(address, compare, size)) {
        pthread_mutex_unlock(&bucket->mutex);
        return true;
    }
    struct sleeper self = {.next = &bucket->head, .prev = bucket->head.prev, .address = address};
    self.prev->next = bucket->head.prev = &self;
    pthread_mutex_unlock(&bucket->mutex);
    while (!__atomic_load_n(&self.woken, __ATOMIC_ACQUIRE)) {
        if (ke_futex_wait_raw(&self.woken, 0, KE_FUTEX_ANYONE, deadline) &&
            !ke_thread_told_to_end())
            continue;
        lock_bucket(address);
        bool late = !__atomic_load_n(&self.woken, __ATOMIC_ACQUIRE);
        if (late)
            dequeue(&self);
        pthread_mutex_unlock(&bucket->mutex);
        ke_thread_end_if_told();
        return !late;
    }
    return true;
}

void win32_address_wake(const void *address, bool all)
{
    struct bucket *bucket = lock_bucket(address);
    for (struct sleeper *at = bucket->head.next, *next; at != &bucket->head; at = next) {
        next = at->next;
        if (at->address != address)
            continue;
        dequeue(at);
        uint32_t *word =
            &at->woken; /* the sleeper may be gone once it is set; waking is harmless */
        __atomic_store_n(word, 1, __ATOMIC_RELEASE);
        ke_futex_wake(word, 1, KE_FUTEX_ANYONE);
        if (!all)
            break;
    }
    pthread_mutex_unlock(&bucket->mutex);
}
