/*
 * Process objects between real processes: opening, adoption of children, exit codes of every kind
 * of end, termination, reaping, id reuse, fork.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loader/ob/process.h"
#include "tests/unit/peer.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"

static struct ob_object *open_process(pid_t id)
{
    struct ob_object *process = NULL;
    struct pe_error err = {0};
    assert_status(ob_process_open((uint32_t)id, &process, &err), STATUS_SUCCESS);
    assert_string_equal(err.text, "");
    return process;
}

static void wait_signaled(struct ob_object *process)
{
    assert_status(ob_wait(&process, 1, false, 10000, 1, NULL), STATUS_SUCCESS);
}

static bool is_signaled(struct ob_object *process)
{
    return ob_wait(&process, 1, false, 0, 1, NULL) == STATUS_SUCCESS;
}

/* ---- objects ------------------------------------------------------------------------------------
 */

static void test_current(void **state)
{
    struct ob_object *current = ob_process_current(), *again = open_process(getpid());
    int64_t creation, end, now;
    assert_non_null(current);
    assert_ptr_equal(current, again);
    assert_true(ob_process_is_current(current));
    assert_int_equal(ob_process_id(current), getpid());
    assert_int_equal(ob_process_exit_code(current), OB_STILL_ACTIVE);
    assert_false(is_signaled(current));
    assert_status(ob_process_terminate(current, 1), STATUS_INVALID_PARAMETER);
    ob_process_times(current, &creation, &end);
    now = INT64_C(116444736000000000) + (int64_t)time(NULL) * 10000000;
    assert_int_equal(end, 0);
    assert_true(creation < now + 10000000 && creation > now - INT64_C(36000000000));
    ob_object_unref(again);
    ob_object_unref(current);
}

static void test_open(void **state)
{
    struct peer peer = peer_start();
    struct ob_object *first = open_process(peer.pid), *second = open_process(peer.pid);
    assert_ptr_equal(first, second); /* one process, one object */
    assert_int_equal(ob_process_id(first), peer.pid);
    assert_false(ob_process_is_current(first));
    assert_int_equal(ob_process_exit_code(first), OB_STILL_ACTIVE);
    assert_false(is_signaled(first));
    peer_exit(&peer, 7);
    wait_signaled(first);
    assert_int_equal(ob_process_exit_code(first), 7);
    ob_object_unref(second);
    ob_object_unref(first);
}

