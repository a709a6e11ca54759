/*
 * The service against peers that are broken, slow, hostile, stopped, killed, or somebody else's.
 *
 * The wire format is written down here a second time: a test that used the code's own structure
 * could not see it change, and both word sizes must agree on it.
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
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "loader/ob/process.h"
#include "tests/unit/blob.h"
#include "tests/unit/peer.h"
#include "tests/unit/status.h"

enum { MAGIC = 0x31444C50, HEADER = 24 };

struct header {
    uint32_t magic, request, status, size, fd_count, reserved;
};

static struct ob_object *self;

/* ---- requests of the test's own -----------------------------------------------------------------
 */

/* MODULES: so many bytes as the request says. */
static void answer_bytes(struct ob_message *request, struct ob_message *reply)
{
    uint32_t size;
    if (!ob_message_get(request, &size, sizeof size) || size > 65u << 20) {
        reply->status = STATUS_INVALID_PARAMETER;
        return;
    }
    reply->bytes = malloc(size);
    reply->size = size;
    for (uint32_t i = 0; i < size; i++)
        reply->bytes[i] = (uint8_t)(i * 7);
}

static int descriptors_seen;

/* THREAD: counts what comes, keeps nothing. */
static void answer_count(struct ob_message *request, struct ob_message *reply)
{
    descriptors_seen = (int)request->fd_count;
    reply->status = request->size;
}

static int set_up(void **state)
{
    blob_register();
    ob_service_register(OB_REQUEST_MODULES, answer_bytes);
    ob_service_register(OB_REQUEST_THREAD, answer_count);
    self = ob_process_current();
    return self && nt_ok(ob_service_start(NULL)) ? 0 : -1;
}

/* ---- by hand ------------------------------------------------------------------------------------
 */

static int connect_to(pid_t pid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "peldr/%u/%u",
                          (unsigned)geteuid(), (unsigned)pid);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void send_with(int to, const void *bytes, size_t size, int fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(16 * sizeof(int))];
    } control = {0};
    int many[16];
    struct iovec span = {(void *)bytes, size};
    struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1};
    for (int i = 0; i < fds; i++)
        many[i] = 0;
    if (fds) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE((size_t)fds * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        *rights = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                   .cmsg_type = SCM_RIGHTS,
                                   .cmsg_len = CMSG_LEN((size_t)fds * sizeof(int))};
        memcpy(CMSG_DATA(rights), many, (size_t)fds * sizeof(int));
    }
    sendmsg(to, &message, MSG_NOSIGNAL);
}

/* The status of the reply, or UINT32_MAX when the connection was broken off. */
static uint32_t reply_of(int fd)
{
    struct header header;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 15000), 1);
    if (recv(fd, &header, sizeof header, MSG_WAITALL) != HEADER)
        return UINT32_MAX;
    assert_int_equal(header.magic, MAGIC);
    return header.status;
}

/* That it still answers. */
static void check_alive(void)
{
    const uint32_t size = 5;
    struct ob_message request = {.request = OB_REQUEST_MODULES}, reply;
    assert_status(ob_message_set(&request, &size, sizeof size), STATUS_SUCCESS);
    assert_status(ob_service_call((uint32_t)getpid(), &request, &reply, NULL), STATUS_SUCCESS);
    assert_int_equal(reply.size, 5);
    ob_message_release(&reply);
    ob_message_release(&request);
}

/* How many are open once the service has closed what it is done with. */
static uint32_t settled_descriptors(void)
{
    uint32_t count = count_descriptors();
    for (int same = 0; same < 5; same++) {
        usleep(10000);
        uint32_t now = count_descriptors();
        same = now == count ? same : -1;
        count = now;
    }
    return count;
}

/* ---- messages -----------------------------------------------------------------------------------
 */

static void test_sizes(void **state)
{
    static const uint32_t sizes[] = {0, 1, 4095, 65536, 1000003, 64u << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ob_message request = {.request = OB_REQUEST_MODULES}, reply;
        assert_status(ob_message_set(&request, &sizes[i], sizeof sizes[i]), STATUS_SUCCESS);
        assert_status(ob_process_call(self, &request, &reply, NULL), STATUS_SUCCESS);
        assert_int_equal(reply.size, sizes[i]);
        for (uint32_t k = 0; k < reply.size; k++)
            if (reply.bytes[k] != (uint8_t)(k * 7))
                fail_msg("byte %u of %u is wrong", k, reply.size);
        ob_message_release(&reply);
        ob_message_release(&request);
    }
    /* more than a reply may have */
    const uint32_t size = (64u << 20) + 1;
    struct ob_message request = {.request = OB_REQUEST_MODULES}, reply;
    assert_status(ob_message_set(&request, &size, sizeof size), STATUS_SUCCESS);
    assert_status(ob_process_call(self, &request, &reply, NULL), STATUS_INSUFFICIENT_RESOURCES);
    ob_message_release(&reply);
    ob_message_release(&request);
}

