/*
 * Locks in images' memory: critical sections (with the fields that debuggers and programs read),
 * SRW locks, condition variables, one-time initialisation, waiting on addresses, interlocked lists.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/locks.h"
#include "loader/win32/ntdll/families.h"
#include "tests/unit/builtin_fn.h"

enum { THREADS = 6, ROUNDS = 20000 };

static int attach_once(void **state)
{
    return nt_ok(ke_thread_attach(NULL)) ? 0 : -1;
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void run_threads(void *(*body)(void *), void *argument)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, body, argument);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static CRITICAL_SECTION section;
static WIN32_WORD_LOCK srw, condition;
static long shared_counter;

static void critical_section_fields_are_the_documented_ones(void **state)
{
    CRITICAL_SECTION fresh;
    win32_critsec_init(&fresh, 0x80000FA0);
    assert_int_equal(fresh.LockCount, -1);
    assert_int_equal(fresh.SpinCount, 0xFA0);
    win32_critsec_enter(&fresh);
    win32_critsec_enter(&fresh);
    assert_int_equal(fresh.LockCount, -2);
    assert_int_equal(fresh.RecursionCount, 2);
    assert_int_equal(fresh.OwningThread, ke_thread_id());
    win32_critsec_leave(&fresh);
    assert_int_equal(fresh.LockCount, -2);
    win32_critsec_leave(&fresh);
    assert_int_equal(fresh.LockCount, -1);
    assert_int_equal(fresh.OwningThread, 0);
}

/* As winpthreads and others do: LockCount -1, everything else zero. */
static void a_static_initialiser_is_a_free_section(void **state)
{
    CRITICAL_SECTION fixed = {.LockCount = -1};
    assert_true(win32_critsec_try_enter(&fixed));
    win32_critsec_leave(&fixed);
}

static void *add_in_section(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        win32_critsec_enter(&section);
        shared_counter++;
        win32_critsec_leave(&section);
    }
    return NULL;
}

static void critical_sections_exclude(void **state)
{
    for (DWORD spin = 0; spin <= 100; spin += 100) {
        win32_critsec_init(&section, spin);
        shared_counter = 0;
        run_threads(add_in_section, NULL);
        assert_int_equal(shared_counter, THREADS * ROUNDS);
        assert_int_equal(section.LockCount, -1);
    }
}

static void *try_section(void *result)
{
    *(bool *)result = win32_critsec_try_enter(&section);
    return NULL;
}

static void a_held_section_refuses_others(void **state)
{
    bool entered = true;
    pthread_t thread;
    win32_critsec_init(&section, 0);
    win32_critsec_enter(&section);
    pthread_create(&thread, NULL, try_section, &entered);
    pthread_join(thread, NULL);
    assert_false(entered);
    win32_critsec_leave(&section);
}

static int readers_now, readers_most, torn;
static volatile int pair[2];

static void *read_and_write(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 8 == 0) {
            win32_srw_acquire_exclusive(&srw);
            pair[0]++;
            if (__atomic_load_n(&readers_now, __ATOMIC_RELAXED) != 0)
                __atomic_add_fetch(&torn, 1, __ATOMIC_RELAXED);
            pair[1]++;
            win32_srw_release_exclusive(&srw);
        } else {
            win32_srw_acquire_shared(&srw);
            __atomic_add_fetch(&readers_now, 1, __ATOMIC_RELAXED);
            if (pair[0] != pair[1])
                __atomic_add_fetch(&torn, 1, __ATOMIC_RELAXED);
            __atomic_sub_fetch(&readers_now, 1, __ATOMIC_RELAXED);
            win32_srw_release_shared(&srw);
        }
    }
    return NULL;
}

static void srw_writers_are_alone(void **state)
{
    srw.word = 0;
    run_threads(read_and_write, NULL);
    assert_int_equal(torn, 0);
    assert_int_equal(pair[0], THREADS * (ROUNDS / 8));
    assert_int_equal(srw.word, 0); /* as new: images may compare it with SRWLOCK_INIT */
}

static void *read_together(void *argument)
{
    pthread_barrier_t *barrier = argument;
    win32_srw_acquire_shared(&srw);
    int now = __atomic_add_fetch(&readers_now, 1, __ATOMIC_RELAXED);
    pthread_barrier_wait(barrier); /* passes only when all are inside */
    if (now > readers_most)
        readers_most = now;
    win32_srw_release_shared(&srw);
    return NULL;
}

