/*
 * Duplicates of handles between processes of both word sizes: into one, out of one, between two
 * others; what closes, what is granted, what is refused, what is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/ob/process.h"
#include "tests/unit/blob.h"
#include "tests/unit/peer.h"
#include "tests/unit/status.h"

enum {
    CLOSE = OB_DUPLICATE_CLOSE_SOURCE,
    SAME_ACCESS = OB_DUPLICATE_SAME_ACCESS,
    SAME_FLAGS = OB_DUPLICATE_SAME_ATTRIBUTES,
    BLOB_ACCESS = 0x5A, /* of the peer's handles, which are inheritable */
};

static struct ob_object *self;

static int set_up(void **state)
{
    blob_register();
    self = ob_process_current();
    return self && nt_ok(ob_service_start(NULL)) ? 0 : -1;
}

static struct ob_object *process_of(struct peer *peer)
{
    struct ob_object *process = NULL;
    assert_status(ob_process_open((uint32_t)peer->pid, &process, NULL), STATUS_SUCCESS);
    return process;
}

static uint32_t make_blob(uint32_t value, uint32_t access, uint32_t flags)
{
    struct ob_object *blob = blob_create(value);
    uint32_t handle = ob_handle_create(blob, access, flags);
    assert_int_not_equal(handle, 0);
    ob_object_unref(blob);
    return handle;
}

static bool is_open(uint32_t handle)
{
    return nt_ok(ob_handle_flags(handle, 0, 0, NULL));
}

static void check_blob(uint32_t handle, uint32_t value, uint32_t access, uint32_t flags)
{
    struct ob_object *blob = NULL;
    uint32_t granted = 0, has = 99;
    assert_status(ob_handle_get(handle, &blob_type, &blob, &granted), STATUS_SUCCESS);
    assert_int_equal(blob_value(blob), value);
    assert_int_equal(granted, access);
    assert_status(ob_handle_flags(handle, 0, 0, &has), STATUS_SUCCESS);
    assert_int_equal(has, flags);
    ob_object_unref(blob);
}

static void check_peer_blob(struct peer *peer, uint32_t handle, uint32_t value, uint32_t access,
                            uint32_t flags)
{
    uint32_t got, has;
    assert_status(peer_ask2(peer, &got, "value %u", handle), STATUS_SUCCESS);
    assert_int_equal(got, value);
    assert_int_equal(peer_ask2(peer, &has, "handle %u", handle), access);
    assert_int_equal(has, flags);
}

static void close_handle(uint32_t handle)
{
    assert_status(ob_handle_close(handle), STATUS_SUCCESS);
}

/* For ob_handle_each(): the last one, and that they come in order. */
static nt_status note_handle(void *user, uint32_t handle, struct ob_object *object, uint32_t access,
                             uint32_t flags)
{
    uint32_t *last = user;
    assert_true(handle > *last);
    *last = handle;
    return STATUS_SUCCESS;
}

/* ---- every way, in both word sizes --------------------------------------------------------------
 */

static void into(struct peer *peer)
{
    struct ob_object *process = process_of(peer);
    uint32_t source = make_blob(100, 0x1F, 0), target = 0;
    assert_status(ob_duplicate(self, source, process, &target, 0, 0, SAME_ACCESS, NULL),
                  STATUS_SUCCESS);
    check_peer_blob(peer, target, 100, 0x1F, 0);
    assert_true(is_open(source));
    assert_status(ob_duplicate(self, source, process, &target, 0x3, 1, CLOSE, NULL),
                  STATUS_SUCCESS);
    check_peer_blob(peer, target, 100, 0x3, 1);
    assert_false(is_open(source));
    assert_int_equal(blobs_alive, 0); /* the peer's handles hold it, not ours */
    ob_object_unref(process);
}

static void out_of(struct peer *peer)
{
    struct ob_object *process = process_of(peer);
    uint32_t source = peer_ask(peer, "blob 200"), target = 0;
    assert_status(ob_duplicate(process, source, self, &target, 0, 2, SAME_ACCESS, NULL),
                  STATUS_SUCCESS);
    check_blob(target, 200, BLOB_ACCESS, 2);
    assert_status(ob_handle_flags(target, 2, 0, NULL), STATUS_SUCCESS);
    close_handle(target);
    assert_status(ob_duplicate(process, source, self, &target, 7, 0, CLOSE | SAME_FLAGS, NULL),
                  STATUS_SUCCESS);
    check_blob(target, 200, 7, 1);
    assert_status(peer_ask(peer, "value %u", source), STATUS_INVALID_HANDLE);
    close_handle(target);
    ob_object_unref(process);
}