static void test_requests(void **state)
{
    static const struct {
        uint32_t request;
        nt_status status;
    } cases[] = {
        {0, (nt_status)STATUS_NOT_IMPLEMENTED},
        {OB_REQUEST_UNMAP_VIEW, (nt_status)STATUS_NOT_IMPLEMENTED}, /* nobody registered it here */
        {OB_REQUEST_COUNT, (nt_status)STATUS_NOT_IMPLEMENTED},
        {UINT32_MAX, (nt_status)STATUS_NOT_IMPLEMENTED},
        {OB_REQUEST_DUPLICATE_IN, (nt_status)STATUS_INVALID_PARAMETER},
        {OB_REQUEST_DUPLICATE_OUT, (nt_status)STATUS_INVALID_PARAMETER},
        {OB_REQUEST_CLOSE, (nt_status)STATUS_INVALID_PARAMETER},
        {OB_REQUEST_MODULES, (nt_status)STATUS_INVALID_PARAMETER},
        {OB_REQUEST_PROCESS, STATUS_SUCCESS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ob_message request = {.request = cases[i].request}, reply;
        assert_status(ob_process_call(self, &request, &reply, NULL), cases[i].status);
        ob_message_release(&reply);
    }
}

/* A parcel in a request whose fields contradict each other. */
static void test_hostile_parcels(void **state)
{
    static const struct {
        uint32_t type, size, fd_count, cut; /* `cut`: bytes missing at the end */
        int fds;
    } cases[] = {
        {BLOB_TYPE, 4, 1, 0, 0},          {BLOB_TYPE, 4, 0, 0, 1},
        {BLOB_TYPE, 4, 2, 0, 1},          {BLOB_TYPE, 4, 1, 1, 1},
        {BLOB_TYPE, 4, 1, 19, 1},         {BLOB_TYPE, 4, 1, 20, 1},
        {BLOB_TYPE, 5, 1, 0, 1},          {BLOB_TYPE, 513, 1, 0, 1},
        {BLOB_TYPE, UINT32_MAX, 1, 0, 1}, {OB_TYPE_NONE, 4, 1, 0, 1},
        {OB_TYPE_COUNT, 4, 1, 0, 1},      {UINT32_MAX, 4, 1, 0, 1},
        {BLOB_TYPE, 4, 3, 0, 3},          {BLOB_TYPE, 4, UINT32_MAX, 0, 1},
        {BLOB_TYPE, 4, 1, 0, 1},
    };
    uint32_t before = settled_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint32_t words[] = {
            MAGIC,
            OB_REQUEST_DUPLICATE_IN,
            0,
            36 - cases[i].cut,
            (uint32_t)cases[i].fds,
            0,
            0,
            0,
            0,
            0, /* handle, access, flags, options */
            cases[i].type,
            cases[i].size,
            cases[i].fd_count,
            0, /* the parcel */
            1234,
        };
        int fd = connect_to(getpid());
        send_with(fd, words, sizeof words - cases[i].cut, cases[i].fds);
        assert_true((int32_t)reply_of(fd) < 0);
        close(fd);
    }
    check_alive();
    assert_int_equal(settled_descriptors(), before);
    assert_int_equal(blobs_alive, 0);
}

