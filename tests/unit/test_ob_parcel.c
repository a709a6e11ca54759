/*
 * Parcels without another process: the registry of couriers, what is refused, whose descriptors are
 * closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/ob/process.h"
#include "tests/unit/blob.h"
#include "tests/unit/peer.h"
#include "tests/unit/status.h"

static int set_up(void **state)
{
    blob_register();
    return nt_ok(ob_service_start(NULL)) ? 0 : -1;
}

static void test_round_trip(void **state)
{
    uint32_t before = count_descriptors();
    struct ob_object *blob = blob_create(1234), *copy = NULL;
    struct ob_parcel parcel;
    assert_status(ob_pack(blob, &parcel, NULL), STATUS_SUCCESS);
    assert_int_equal(parcel.type, BLOB_TYPE);
    assert_int_equal(parcel.fd_count, 1);
    ob_object_unref(blob); /* the parcel keeps it alive */
    assert_status(ob_unpack(&parcel, &copy, NULL), STATUS_SUCCESS);
    assert_int_equal(blob_value(copy), 1234);
    ob_object_unref(copy);
    assert_int_equal(blobs_alive, 0);
    assert_int_equal(count_descriptors(), before);
}

static void test_no_courier(void **state)
{
    static const struct ob_type local_type = {.name = "Local"};
    struct ob_object *object = ob_object_create(&local_type, sizeof *object);
    struct ob_parcel parcel;
    struct pe_error err = {0};
    assert_status(ob_pack(object, &parcel, &err), STATUS_NOT_SUPPORTED);
    assert_non_null(strstr(err.text, "Local"));
    assert_int_equal(parcel.fd_count, 0);
    ob_object_unref(object);
}

static void test_discard(void **state)
{
    uint32_t before = count_descriptors();
    struct ob_object *blob = blob_create(1);
    struct ob_parcel parcel;
    assert_status(ob_pack(blob, &parcel, NULL), STATUS_SUCCESS);
    ob_parcel_discard(&parcel);
    ob_parcel_discard(&parcel); /* nothing is left to close */
    ob_object_unref(blob);
    assert_int_equal(count_descriptors(), before);
}

/* A parcel as another process may send it: every field wrong in turn, no descriptor left. */
static void test_hostile(void **state)
{
    static const struct {
        uint32_t type, fd_count, size;
    } cases[] = {
        {OB_TYPE_NONE, 1, 4},     {OB_TYPE_COUNT, 1, 4},    {UINT32_MAX, 1, 4},
        {BLOB_TYPE, 0, 4},        {BLOB_TYPE, 2, 4},        {BLOB_TYPE, 1, 0},
        {BLOB_TYPE, 1, 5},        {BLOB_TYPE, 1, 513},      {BLOB_TYPE, 1, UINT32_MAX},
        {OB_TYPE_PROCESS, 1, 16}, {OB_TYPE_PROCESS, 2, 0},  {OB_TYPE_PROCESS, 2, 15},
        {OB_TYPE_PROCESS, 2, 16}, {OB_TYPE_PROCESS, 3, 16},
    };
    uint32_t before = count_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ob_parcel parcel = {
            .type = cases[i].type, .fd_count = cases[i].fd_count, .size = cases[i].size};
        struct ob_object *object = NULL;
        for (uint32_t j = 0; j < parcel.fd_count; j++)
            parcel.fds[j] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_false(nt_ok(ob_unpack(&parcel, &object, NULL)));
        assert_null(object);
        assert_int_equal(count_descriptors(), before);
    }
}

/* A process object whose record is a memfd that can still be cut, or is no record at all. */
static void test_hostile_record(void **state)
{
    uint32_t before = count_descriptors();
    struct ob_object *current = ob_process_current(), *object = NULL;
    for (int sealed = 0; sealed < 2; sealed++) {
        struct ob_parcel parcel;
        assert_status(ob_pack(current, &parcel, NULL), STATUS_SUCCESS);
        close(parcel.fds[0]);
        assert_status(mm_host_memory("x", 4096, sealed, &parcel.fds[0], NULL), STATUS_SUCCESS);
        assert_status(ob_unpack(&parcel, &object, NULL), STATUS_INVALID_PARAMETER);
    }
    struct ob_parcel parcel;
    assert_status(ob_pack(current, &parcel, NULL), STATUS_SUCCESS);
    parcel.data[8] ^= 1; /* the id: no longer that of the pidfd */
    assert_status(ob_unpack(&parcel, &object, NULL), STATUS_INVALID_PARAMETER);
    assert_status(ob_pack(current, &parcel, NULL), STATUS_SUCCESS);
    assert_status(ob_unpack(&parcel, &object, NULL), STATUS_SUCCESS);
    assert_ptr_equal(object, current);
    ob_object_unref(object);
    ob_object_unref(current);
    assert_int_equal(count_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_no_courier),
        cmocka_unit_test(test_discard),        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_hostile_record),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