static void srw_readers_are_together(void **state)
{
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, THREADS);
    srw.word = 0;
    readers_now = 0;
    run_threads(read_together, &barrier);
    assert_int_equal(readers_now, THREADS);
    assert_true(win32_srw_try_shared(&srw));
    assert_true(win32_srw_try_shared(&srw));
    assert_false(win32_srw_try_exclusive(&srw));
    win32_srw_release_shared(&srw);
    win32_srw_release_shared(&srw);
    assert_true(win32_srw_try_exclusive(&srw));
    assert_false(win32_srw_try_shared(&srw));
    win32_srw_release_exclusive(&srw);
    pthread_barrier_destroy(&barrier);
}

static long queued, taken;
static bool finished;

static void *consume_srw(void *unused)
{
    win32_srw_acquire_exclusive(&srw);
    for (;;) {
        while (queued == 0 && !finished)
            win32_condition_sleep_srw(&condition, &srw, false, 0xFFFFFFFF);
        if (queued == 0)
            break;
        queued--;
        taken++;
    }
    win32_srw_release_exclusive(&srw);
    return NULL;
}

static void *consume_critsec(void *unused)
{
    win32_critsec_enter(&section);
    for (;;) {
        while (queued == 0 && !finished)
            win32_condition_sleep_critsec(&condition, &section, 0xFFFFFFFF);
        if (queued == 0)
            break;
        queued--;
        taken++;
    }
    win32_critsec_leave(&section);
    return NULL;
}

static void produce(bool with_srw)
{
    pthread_t threads[THREADS];
    queued = taken = 0;
    finished = false;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, with_srw ? consume_srw : consume_critsec, NULL);
    for (int i = 0; i <= ROUNDS; i++) {
        with_srw ? win32_srw_acquire_exclusive(&srw) : win32_critsec_enter(&section);
        if (i < ROUNDS)
            queued++;
        else
            finished = true;
        with_srw ? win32_srw_release_exclusive(&srw) : win32_critsec_leave(&section);
        win32_condition_wake(&condition, i == ROUNDS);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(taken, ROUNDS);
}

/* A lost wake-up would leave a consumer asleep for ever. */
static void condition_variables_lose_no_wake(void **state)
{
    srw.word = condition.word = 0;
    win32_critsec_init(&section, 0);
    produce(true);
    produce(false);
}

static void a_condition_wait_times_out_with_the_lock_held(void **state)
{
    srw.word = condition.word = 0;
    int64_t start = milliseconds();
    win32_srw_acquire_exclusive(&srw);
    assert_false(win32_condition_sleep_srw(&condition, &srw, false, 60));
    assert_in_range(milliseconds() - start, 55, 30000);
    assert_false(win32_srw_try_shared(&srw));
    win32_srw_release_exclusive(&srw);
}

static int once_calls;

static BOOL WINAPI_DEF init_slowly(uintptr_t *once, void *parameter, void **context)
{
    usleep(20000);
    __atomic_add_fetch(&once_calls, 1, __ATOMIC_RELAXED);
    *context = parameter;
    return TRUE;
}

static void *execute_once(void *argument)
{
    void *context = NULL;
    assert_int_equal(win32_once_execute(argument, init_slowly, (void *)0x1000, &context), 0);
    assert_ptr_equal(context, 0x1000);
    return NULL;
}

static BOOL WINAPI_DEF init_fails(uintptr_t *once, void *parameter, void **context)
{
    return FALSE;
}

static void one_time_initialisation_runs_once(void **state)
{
    uintptr_t once = 0, failing = 0;
    run_threads(execute_once, &once);
    assert_int_equal(once_calls, 1);
    assert_int_equal(once, 0x1000 | 2);
    assert_false(nt_ok(win32_once_execute(&failing, init_fails, NULL, NULL)));
    assert_int_equal(failing, 0); /* the next caller tries again */
    assert_false(nt_ok(win32_once_begin(&failing, ONCE_CHECK_ONLY, NULL)));
}

static void asynchronous_initialisers_race_and_one_wins(void **state)
{
    uintptr_t once = 0;
    void *context = NULL;
    assert_int_equal(win32_once_begin(&once, ONCE_ASYNC, NULL), STATUS_PENDING);
    assert_int_equal(win32_once_begin(&once, ONCE_ASYNC, NULL), STATUS_PENDING);
    assert_int_equal(win32_once_complete(&once, ONCE_ASYNC, (void *)0x20), 0);
    assert_false(nt_ok(win32_once_complete(&once, ONCE_ASYNC, (void *)0x40)));
    assert_int_equal(win32_once_begin(&once, ONCE_ASYNC, &context), 0);
    assert_ptr_equal(context, 0x20);
}

static union {
    uint8_t bytes[8];
    uint64_t whole;
} watched;

static void *wait_for_change(void *size)
{
    static const uint64_t zero;
    while (memcmp(watched.bytes, &zero, (size_t)size) == 0)
        win32_address_wait(&watched, &zero, (size_t)size, 0xFFFFFFFF);
    return NULL;
}