/* Bytes that are no message. `fds` go with the first of them. */
static void test_hostile_bytes(void **state)
{
    static const struct {
        struct header header;
        size_t sent; /* of the header */
        int fds;
    } cases[] = {
        {{0, OB_REQUEST_PROCESS, 0, 0, 0, 0}, HEADER, 0},
        {{MAGIC ^ 1, OB_REQUEST_PROCESS, 0, 0, 0, 0}, HEADER, 0},
        {{MAGIC, OB_REQUEST_PROCESS, 0, (1u << 20) + 1, 0, 0}, HEADER, 0},
        {{MAGIC, OB_REQUEST_PROCESS, 0, UINT32_MAX, 0, 0}, HEADER, 0},
        {{MAGIC, OB_REQUEST_THREAD, 0, 0, 1, 0}, HEADER, 0},
        {{MAGIC, OB_REQUEST_THREAD, 0, 0, 0, 0}, HEADER, 1},
        {{MAGIC, OB_REQUEST_THREAD, 0, 0, 3, 0}, HEADER, 4},
        {{MAGIC, OB_REQUEST_THREAD, 0, 0, 4, 0}, HEADER, 4},
        {{MAGIC, OB_REQUEST_THREAD, 0, 0, 16, 0}, HEADER, 16},
        {{MAGIC, OB_REQUEST_THREAD, 0, 0, UINT32_MAX, 0}, HEADER, 3},
        {{MAGIC, OB_REQUEST_THREAD, 0, 8, 2, 0}, HEADER, 16}, /* and bytes to come */
    };
    uint32_t before = settled_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = connect_to(getpid());
        descriptors_seen = -1;
        send_with(fd, &cases[i].header, cases[i].sent, cases[i].fds);
        assert_int_equal(reply_of(fd), UINT32_MAX);
        assert_int_equal(descriptors_seen, -1);
        close(fd);
    }
    /* descriptors with the bytes instead of the header */
    const struct header header = {MAGIC, OB_REQUEST_THREAD, 0, 4, 1, 0};
    int fd = connect_to(getpid());
    send_with(fd, &header, HEADER, 0);
    send_with(fd, "abcd", 4, 1);
    assert_int_equal(reply_of(fd), UINT32_MAX);
    close(fd);
    /* three of them, byte by byte: nothing wrong with that */
    const struct header good = {MAGIC, OB_REQUEST_THREAD, 0, 4, 3, 0};
    fd = connect_to(getpid());
    send_with(fd, &good, 1, 3);
    for (int i = 1; i < HEADER; i++)
        send_with(fd, (const char *)&good + i, 1, 0);
    for (int i = 0; i < 4; i++)
        send_with(fd, &"abcd"[i], 1, 0);
    assert_int_equal(reply_of(fd), 4);
    assert_int_equal(descriptors_seen, 3);
    close(fd);
    check_alive();
    assert_int_equal(settled_descriptors(), before);
}