static void between(struct peer *from, struct peer *to)
{
    struct ob_object *source_process = process_of(from), *target_process = process_of(to);
    uint32_t source = peer_ask(from, "blob 300"), target = 0;
    assert_status(ob_duplicate(source_process, source, target_process, &target, 0, 0,
                               SAME_ACCESS | CLOSE, NULL),
                  STATUS_SUCCESS);
    check_peer_blob(to, target, 300, BLOB_ACCESS, 0);
    assert_status(peer_ask(from, "value %u", source), STATUS_INVALID_HANDLE);
    ob_object_unref(source_process);
    ob_object_unref(target_process);
}

/* Handles of this process, asked for by another one. */
static void asked_by(struct peer *peer)
{
    uint32_t source = make_blob(400, 0xF, 1), target = 0;
    assert_status(
        peer_ask2(peer, &target, "dup %d %u %d 0 0 2", (int)getpid(), source, (int)peer->pid),
        STATUS_SUCCESS);
    check_peer_blob(peer, target, 400, 0xF, 0);
    assert_status(
        peer_ask2(peer, &target, "dup %d %u %d 1 1 1", (int)getpid(), source, (int)getpid()),
        STATUS_SUCCESS);
    check_blob(target, 400, 1, 1);
    close_handle(target);
    assert_false(is_open(source)); /* closed before the new one was made, and its value free */
    assert_int_equal(blobs_alive, 0);
}

static void test_every_way(void **state)
{
    static const int words[] = {64, 32};
    for (int i = 0; i < 2; i++) {
        if (!peer_has_word(words[i]))
            continue;
        struct peer peer = peer_start_word(words[i]);
        into(&peer);
        out_of(&peer);
        asked_by(&peer);
        for (int j = 0; j < 2; j++) {
            if (!peer_has_word(words[j]))
                continue;
            struct peer other = peer_start_word(words[j]);
            between(&peer, &other);
            assert_int_equal(peer_exit(&other, 0), 0);
        }
        assert_int_equal(peer_exit(&peer, 0), 0);
    }
}

static void test_own(void **state)
{
    uint32_t source = make_blob(1, 0x1F, 1), target = 0;
    assert_status(ob_duplicate(self, source, self, &target, 0x1, 0, 0, NULL), STATUS_SUCCESS);
    check_blob(target, 1, 1, 0);
    close_handle(target);
    assert_status(
        ob_duplicate(self, source, self, &target, 0, 0, SAME_ACCESS | SAME_FLAGS | CLOSE, NULL),
        STATUS_SUCCESS);
    check_blob(target, 1, 0x1F, 1);
    /* nobody wants to know: the handle exists all the same */
    assert_status(ob_duplicate(self, target, self, NULL, 0, 0, SAME_ACCESS, NULL), STATUS_SUCCESS);
    close_handle(target);
    assert_int_equal(blobs_alive, 1);
    uint32_t last = 0;
    assert_status(ob_handle_each(true, note_handle, &last), STATUS_SUCCESS);
    close_handle(last);
    assert_int_equal(blobs_alive, 0);
}

/* ---- processes as objects -----------------------------------------------------------------------
 */

static void test_process_handles(void **state)
{
    struct peer first = peer_start(), second = peer_start();
    struct ob_object *one = process_of(&first), *two = process_of(&second), *object = NULL;
    uint32_t target, id;
    /* this process's own handle, in another one */
    assert_status(ob_duplicate(self, 0xFFFFFFFF, one, &target, 0x1000, 0, 0, NULL), STATUS_SUCCESS);
    assert_status(peer_ask2(&first, &id, "process %u", target), STATUS_SUCCESS);
    assert_int_equal(id, getpid());
    /* and back: the same object */
    assert_status(ob_duplicate(one, target, self, &target, 0, 0, SAME_ACCESS, NULL),
                  STATUS_SUCCESS);
    assert_status(ob_handle_get(target, &ob_process_type, &object, NULL), STATUS_SUCCESS);
    assert_ptr_equal(object, self);
    ob_object_unref(object);
    close_handle(target);
    /* one's own pseudo handle, from outside */
    assert_status(ob_duplicate(one, 0xFFFFFFFF, self, &target, 0, 0, SAME_ACCESS, NULL),
                  STATUS_SUCCESS);
    assert_status(ob_handle_get(target, &ob_process_type, &object, NULL), STATUS_SUCCESS);
    assert_ptr_equal(object, one);
    ob_object_unref(object);
    close_handle(target);
    /* a process that has ended, in a third one: its exit code is there, too */
    assert_status(ob_process_terminate(two, 0xC0FFEE), STATUS_SUCCESS);
    peer_reap(&second);
    assert_status(ob_wait(&two, 1, false, 10000, 1, NULL), STATUS_SUCCESS);
    assert_status(ob_duplicate_object(two, one, &target, 0x1F, 0, NULL), STATUS_SUCCESS);
    assert_status(peer_ask2(&first, &id, "process %u", target), STATUS_SUCCESS);
    assert_int_equal(id, ob_process_id(two));
    assert_int_equal(peer_ask(&first, "ended %u", target), 0xC0FFEE);
    ob_object_unref(one);
    ob_object_unref(two);
    peer_exit(&first, 0);
}

