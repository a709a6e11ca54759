/*
 * Waits and the synchronisation objects, as Microsoft documents them: consumption, order, wait-all
 * atomicity, time-outs, ownership and abandonment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "loader/ob/object.h"

enum { ME = 100, OTHER = 200 };

static int64_t now_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000ll + at.tv_nsec / 1000000;
}

static nt_status poll_one(struct ob_object *object, uint32_t thread_id, uint32_t *index)
{
    return ob_wait(&object, 1, false, 0, thread_id, index);
}

/* ---- one thread ---------------------------------------------------------------------------------
 */

static void test_events(void **state)
{
    struct ob_object *automatic = ob_event_create(false, true);
    struct ob_object *manual = ob_event_create(true, false);
    uint32_t index = 99;

    assert_int_equal(poll_one(automatic, ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0);
    assert_int_equal(poll_one(automatic, ME, &index), STATUS_TIMEOUT); /* consumed */
    assert_int_equal(poll_one(manual, ME, &index), STATUS_TIMEOUT);
    ob_event_set(manual, true);
    assert_int_equal(poll_one(manual, ME, &index), STATUS_SUCCESS);
    assert_int_equal(poll_one(manual, ME, &index), STATUS_SUCCESS); /* stays */
    ob_event_set(manual, false);
    assert_int_equal(poll_one(manual, ME, &index), STATUS_TIMEOUT);
    ob_object_unref(automatic);
    ob_object_unref(manual);
}

static void test_timeout(void **state)
{
    struct ob_object *event = ob_event_create(false, false);
    int64_t start = now_ms();
    assert_int_equal(ob_wait(&event, 1, false, 60, ME, NULL), STATUS_TIMEOUT);
    assert_in_range(now_ms() - start, 59, 5000);
    ob_event_set(event, true); /* the timed-out waiter is no longer served */
    assert_int_equal(poll_one(event, ME, NULL), STATUS_SUCCESS);
    ob_object_unref(event);
}

static void test_arguments(void **state)
{
    static const struct ob_type not_waitable = {.name = "Key"};
    struct ob_object *event = ob_event_create(true, true);
    struct ob_object *key = ob_object_create(&not_waitable, sizeof *key);
    struct ob_object *many[65] = {event, event};

    assert_int_equal(ob_wait(many, 0, false, 0, ME, NULL), (nt_status)STATUS_INVALID_PARAMETER);
    assert_int_equal(ob_wait(many, 2, true, 0, ME, NULL), (nt_status)STATUS_INVALID_PARAMETER);
    assert_int_equal(ob_wait(many, 2, false, 0, ME, NULL), STATUS_SUCCESS);
    for (int i = 0; i < 65; i++)
        many[i] = event;
    assert_int_equal(ob_wait(many, 65, false, 0, ME, NULL), (nt_status)STATUS_INVALID_PARAMETER);
    assert_int_equal(ob_wait(many, 64, false, 0, ME, NULL), STATUS_SUCCESS);
    assert_int_equal(ob_wait(&key, 1, false, 0, ME, NULL), (nt_status)STATUS_OBJECT_TYPE_MISMATCH);
    ob_object_unref(event);
    ob_object_unref(key);
}

static void test_wait_any_takes_the_lowest_only(void **state)
{
    struct ob_object *events[3] = {ob_event_create(false, false), ob_event_create(false, true),
                                   ob_event_create(false, true)};
    uint32_t index = 99;

    assert_int_equal(ob_wait(events, 3, false, 0, ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, 1);
    assert_int_equal(ob_wait(events, 3, false, 0, ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, 2);
    assert_int_equal(ob_wait(events, 3, false, 0, ME, &index), STATUS_TIMEOUT);
    for (int i = 0; i < 3; i++)
        ob_object_unref(events[i]);
}

static void test_wait_all_takes_all_or_nothing(void **state)
{
    struct ob_object *semaphore = ob_semaphore_create(1, 5);
    struct ob_object *event = ob_event_create(false, false);
    struct ob_object *both[2] = {semaphore, event};
    uint32_t index = 99;

    assert_int_equal(ob_wait(both, 2, true, 10, ME, NULL), STATUS_TIMEOUT);
    ob_event_set(event, true);
    assert_int_equal(ob_wait(both, 2, true, 0, ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0);
    assert_int_equal(poll_one(semaphore, ME, NULL), STATUS_TIMEOUT);
    assert_int_equal(poll_one(event, ME, NULL), STATUS_TIMEOUT);
    ob_object_unref(semaphore);
    ob_object_unref(event);
}

static void test_semaphore(void **state)
{
    int32_t previous = -1;
    assert_null(ob_semaphore_create(-1, 1));
    assert_null(ob_semaphore_create(0, 0));
    assert_null(ob_semaphore_create(2, 1));

    struct ob_object *semaphore = ob_semaphore_create(1, 3);
    assert_int_equal(ob_semaphore_release(semaphore, 3, &previous),
                     (nt_status)STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    assert_int_equal(previous, -1);
    assert_int_equal(ob_semaphore_release(semaphore, INT32_MAX, NULL),
                     (nt_status)STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    assert_int_equal(ob_semaphore_release(semaphore, 0, NULL), (nt_status)STATUS_INVALID_PARAMETER);
    assert_int_equal(ob_semaphore_release(semaphore, 2, &previous), STATUS_SUCCESS);
    assert_int_equal(previous, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(poll_one(semaphore, ME, NULL), STATUS_SUCCESS);
    assert_int_equal(poll_one(semaphore, ME, NULL), STATUS_TIMEOUT);
    ob_object_unref(semaphore);
}

static void test_mutex_ownership(void **state)
{
    struct ob_object *mutex = ob_mutex_create(ME);

    assert_int_equal(poll_one(mutex, OTHER, NULL), STATUS_TIMEOUT);
    assert_int_equal(ob_mutex_release(mutex, OTHER), (nt_status)STATUS_MUTANT_NOT_OWNED);
    assert_int_equal(poll_one(mutex, ME, NULL), STATUS_SUCCESS); /* recursive */
    assert_int_equal(ob_mutex_release(mutex, ME), STATUS_SUCCESS);
    assert_int_equal(poll_one(mutex, OTHER, NULL), STATUS_TIMEOUT);
    assert_int_equal(ob_mutex_release(mutex, ME), STATUS_SUCCESS);
    assert_int_equal(ob_mutex_release(mutex, ME), (nt_status)STATUS_MUTANT_NOT_OWNED);
    assert_int_equal(poll_one(mutex, OTHER, NULL), STATUS_SUCCESS);
    assert_int_equal(ob_mutex_release(mutex, OTHER), STATUS_SUCCESS);
    ob_object_unref(mutex);
}

static void test_abandoned_mutex(void **state)
{
    struct ob_object *mutexes[2] = {ob_mutex_create(OTHER), ob_mutex_create(OTHER)};
    struct ob_object *mine = ob_mutex_create(ME);
    struct ob_object *event = ob_event_create(true, true);
    uint32_t index = 99;

    assert_int_equal(poll_one(mutexes[1], OTHER, NULL), STATUS_SUCCESS); /* held twice */
    ob_mutex_abandon_all(OTHER);
    struct ob_object *any[2] = {mine, mutexes[1]};
    assert_int_equal(poll_one(mine, OTHER, NULL), STATUS_TIMEOUT); /* others' mutexes stay owned */
    assert_int_equal(ob_wait(any + 1, 1, false, 0, ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0x80);
    assert_int_equal(ob_mutex_release(mutexes[1], ME), STATUS_SUCCESS);
    assert_int_equal(poll_one(mutexes[1], ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0); /* told once */

    struct ob_object *all[2] = {event, mutexes[0]};
    assert_int_equal(ob_wait(all, 2, true, 0, ME, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0x80);

    struct ob_object *second[2] = {mutexes[0], mutexes[1]};
    ob_mutex_abandon_all(ME);
    assert_int_equal(ob_mutex_release(mutexes[1], ME), (nt_status)STATUS_MUTANT_NOT_OWNED);
    struct ob_object *never = ob_event_create(true, false);
    second[0] = never;
    assert_int_equal(ob_wait(second, 2, false, 0, OTHER, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0x81);
    ob_mutex_abandon_all(OTHER);

    ob_object_unref(never);
    ob_object_unref(mutexes[0]);
    ob_object_unref(mutexes[1]);
    ob_object_unref(mine);
    ob_object_unref(event);
}

static void test_owned_mutex_goes_with_its_last_reference(void **state)
{
    struct ob_object *kept = ob_mutex_create(ME);
    struct ob_object *dropped = ob_mutex_create(ME);
    ob_object_unref(dropped);
    ob_mutex_abandon_all(ME); /* must not meet the freed one */
    uint32_t index = 99;
    assert_int_equal(poll_one(kept, OTHER, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0x80);
    ob_object_unref(kept);
}

/* ---- several threads ----------------------------------------------------------------------------
 */

struct waiting {
    pthread_t thread;
    struct ob_object *objects[2];
    uint32_t count, timeout, thread_id, index;
    bool all;
    nt_status status;
    int done;
};

static void *wait_in_thread(void *argument)
{
    struct waiting *w = argument;
    w->status = ob_wait(w->objects, w->count, w->all, w->timeout, w->thread_id, &w->index);
    __atomic_store_n(&w->done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void start_waiting(struct waiting *w)
{
    assert_int_equal(pthread_create(&w->thread, NULL, wait_in_thread, w), 0);
    usleep(30000); /* it is asleep by now, or the test proves a little less */
}

static bool is_done(struct waiting *w)
{
    return __atomic_load_n(&w->done, __ATOMIC_SEQ_CST);
}

static void test_auto_reset_wakes_one_in_order(void **state)
{
    struct ob_object *event = ob_event_create(false, false);
    struct waiting w[2] = {
        {.objects = {event}, .count = 1, .timeout = OB_INFINITE, .thread_id = 1},
        {.objects = {event}, .count = 1, .timeout = OB_INFINITE, .thread_id = 2},
    };
    start_waiting(&w[0]);
    start_waiting(&w[1]);
    ob_event_set(event, true);
    pthread_join(w[0].thread, NULL);
    usleep(30000);
    assert_true(is_done(&w[0]));
    assert_false(is_done(&w[1]));
    assert_int_equal(poll_one(event, ME, NULL), STATUS_TIMEOUT); /* it went to the waiter */
    ob_event_set(event, true);
    pthread_join(w[1].thread, NULL);
    assert_int_equal(w[1].status, STATUS_SUCCESS);
    ob_object_unref(event);
}

static void test_manual_reset_wakes_all(void **state)
{
    struct ob_object *event = ob_event_create(true, false);
    struct waiting w[2] = {
        {.objects = {event}, .count = 1, .timeout = 10000, .thread_id = 1},
        {.objects = {event}, .count = 1, .timeout = OB_INFINITE, .thread_id = 2},
    };
    start_waiting(&w[0]);
    start_waiting(&w[1]);
    ob_event_set(event, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].status, STATUS_SUCCESS);
    }
    ob_object_unref(event);
}

static void test_wait_all_sleeps_without_holding_a_part(void **state)
{
    struct ob_object *a = ob_event_create(false, false), *b = ob_event_create(false, false);
    struct waiting w = {
        .objects = {a, b}, .count = 2, .all = true, .timeout = OB_INFINITE, .thread_id = 1};
    start_waiting(&w);
    ob_event_set(a, true);
    usleep(30000);
    assert_false(is_done(&w));
    assert_int_equal(poll_one(a, ME, NULL), STATUS_SUCCESS); /* still there for others */
    ob_event_set(b, true);
    usleep(30000);
    assert_false(is_done(&w));
    ob_event_set(a, true);
    pthread_join(w.thread, NULL);
    assert_int_equal(w.status, STATUS_SUCCESS);
    assert_int_equal(poll_one(a, ME, NULL), STATUS_TIMEOUT);
    assert_int_equal(poll_one(b, ME, NULL), STATUS_TIMEOUT);
    ob_object_unref(a);
    ob_object_unref(b);
}

static void test_abandoning_wakes_a_waiter(void **state)
{
    struct ob_object *never = ob_event_create(false, false), *mutex = ob_mutex_create(OTHER);
    struct waiting w = {
        .objects = {never, mutex}, .count = 2, .timeout = OB_INFINITE, .thread_id = ME};
    start_waiting(&w);
    assert_false(is_done(&w));
    ob_mutex_abandon_all(OTHER);
    pthread_join(w.thread, NULL);
    assert_int_equal(w.status, STATUS_SUCCESS);
    assert_int_equal(w.index, 0x81);
    assert_int_equal(ob_mutex_release(mutex, ME), STATUS_SUCCESS); /* it is the new owner */
    ob_object_unref(never);
    ob_object_unref(mutex);
}

enum { THREADS = 4, ROUNDS = 5000 };

static struct ob_object *stress_mutex, *stress_semaphore;
static int unprotected, inside;

/* Wait-all for a mutex and a semaphore slot: both exclude, so a plain counter must come out right.
 */
static void *stress(void *argument)
{
    uint32_t me = (uint32_t)(uintptr_t)argument;
    struct ob_object *both[2] = {stress_semaphore, stress_mutex};
    uintptr_t failures = 0;
    for (int i = 0; i < ROUNDS; i++) {
        failures += ob_wait(both, 2, true, OB_INFINITE, me, NULL) != STATUS_SUCCESS;
        failures += inside++ != 0;
        unprotected++;
        inside--;
        failures += ob_mutex_release(stress_mutex, me) != STATUS_SUCCESS;
        failures += ob_semaphore_release(stress_semaphore, 1, NULL) != STATUS_SUCCESS;
    }
    return (void *)failures;
}

static void test_mutual_exclusion(void **state)
{
    pthread_t threads[THREADS];
    stress_mutex = ob_mutex_create(0);
    stress_semaphore = ob_semaphore_create(2, 2);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stress, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failures = NULL;
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
    assert_int_equal(unprotected, THREADS * ROUNDS);
    ob_object_unref(stress_mutex);
    ob_object_unref(stress_semaphore);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_wait_any_takes_the_lowest_only),
        cmocka_unit_test(test_wait_all_takes_all_or_nothing),
        cmocka_unit_test(test_semaphore),
        cmocka_unit_test(test_mutex_ownership),
        cmocka_unit_test(test_abandoned_mutex),
        cmocka_unit_test(test_owned_mutex_goes_with_its_last_reference),
        cmocka_unit_test(test_auto_reset_wakes_one_in_order),
        cmocka_unit_test(test_manual_reset_wakes_all),
        cmocka_unit_test(test_wait_all_sleeps_without_holding_a_part),
        cmocka_unit_test(test_abandoning_wakes_a_waiter),
        cmocka_unit_test(test_mutual_exclusion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