/* Random bytes, with a fixed seed. */
static void test_noise(void **state)
{
    uint32_t seed = 1, before = settled_descriptors();
    for (int i = 0; i < 500; i++) {
        uint32_t words[40];
        for (int k = 0; k < 40; k++)
            words[k] = seed = seed * 1664525 + 1013904223;
        words[0] = i % 4 ? MAGIC : words[0];
        words[1] %= OB_REQUEST_COUNT + 1;
        words[3] %= i % 3 ? 137 : UINT32_MAX;
        words[4] %= 5;
        int fd = connect_to(getpid());
        send_with(fd, words, sizeof words, (int)(words[5] % 5));
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    check_alive();
    assert_int_equal(settled_descriptors(), before);
}

/* ---- slow ones ----------------------------------------------------------------------------------
 */

static int64_t now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Connections that say nothing, or half of something, or never read: they take every slot and are
 * thrown out after some seconds; a call that comes meanwhile is answered then. */
static void test_silent(void **state)
{
    enum { SILENT = 128 };
    int fds[SILENT];
    const struct header half = {MAGIC, OB_REQUEST_THREAD, 0, 100, 0, 0};
    const uint32_t greedy[] = {MAGIC, OB_REQUEST_MODULES, 0, 4, 0, 0, 8u << 20};
    uint32_t before = settled_descriptors();
    for (int i = 0; i < SILENT; i++) {
        fds[i] = connect_to(getpid());
        if (i % 3 == 0)
            send_with(fds[i], &half, i % 2 ? HEADER : 7, 1);
        else if (i % 3 == 1)
            send_with(fds[i], greedy, sizeof greedy, 0);
    }
    int64_t start = now_milliseconds();
    check_alive();
    assert_true(now_milliseconds() - start < 10000);
    for (int i = 0; i < SILENT; i++)
        close(fds[i]);
    check_alive();
    assert_int_equal(settled_descriptors(), before);
}

/* A process that is stopped: the caller gives up, in time. What it had asked for is not done once
 * the other one wakes up. */
static void test_stopped(void **state)
{
    struct peer peer = peer_start();
    struct ob_object *process = NULL, *blob = blob_create(1);
    uint32_t target, handles = peer_ask(&peer, "count");
    assert_status(ob_process_open((uint32_t)peer.pid, &process, NULL), STATUS_SUCCESS);
    kill(peer.pid, SIGSTOP);
    assert_int_equal(waitpid(peer.pid, NULL, WUNTRACED), peer.pid);
    int64_t start = now_milliseconds();
    assert_status(ob_duplicate_object(blob, process, &target, 0, 0, NULL), STATUS_IO_TIMEOUT);
    int64_t took = now_milliseconds() - start;
    assert_true(took >= 9000 && took < 15000);
    kill(peer.pid, SIGCONT);
    usleep(50000);
    assert_int_equal(peer_ask(&peer, "count"), handles);
    ob_object_unref(blob);
    ob_object_unref(process);
    peer_exit(&peer, 0);
}

/* ---- killed ones --------------------------------------------------------------------------------
 */

static void *kill_soon(void *argument)
{
    struct peer *peer = argument;
    usleep((useconds_t)(rand() % 3000));
    kill(peer->pid, SIGKILL);
    return NULL;
}

/* kill -9 of the one that is asked, at any moment: an error, never a hang; nothing is left. */
static void test_killed(void **state)
{
    struct ob_object *blob = blob_create(9);
    uint32_t before = settled_descriptors();
    srand(1);
    for (int round = 0; round < 40; round++) {
        struct peer peer = peer_start();
        struct ob_object *process = NULL;
        uint32_t there, back;
        pthread_t killer;
        nt_status status;
        assert_status(ob_process_open((uint32_t)peer.pid, &process, NULL), STATUS_SUCCESS);
        pthread_create(&killer, NULL, kill_soon, &peer);
        do {
            status = ob_duplicate_object(blob, process, &there, 1, 0, NULL);
            if (nt_ok(status))
                status = ob_duplicate(process, there, self, &back, 0, 0, 1, NULL);
            if (nt_ok(status))
                ob_handle_close(back);
        } while (nt_ok(status));
        /* the end may be seen before the socket is gone, or the other way round */
        assert_true(status == (nt_status)STATUS_PROCESS_IS_TERMINATING ||
                    status == (nt_status)STATUS_INVALID_CID);
        pthread_join(killer, NULL);
        peer_reap(&peer);
        assert_status(ob_wait(&process, 1, false, 10000, 1, NULL), STATUS_SUCCESS);
        ob_object_unref(process);
    }
    assert_int_equal(blobs_alive, 1);
    ob_object_unref(blob);
    assert_int_equal(settled_descriptors(), before - 1);
}

/* kill -9 of the one that asks, at any moment: the service goes on and keeps nothing. */
static void test_killed_callers(void **state)
{
    struct ob_object *blob = blob_create(10);
    uint32_t source = ob_handle_create(blob, 0x1F, 0), before = settled_descriptors();
    ob_object_unref(blob);
    srand(2);
    for (int round = 0; round < 40; round++) {
        struct peer peer = peer_start();
        for (int i = 0; i < 50; i++)
            peer_tell(&peer, "dup %d %u %d 0 0 2", (int)getpid(), source, (int)peer.pid);
        usleep((useconds_t)(rand() % 3000));
        peer_kill(&peer);
    }
    check_alive();
    assert_int_equal(blobs_alive, 1);
    assert_status(ob_handle_close(source), STATUS_SUCCESS);
    assert_int_equal(settled_descriptors(), before - 1);
}

/* ---- no descriptors left ------------------------------------------------------------------------
 */

/* The limit on descriptor numbers that leaves a process `room` of them. */
static rlim_t limit_for(pid_t pid, uint32_t room)
{
    char path[64];
    for (rlim_t number = 0;; number++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)pid, (unsigned)number);
        struct stat st;
        if (lstat(path, &st) == 0)
            continue;
        if (room-- == 0)
            return number;
    }
}

/* A process at its limit refuses, recovers, and does not spin meanwhile. */
static void test_no_descriptors(void **state)
{
    struct peer peer = peer_start();
    struct ob_object *process = NULL, *blob = blob_create(11);
    struct rlimit limit, none;
    uint32_t target;
    clockid_t clock;
    struct timespec used;
    assert_status(ob_process_open((uint32_t)peer.pid, &process, NULL), STATUS_SUCCESS);
    usleep(20000);
    assert_int_equal(prlimit(peer.pid, RLIMIT_NOFILE, NULL, &limit), 0);
    /* room for the connection, not for the descriptor */
    for (uint32_t room = 0; room < 2; room++) {
        none = (struct rlimit){limit_for(peer.pid, room), limit.rlim_max};
        assert_int_equal(prlimit(peer.pid, RLIMIT_NOFILE, &none, NULL), 0);
        struct header header = {MAGIC, OB_REQUEST_PROCESS, 0, 0, 0, 0};
        int fd = connect_to(peer.pid);
        send_with(fd, &header, HEADER, 0);
        usleep(300000);
        close(fd);
        if (room == 1)
            assert_false(nt_ok(ob_duplicate_object(blob, process, &target, 0, 0, NULL)));
    }
    assert_int_equal(clock_getcpuclockid(peer.pid, &clock), 0); /* of all its threads */
    assert_int_equal(clock_gettime(clock, &used), 0);
    assert_true(used.tv_sec == 0 && used.tv_nsec < 300000000);
    assert_int_equal(prlimit(peer.pid, RLIMIT_NOFILE, &limit, NULL), 0);
    assert_status(ob_duplicate_object(blob, process, &target, 0, 0, NULL), STATUS_SUCCESS);
    ob_object_unref(blob);
    ob_object_unref(process);
    peer_exit(&peer, 0);
}