/* ---- refusals -----------------------------------------------------------------------------------
 */

static void test_errors(void **state)
{
    struct peer peer = peer_start();
    struct ob_object *process = process_of(&peer);
    static const uint32_t bad[] = {0, 3, 0x7FFFFFFC, 0xFFFFFFFC, 0xFFFFFFFE};
    uint32_t target = 77, local = peer_ask(&peer, "local");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_status(ob_duplicate(self, bad[i], process, &target, 0, 0, 0, NULL),
                      STATUS_INVALID_HANDLE);
        assert_status(ob_duplicate(process, bad[i], self, &target, 0, 0, 0, NULL),
                      STATUS_INVALID_HANDLE);
        assert_status(ob_duplicate(process, bad[i], NULL, NULL, 0, 0, CLOSE, NULL),
                      STATUS_INVALID_HANDLE);
    }
    /* what cannot leave its process stays, and is closed when that was asked for */
    assert_status(ob_duplicate(process, local, self, &target, 0, 0, 0, NULL), STATUS_NOT_SUPPORTED);
    assert_int_equal(peer_ask(&peer, "handle %u", local), 0);
    assert_status(ob_duplicate(process, local, self, &target, 0, 0, CLOSE, NULL),
                  STATUS_NOT_SUPPORTED);
    assert_int_equal(peer_ask(&peer, "handle %u", local), 0xFFFFFFFF);
    assert_int_equal(target, 77);
    assert_status(ob_duplicate(self, 4, NULL, NULL, 0, 0, 0, NULL), STATUS_INVALID_PARAMETER);
    /* only closing */
    uint32_t blob = peer_ask(&peer, "blob 1");
    assert_status(ob_duplicate(process, blob, NULL, NULL, 0, 0, CLOSE, NULL), STATUS_SUCCESS);
    assert_int_equal(peer_ask(&peer, "handle %u", blob), 0xFFFFFFFF);
    /* a process that has ended */
    blob = make_blob(5, 0, 0);
    peer_kill(&peer);
    assert_status(ob_duplicate(self, blob, process, &target, 0, 0, 0, NULL),
                  STATUS_PROCESS_IS_TERMINATING);
    assert_status(ob_duplicate(process, 4, self, &target, 0, 0, 0, NULL),
                  STATUS_PROCESS_IS_TERMINATING);
    assert_status(ob_duplicate(self, blob, process, &target, 0, 0, CLOSE, NULL),
                  STATUS_PROCESS_IS_TERMINATING);
    assert_false(is_open(blob));
    ob_object_unref(process);
}

/* ---- nothing is left behind ---------------------------------------------------------------------
 */

static void test_thousand(void **state)
{
    struct peer peer = peer_start();
    struct ob_object *process = process_of(&peer);
    uint32_t source = make_blob(6, 0x1F, 0), there = 0, back = 0;
    uint32_t local = peer_ask(&peer, "local");
    uint32_t own = count_descriptors(), peer_fds, peer_handles;
    usleep(20000); /* the peer closes what process_of() had opened */
    peer_handles = peer_ask2(&peer, &peer_fds, "count");
    for (int i = 0; i < 1000; i++) {
        assert_status(ob_duplicate(self, source, process, &there, 0, 0, SAME_ACCESS, NULL),
                      STATUS_SUCCESS);
        assert_status(ob_duplicate(process, there, self, &back, 0, 0, SAME_ACCESS | CLOSE, NULL),
                      STATUS_SUCCESS);
        close_handle(back);
        if (i % 10 == 0)
            assert_status(ob_duplicate(process, local, self, &back, 0, 0, 0, NULL),
                          STATUS_NOT_SUPPORTED);
    }
    assert_int_equal(peer_ask2(&peer, &there, "count"), peer_handles);
    for (int i = 0; i < 100 && there != peer_fds; i++) { /* the last connection */
        usleep(10000);
        peer_ask2(&peer, &there, "count");
    }
    assert_int_equal(there, peer_fds);
    assert_int_equal(count_descriptors(), own);
    assert_int_equal(blobs_alive, 1);
    close_handle(source);
    ob_object_unref(process);
    peer_exit(&peer, 0);
}