static void test_no_such_process(void **state)
{
    struct ob_object *process = NULL;
    struct peer peer = peer_start();
    pid_t plain = fork();
    if (plain == 0) /* a process in which peldr does not run: a forked child has no service */
        for (;;)
            pause();
    assert_status(ob_process_open((uint32_t)plain, &process, NULL), STATUS_INVALID_CID);
    kill(plain, SIGKILL);
    waitpid(plain, NULL, 0);
    assert_status(ob_process_open((uint32_t)plain, &process, NULL), STATUS_INVALID_CID);
    static const uint32_t never[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_status(ob_process_open(never[i], &process, NULL), STATUS_INVALID_CID);
    peer_kill(&peer);
    assert_status(ob_process_open((uint32_t)peer.pid, &process, NULL), STATUS_INVALID_CID);
}

/* ---- ends ---------------------------------------------------------------------------------------
 */

/* A child whose parent is this process, as CreateProcess makes them. */
static struct ob_object *adopt(pid_t pid, int record_fd)
{
    struct ob_object *process = NULL;
    struct pe_error err = {0};
    int pidfd = pidfd_open(pid, 0);
    assert_true(pidfd >= 0);
    assert_status(ob_process_adopt((uint32_t)pid, pidfd, record_fd, &process, &err),
                  STATUS_SUCCESS);
    return process;
}

static pid_t start_child(int *record_fd)
{
    assert_status(ob_process_record_create(record_fd, NULL), STATUS_SUCCESS);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    return pid;
}

static struct ob_object *child_that(void (*body)(void), bool takes_record)
{
    int record_fd, gate[2];
    char byte;
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    pid_t pid = start_child(&record_fd);
    if (pid == 0) {
        close(gate[1]);
        if (read(gate[0], &byte, 1) != 0) /* until it is adopted */
            _exit(98);
        if (takes_record && !nt_ok(ob_process_record_take(record_fd, NULL)))
            _exit(97);
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        body();
        _exit(96);
    }
    struct ob_object *process = adopt(pid, record_fd);
    close(gate[0]);
    close(gate[1]);
    return process;
}

static void set_code_and_exit(void)
{
    ob_process_set_exit_code(0xC0000005);
    _exit(5);
}

static void plain_exit(void)
{
    _exit(42);
}

static void exit_259(void)
{
    ob_process_set_exit_code(OB_STILL_ACTIVE);
    _exit(3);
}

static void exit_handlers(void)
{
    exit(0x1234);
}

static void die_of_int(void)
{
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
}

static void die_of_kill(void)
{
    raise(SIGKILL);
}

static void die_of_segv(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    raise(SIGSEGV);
}

static void test_exit_codes(void **state)
{
    static const struct {
        void (*body)(void);
        bool takes_record;
        uint32_t code;
    } cases[] = {
        {set_code_and_exit, true, 0xC0000005},
        {exit_259, true, OB_STILL_ACTIVE},
        {plain_exit, true, 42},
        {plain_exit, false, 42},
        {exit_handlers, true, 0x1234},
        {die_of_int, true, 0xC000013A},
        {die_of_kill, true, 1},
        {die_of_kill, false, 1},
        {die_of_segv, true, 0xC0000005},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ob_object *process = child_that(cases[i].body, cases[i].takes_record);
        int64_t creation, end;
        wait_signaled(process);
        assert_int_equal(ob_process_exit_code(process), cases[i].code);
        ob_process_times(process, &creation, &end);
        assert_true(end >= creation - 1000000 && end < creation + INT64_C(600000000));
        assert_true(is_signaled(process)); /* 259 as an exit code, too */
        assert_status(ob_process_terminate(process, 9), STATUS_PROCESS_IS_TERMINATING);
        assert_int_equal(ob_process_exit_code(process), cases[i].code);
        ob_object_unref(process);
    }
}

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

static void test_terminate(void **state)
{
    struct ob_object *process = child_that(sleep_for_ever, true);
    assert_int_equal(ob_process_exit_code(process), OB_STILL_ACTIVE);
    assert_status(ob_process_terminate(process, 0xDEADBEEF), STATUS_SUCCESS);
    wait_signaled(process);
    assert_int_equal(ob_process_exit_code(process), 0xDEADBEEF);
    ob_object_unref(process);

    /* not a child, and seen by a third process as well */
    struct peer peer = peer_start(), watcher = peer_start();
    process = open_process(peer.pid);
    peer_ask(&watcher, "open %d", (int)peer.pid);
    assert_status(ob_process_terminate(process, 77), STATUS_SUCCESS);
    wait_signaled(process);
    assert_int_equal(ob_process_exit_code(process), 77);
    assert_int_equal(peer_ask(&watcher, "code"), 77);
    peer_reap(&peer);
    peer_exit(&watcher, 0);
    ob_object_unref(process);
}

/* One that has ended before its parent comes to adopt it. */
static void test_late_adoption(void **state)
{
    int record_fd;
    int64_t creation, end, now = INT64_C(116444736000000000) + (int64_t)time(NULL) * 10000000;
    siginfo_t info;
    pid_t pid = start_child(&record_fd);
    if (pid == 0)
        _exit(11);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    struct ob_object *process = adopt(pid, record_fd);
    wait_signaled(process);
    assert_int_equal(ob_process_exit_code(process), 11);
    ob_process_times(process, &creation, &end);
    assert_true(creation > now - INT64_C(600000000) && creation < now + 20000000);
    ob_object_unref(process);
}

/* Reaped without an object; the zombie must be gone within a moment. */
static void test_reaping(void **state)
{
    int record_fd;
    pid_t pid = start_child(&record_fd);
    if (pid == 0) {
        usleep(50000);
        _exit(0);
    }
    ob_object_unref(adopt(pid, record_fd));
    for (int i = 0; i < 1000 && kill(pid, 0) == 0; i++)
        usleep(10000);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

/* A host whose children vanish without its doing: the record is what is left. */
static void test_reaped_by_host(void **state)
{
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    struct ob_object *process = child_that(set_code_and_exit, true);
    wait_signaled(process);
    assert_int_equal(ob_process_exit_code(process), 0xC0000005);
    ob_object_unref(process);
    process = child_that(die_of_kill, true);
    wait_signaled(process);
    assert_int_equal(ob_process_exit_code(process), 1);
    ob_object_unref(process);
    signal(SIGCHLD, before);
}

static int ended_calls;

static void count_end(void *user)
{
    __atomic_add_fetch(&ended_calls, 1, __ATOMIC_SEQ_CST);
}

static void test_watch(void **state)
{
    struct ob_watch *told, *withdrawn;
    pid_t pid = fork();
    if (pid == 0)
        sleep_for_ever();
    int pidfd = pidfd_open(pid, 0);
    ended_calls = 0;
    assert_status(ob_watch(pidfd, count_end, NULL, &told, NULL), STATUS_SUCCESS);
    assert_status(ob_watch(pidfd, count_end, NULL, &withdrawn, NULL), STATUS_SUCCESS);
    close(pidfd);
    usleep(20000);
    assert_int_equal(ended_calls, 0);
    ob_unwatch(withdrawn);
    kill(pid, SIGKILL);
    for (int i = 0; i < 1000 && __atomic_load_n(&ended_calls, __ATOMIC_SEQ_CST) == 0; i++)
        usleep(1000);
    usleep(20000);
    assert_int_equal(ended_calls, 1);
    ob_unwatch(told);
    waitpid(pid, NULL, 0);
}

static void *kill_later(void *argument)
{
    usleep(50000);
    kill((pid_t)(intptr_t)argument, SIGKILL);
    return NULL;
}

/* Waits for a process together with an object that other processes share, which sleep elsewhere. */
static void test_mixed_waits(void **state)
{
    struct ob_object *event = ob_event_create(true, false);
    struct ob_parcel parcel;
    assert_status(ob_pack(event, &parcel, NULL), STATUS_SUCCESS); /* from now on it is shared */
    ob_parcel_discard(&parcel);
    for (int all = 0; all < 2; all++) {
        struct peer peer = peer_start();
        struct ob_object *objects[] = {event, open_process(peer.pid)};
        pthread_t killer;
        uint32_t index = 99;
        ob_event_set(event, all);
        assert_status(ob_wait(objects, 2, true, 20, 1, NULL), STATUS_TIMEOUT);
        pthread_create(&killer, NULL, kill_later, (void *)(intptr_t)peer.pid);
        assert_status(ob_wait(objects, 2, all, 10000, 1, &index), STATUS_SUCCESS);
        assert_int_equal(index, all ? 0 : 1);
        pthread_join(killer, NULL);
        peer_reap(&peer);
        ob_object_unref(objects[1]);
    }
    ob_object_unref(event);
}

/* A forked child keeps the objects and can start a service of its own. */
static void test_fork(void **state)
{
    struct peer peer = peer_start();
    struct ob_object *process = open_process(peer.pid), *current = ob_process_current();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bool good = ob_process_is_current(current) &&
                    ob_process_id(current) == (uint32_t)getpid() &&
                    nt_ok(ob_service_start(NULL)) && /* arms the watch again */
                    ob_process_terminate(process, 5) == STATUS_SUCCESS &&
                    ob_wait(&process, 1, false, 10000, 1, NULL) == STATUS_SUCCESS &&
                    ob_process_exit_code(process) == 5;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    wait_signaled(process);
    peer_reap(&peer);
    ob_object_unref(process);
    ob_object_unref(current);
}

static void test_list(void **state)
{
    struct peer peers[3];
    uint32_t ids[1024];
    for (int i = 0; i < 3; i++)
        peers[i] = peer_start();
    assert_status(ob_service_start(NULL), STATUS_SUCCESS);
    uint32_t count = ob_process_list(ids, 1024), found = 0;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(i == 0 || ids[i] > ids[i - 1]);
        found += ids[i] == (uint32_t)getpid();
        for (int j = 0; j < 3; j++)
            found += ids[i] == (uint32_t)peers[j].pid;
    }
    assert_int_equal(found, 4);
    assert_int_equal(ob_process_list(ids, 2), 2);
    assert_int_equal(ob_process_list(ids, 0), 0);
    for (int i = 0; i < 3; i++)
        peer_kill(&peers[i]);
    count = ob_process_list(ids, 1024);
    for (uint32_t i = 0; i < count; i++)
        for (int j = 0; j < 3; j++)
            assert_int_not_equal(ids[i], peers[j].pid);
}

static int set_up(void **state)
{
    if (tempdir_create() != 0 || setenv("XDG_RUNTIME_DIR", tempdir, 1) != 0)
        return -1;
    return nt_ok(ob_service_start(NULL)) ? 0 : -1;
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_current),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_no_such_process),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_terminate),
        cmocka_unit_test(test_late_adoption),
        cmocka_unit_test(test_reaping),
        cmocka_unit_test(test_reaped_by_host),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_mixed_waits),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