/* ---- other users, taken names -------------------------------------------------------------------
 */

static void try_as_another_user(pid_t pid)
{
    struct header header = {MAGIC, OB_REQUEST_PROCESS, 0, 0, 0, 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ob_object *process;
    char byte;
    int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "peldr/%u/%u",
                          (unsigned)geteuid(), (unsigned)pid);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (setgid(12345) != 0 || setuid(12345) != 0 ||
        connect(fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) != 0)
        _exit(2);
    send(fd, &header, HEADER, MSG_NOSIGNAL);
    if (recv(fd, &byte, 1, 0) > 0)
        _exit(3); /* it answered */
    _exit(ob_process_open((uint32_t)pid, &process, NULL) == (nt_status)STATUS_INVALID_CID ? 0 : 4);
}

static void test_other_user(void **state)
{
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    pid_t target = getpid(), pid = fork();
    if (pid == 0)
        try_as_another_user(target);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    check_alive();
}

/* A process that has taken the name of another one: the real one is found nevertheless, and who
 * only pretends is not asked. */
static void test_taken_name(void **state)
{
    int gate[2], record_fd;
    char byte;
    assert_int_equal(pipe(gate), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(gate[1]);
        if (read(gate[0], &byte, 1) != 1 || !nt_ok(ob_service_start(NULL)))
            _exit(1);
        for (;;)
            pause();
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "peldr/%u/%u",
                          (unsigned)geteuid(), (unsigned)pid);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)),
                     0);
    assert_int_equal(listen(fd, 5), 0);
    struct ob_object *process = NULL;
    assert_status(ob_process_open((uint32_t)pid, &process, NULL), STATUS_INVALID_CID);
    assert_int_equal(write(gate[1], "x", 1), 1);
    nt_status status = STATUS_INVALID_CID;
    for (int i = 0; i < 500 && !nt_ok(status); i++) {
        usleep(10000);
        status = ob_process_open((uint32_t)pid, &process, NULL);
    }
    assert_status(status, STATUS_SUCCESS);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ob_object_unref(process);
    close(fd);
    close(gate[0]);
    close(gate[1]);
    record_fd = -1;
    assert_status(ob_process_record_take(record_fd, NULL), STATUS_INVALID_PARAMETER);
}

/* The service does not call services; a process may call itself. */
static nt_status status_inside;

static void answer_by_asking(struct ob_message *request, struct ob_message *reply)
{
    struct ob_message inner = {.request = OB_REQUEST_PROCESS}, answer;
    status_inside = ob_service_call((uint32_t)getpid(), &inner, &answer, NULL);
    ob_message_release(&answer);
}

static void test_no_calls_inside(void **state)
{
    struct ob_message request = {.request = OB_REQUEST_REGIONS}, reply;
    ob_service_register(OB_REQUEST_REGIONS, answer_by_asking);
    assert_status(ob_service_call((uint32_t)getpid(), &request, &reply, NULL), STATUS_SUCCESS);
    assert_status(status_inside, STATUS_NOT_SUPPORTED);
    ob_message_release(&reply);
}

/* The thread takes no signal of the host. */
static volatile pthread_t signalled;

static void note_signal(int number)
{
    signalled = pthread_self();
}

static void test_signals(void **state)
{
    signal(SIGUSR1, note_signal);
    for (int i = 0; i < 100; i++) {
        signalled = 0;
        kill(getpid(), SIGUSR1);
        while (!signalled)
            sched_yield();
        assert_true(pthread_equal(signalled, pthread_self()));
    }
    signal(SIGUSR1, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),           cmocka_unit_test(test_requests),
        cmocka_unit_test(test_hostile_parcels), cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_noise),           cmocka_unit_test(test_silent),
        cmocka_unit_test(test_stopped),         cmocka_unit_test(test_killed),
        cmocka_unit_test(test_killed_callers),  cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_other_user),      cmocka_unit_test(test_taken_name),
        cmocka_unit_test(test_no_calls_inside), cmocka_unit_test(test_signals),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