struct worker {
    pthread_t thread;
    struct ob_object *process;
    uint32_t source, failures;
};

static void *duplicate_on(void *argument)
{
    struct worker *worker = argument;
    uint32_t there, back;
    for (int i = 0; i < 100; i++) {
        if (ob_duplicate(self, worker->source, worker->process, &there, 0, 0, SAME_ACCESS, NULL) ||
            ob_duplicate(worker->process, there, self, &back, 0, 0, CLOSE, NULL) ||
            ob_handle_close(back))
            worker->failures++;
    }
    return NULL;
}

/* More threads than the service has slots, and two processes that ask each other. */
static void test_threads(void **state)
{
    enum { WORKERS = 40 };
    static struct worker workers[WORKERS];
    struct peer peer = peer_start();
    struct ob_object *process = process_of(&peer);
    uint32_t source = make_blob(7, 0x1F, 0), ignored;
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.process = process, .source = source};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, duplicate_on, &workers[i]), 0);
    }
    for (int i = 0; i < 100; i++)
        assert_status(
            peer_ask2(&peer, &ignored, "dup %d %u %d 0 0 2", (int)getpid(), source, (int)peer.pid),
            STATUS_SUCCESS);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    close_handle(source);
    ob_object_unref(process);
    peer_exit(&peer, 0);
}

/* ---- at a given value ---------------------------------------------------------------------------
 */

static nt_status refuse(void *user, uint32_t handle, struct ob_object *object, uint32_t access,
                        uint32_t flags)
{
    ++*(uint32_t *)user;
    return STATUS_ACCESS_DENIED;
}

static void test_insert(void **state)
{
    static const uint32_t values[] = {0x1000, 0x40, 0x2000, 0x1004, 0x400000};
    static const uint32_t never[] = {0, 1, 2, 3, 0x1001, 0x400004, 0x80000000, 0xFFFFFFFC};
    struct ob_object *blob = blob_create(8);
    uint32_t last = 0, calls = 0;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_status(ob_handle_insert(values[i], blob, 0x10 + (uint32_t)i, 1), STATUS_SUCCESS);
        check_blob(values[i], 8, 0x10 + (uint32_t)i, 1);
        assert_status(ob_handle_insert(values[i], blob, 0, 0), STATUS_OBJECT_NAME_COLLISION);
    }
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_status(ob_handle_insert(never[i], blob, 0, 0), STATUS_INVALID_HANDLE);
    /* fresh handles have other values, small ones first */
    uint32_t fresh[40];
    for (int i = 0; i < 40; i++) {
        fresh[i] = ob_handle_create(blob, 0, 0);
        assert_true(fresh[i] != 0 && fresh[i] < 0x100 && fresh[i] != 0x40);
    }
    assert_status(ob_handle_each(false, note_handle, &last), STATUS_SUCCESS);
    assert_int_equal(last, 0x400000);
    last = 0;
    assert_status(ob_handle_each(true, note_handle, &last), STATUS_SUCCESS);
    assert_status(ob_handle_each(true, refuse, &calls), STATUS_ACCESS_DENIED);
    assert_int_equal(calls, 1);
    for (int i = 0; i < 40; i++)
        close_handle(fresh[i]);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        close_handle(values[i]);
    calls = 0;
    assert_status(ob_handle_each(true, refuse, &calls), STATUS_SUCCESS);
    assert_int_equal(calls, 0);
    ob_object_unref(blob);
    assert_int_equal(blobs_alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_insert),  cmocka_unit_test(test_every_way),
        cmocka_unit_test(test_own),     cmocka_unit_test(test_process_handles),
        cmocka_unit_test(test_errors),  cmocka_unit_test(test_thousand),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