static void a_changed_address_wakes_its_waiters(void **state)
{
    const uint64_t zero = 0;
    for (size_t size = 1; size <= 8; size *= 2) {
        pthread_t threads[THREADS];
        watched.whole = 0;
        for (int i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, wait_for_change, (void *)size);
        usleep(10000);
        win32_address_wake(&watched, true); /* unchanged: they sleep again */
        watched.bytes[size - 1] = 1;
        for (int i = 0; i < THREADS / 2; i++)
            win32_address_wake(&watched, false);
        win32_address_wake(&watched, true);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_true(win32_address_wait(&watched, &zero, size, 0xFFFFFFFF)); /* differs: at once */
        watched.whole = 0;
        assert_false(win32_address_wait(&watched, &zero, size, 20));
    }
}

struct entry {
    struct entry *next;
    int value;
} __attribute__((aligned(16)));
FN(RtlInitializeSListHead, void, void *head);
FN(RtlInterlockedPushEntrySList, struct entry *, void *head, struct entry *entry);
FN(RtlInterlockedPopEntrySList, struct entry *, void *head);
FN(RtlInterlockedFlushSList, struct entry *, void *head);
FN(RtlQueryDepthSList, USHORT, void *head);
static uint8_t slist_head[16] __attribute__((aligned(16)));
static long popped;

static int load_slist(void **state)
{
    LOAD_FN(ntdll_slist, RtlInitializeSListHead);
    LOAD_FN(ntdll_slist, RtlInterlockedPushEntrySList);
    LOAD_FN(ntdll_slist, RtlInterlockedPopEntrySList);
    LOAD_FN(ntdll_slist, RtlInterlockedFlushSList);
    LOAD_FN(ntdll_slist, RtlQueryDepthSList);
    RtlInitializeSListHead(slist_head);
    return 0;
}

static void a_list_is_last_in_first_out(void **state)
{
    struct entry entries[3] = {{.value = 0}, {.value = 1}, {.value = 2}};
    assert_null(RtlInterlockedPopEntrySList(slist_head));
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(RtlInterlockedPushEntrySList(slist_head, &entries[i]),
                         i ? &entries[i - 1] : NULL);
    assert_int_equal(RtlQueryDepthSList(slist_head), 3);
    assert_ptr_equal(RtlInterlockedPopEntrySList(slist_head), &entries[2]);
    assert_ptr_equal(RtlInterlockedFlushSList(slist_head), &entries[1]);
    assert_ptr_equal(entries[1].next, &entries[0]);
    assert_int_equal(RtlQueryDepthSList(slist_head), 0);
    assert_null(RtlInterlockedFlushSList(slist_head));
}

static void *push_and_pop(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct entry *entry = RtlInterlockedPopEntrySList(slist_head);
        if (!entry)
            continue;
        entry->value++; /* only its one owner writes */
        __atomic_add_fetch(&popped, 1, __ATOMIC_RELAXED);
        RtlInterlockedPushEntrySList(slist_head, entry);
    }
    return NULL;
}

static void a_list_gives_an_entry_to_one_thread(void **state)
{
    struct entry entries[4] = {{.value = 0}};
    long sum = 0;
    for (int i = 0; i < 4; i++)
        RtlInterlockedPushEntrySList(slist_head, &entries[i]);
    run_threads(push_and_pop, NULL);
    assert_int_equal(RtlQueryDepthSList(slist_head), 4);
    for (int i = 0; i < 4; i++)
        sum += entries[i].value;
    assert_int_equal(sum, popped);
    RtlInterlockedFlushSList(slist_head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(critical_section_fields_are_the_documented_ones),
        cmocka_unit_test(a_static_initialiser_is_a_free_section),
        cmocka_unit_test(critical_sections_exclude),
        cmocka_unit_test(a_held_section_refuses_others),
        cmocka_unit_test(srw_writers_are_alone),
        cmocka_unit_test(srw_readers_are_together),
        cmocka_unit_test(condition_variables_lose_no_wake),
        cmocka_unit_test(a_condition_wait_times_out_with_the_lock_held),
        cmocka_unit_test(one_time_initialisation_runs_once),
        cmocka_unit_test(asynchronous_initialisers_race_and_one_wins),
        cmocka_unit_test(a_changed_address_wakes_its_waiters),
        cmocka_unit_test_setup(a_list_is_last_in_first_out, load_slist),
        cmocka_unit_test_setup(a_list_gives_an_entry_to_one_thread, load_slist),
    };
    return cmocka_run_group_tests(tests, attach_once, NULL);
}
