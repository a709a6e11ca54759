/*
 * The handle table: values, lifetime, reuse, flags, limits, threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "loader/ob/object.h"

static int destroyed;

static void count_destroyed(struct ob_object *object)
{
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

static const struct ob_type plain_type = {.name = "Plain", .destroy = count_destroyed};
static const struct ob_type other_type = {.name = "Other"};

static struct ob_object *new_object(void)
{
    struct ob_object *object = ob_object_create(&plain_type, sizeof *object);
    assert_non_null(object);
    return object;
}

static void test_values(void **state)
{
    enum { COUNT = 1000 };
    static uint32_t handles[COUNT];
    struct ob_object *object = new_object();

    for (uint32_t i = 0; i < COUNT; i++) {
        handles[i] = ob_handle_create(object, 0, 0);
        assert_int_not_equal(handles[i], 0);
        assert_int_equal(handles[i] % 4, 0);
        for (uint32_t j = 0; j < i; j++)
            assert_int_not_equal(handles[i], handles[j]);
    }
    assert_int_equal(handles[0], 4);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(ob_handle_close(handles[i]), STATUS_SUCCESS);
    uint32_t again = ob_handle_create(object, 0, 0);
    assert_true(again <= COUNT * 4); /* freed entries are used again */
    assert_int_equal(ob_handle_close(again), STATUS_SUCCESS);
    ob_object_unref(object);
}

static void test_lifetime(void **state)
{
    struct ob_object *object = new_object(), *got = NULL;
    uint32_t access = 0;
    destroyed = 0;

    uint32_t first = ob_handle_create(object, 0x1f, 0);
    uint32_t second = ob_handle_create(object, 0x02, 0);
    ob_object_unref(object);
    assert_int_equal(ob_handle_get(first, &plain_type, &got, &access), STATUS_SUCCESS);
    assert_ptr_equal(got, object);
    assert_int_equal(access, 0x1f);
    assert_int_equal(ob_handle_close(first), STATUS_SUCCESS);
    assert_int_equal(ob_handle_close(second), STATUS_SUCCESS);
    assert_int_equal(destroyed, 0); /* `got` is a reference of its own */
    ob_object_unref(got);
    assert_int_equal(destroyed, 1);
}

static void test_invalid(void **state)
{
    static const uint32_t never[] = {0, 1, 2, 3, 0x7ffffffc, 0xfffffffc, 0xfffffffe, 0xffffffff};
    struct ob_object *object = new_object(), *got = object;
    uint32_t handle = ob_handle_create(object, 0, 0);

    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        assert_int_equal(ob_handle_close(never[i]), (nt_status)STATUS_INVALID_HANDLE);
        assert_int_equal(ob_handle_get(never[i], NULL, &got, NULL),
                         (nt_status)STATUS_INVALID_HANDLE);
        assert_int_equal(ob_handle_flags(never[i], 1, 1, NULL), (nt_status)STATUS_INVALID_HANDLE);
    }
    assert_int_equal(ob_handle_get(handle, &other_type, &got, NULL),
                     (nt_status)STATUS_OBJECT_TYPE_MISMATCH);
    assert_ptr_equal(got, object); /* untouched on failure */
    assert_int_equal(ob_handle_close(handle), STATUS_SUCCESS);
    assert_int_equal(ob_handle_close(handle), (nt_status)STATUS_INVALID_HANDLE);
    ob_object_unref(object);
}

static void test_tag_bits(void **state)
{
    struct ob_object *object = new_object(), *got = NULL;
    uint32_t handle = ob_handle_create(object, 0, 0);

    assert_int_equal(ob_handle_get(handle | 3, NULL, &got, NULL), STATUS_SUCCESS);
    ob_object_unref(got);
    assert_int_equal(ob_handle_close(handle | 1), STATUS_SUCCESS);
    assert_int_equal(ob_handle_close(handle), (nt_status)STATUS_INVALID_HANDLE);
    ob_object_unref(object);
}

static void test_flags(void **state)
{
    const uint32_t inherit = 1, protect = 2;
    struct ob_object *object = new_object();
    uint32_t handle = ob_handle_create(object, 0, inherit), old = 0;

    assert_int_equal(ob_handle_flags(handle, protect, protect, &old), STATUS_SUCCESS);
    assert_int_equal(old, inherit);
    assert_int_equal(ob_handle_close(handle), (nt_status)STATUS_HANDLE_NOT_CLOSABLE);
    assert_int_equal(ob_handle_flags(handle, protect, 0, &old), STATUS_SUCCESS);
    assert_int_equal(old, inherit | protect);
    assert_int_equal(ob_handle_close(handle), STATUS_SUCCESS);
    ob_object_unref(object);
}

static void test_growth_is_bounded(void **state)
{
    const uint32_t more_than_enough = 2u << 20;
    uint32_t *handles = malloc(more_than_enough * sizeof *handles), count = 0;
    struct ob_object *object = new_object();
    assert_non_null(handles);

    destroyed = 0;
    while (count < more_than_enough && (handles[count] = ob_handle_create(object, 0, 0)) != 0)
        count++;
    assert_in_range(count, 1u << 16, more_than_enough - 1);
    assert_int_equal(object->references, count + 1); /* a failed create takes no reference */
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(ob_handle_close(handles[i]), STATUS_SUCCESS);
    ob_object_unref(object);
    assert_int_equal(destroyed, 1);
    free(handles);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *open_and_close(void *unused)
{
    uintptr_t failures = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct ob_object *object = ob_object_create(&plain_type, sizeof *object), *got = NULL;
        uint32_t a = ob_handle_create(object, 0, 0), b = ob_handle_create(object, 0, 0);
        ob_object_unref(object);
        failures += ob_handle_close(a) != STATUS_SUCCESS;
        failures += ob_handle_get(b, &plain_type, &got, NULL) != STATUS_SUCCESS || got != object;
        failures += ob_handle_close(b) != STATUS_SUCCESS;
        ob_object_unref(got);
    }
    return (void *)failures;
}

static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    destroyed = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failures = NULL;
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
    assert_int_equal(destroyed, THREADS * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),  cmocka_unit_test(test_lifetime),
        cmocka_unit_test(test_invalid), cmocka_unit_test(test_tag_bits),
        cmocka_unit_test(test_flags),   cmocka_unit_test(test_growth_is_bounded),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
