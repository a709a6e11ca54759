/*
 * The letter from a parent to its child: what arrives is what was sent, and what is no letter is
 * refused without keeping a descriptor.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/win32/child.h"
#include "tests/samples.h"

enum { HANDLES = 500 };

/* A letter with many handles, one, two or three descriptors each, and an environment that is larger
 * than a socket's buffer. */
static struct child_letter *big_letter(void)
{
    static struct child_letter letter;
    static uint16_t environment[400000];
    static const char image[] = "/a/program.exe";
    static const uint16_t line[] = {'p', ' ', 0xD800, 'x'};
    for (size_t i = 0; i < sizeof environment / sizeof *environment; i++)
        environment[i] = (uint16_t)(i * 7);
    letter = (struct child_letter){
        .look = {.flags = CHILD_SUSPENDED, .std = {4, 8, 12}, .look = {1, 2, 3}},
        .handles = calloc(HANDLES, sizeof *letter.handles),
        .handle_count = HANDLES,
        .record_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
    };
    letter.texts[CHILD_IMAGE].bytes = image;
    letter.texts[CHILD_IMAGE].size = sizeof image;
    letter.texts[CHILD_LINE].bytes = line;
    letter.texts[CHILD_LINE].size = sizeof line;
    letter.texts[CHILD_ENVIRONMENT].bytes = environment;
    letter.texts[CHILD_ENVIRONMENT].size = sizeof environment;
    for (uint32_t i = 0; i < HANDLES; i++) {
        struct child_handle *handle = &letter.handles[i];
        *handle = (struct child_handle){.handle = 4 * i + 4, .access = i, .flags = 1};
        handle->parcel = (struct ob_parcel){.type = OB_TYPE_EVENT, .fd_count = i % 4};
        handle->parcel.size = i;
        for (uint32_t k = 0; k < handle->parcel.fd_count; k++)
            handle->parcel.fds[k] = open(k % 2 ? "/dev/zero" : "/dev/null", O_RDONLY | O_CLOEXEC);
    }
    return &letter;
}

static bool same_file(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_rdev == b.st_rdev;
}

static bool is_big_letter(const struct child_letter *letter)
{
    struct ke_wide line = child_letter_text(letter, CHILD_LINE);
    struct ke_wide environment = child_letter_text(letter, CHILD_ENVIRONMENT);
    bool same = letter->handle_count == HANDLES && same_file(letter->record_fd, "/dev/null") &&
                letter->look.std[2] == 12 && letter->look.look[2] == 3 &&
                letter->look.flags == CHILD_SUSPENDED && line.length == 4 &&
                line.text[2] == 0xD800 && environment.length == 400000 &&
                environment.text[399999] == (uint16_t)(399999 * 7) &&
                !strcmp(letter->texts[CHILD_IMAGE].bytes, "/a/program.exe");
    for (uint32_t i = 0; i < HANDLES && same; i++) {
        const struct child_handle *handle = &letter->handles[i];
        same = handle->handle == 4 * i + 4 && handle->access == i &&
               handle->parcel.fd_count == i % 4 && handle->parcel.size == i;
        for (uint32_t k = 0; k < i % 4 && same; k++)
            same = same_file(handle->parcel.fds[k], k % 2 ? "/dev/zero" : "/dev/null") &&
                   (fcntl(handle->parcel.fds[k], F_GETFD) & FD_CLOEXEC);
    }
    return same;
}

static void a_letter_arrives_as_it_was_sent(void **state)
{
    int ends[2], status;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct child_letter got;
        close(ends[0]);
        size_t before = held_now().fds;
        bool ok = nt_ok(child_letter_receive(ends[1], &got, NULL)) && is_big_letter(&got);
        child_letter_free(&got);
        _exit(ok && held_now().fds == before ? 0 : 1);
    }
    close(ends[1]);
    struct child_letter *letter = big_letter();
    assert_true(nt_ok(child_letter_send(ends[0], letter)));
    child_letter_free(letter);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ends[0]);
}

/* The receiver dies in the middle: an error, no signal. */
static void nobody_reads(void **state)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    close(ends[1]);
    struct child_letter *letter = big_letter();
    assert_false(nt_ok(child_letter_send(ends[0], letter)));
    child_letter_free(letter);
    close(ends[0]);
}

/* ---- what is no letter --------------------------------------------------------------------------
 */

/* The bytes of a small letter, to be spoiled; its one descriptor goes with the first. */
static size_t small_letter(uint8_t *bytes, size_t size)
{
    int ends[2];
    struct child_handle handle = {.handle = 4, .parcel = {.type = OB_TYPE_EVENT}};
    struct child_letter letter = {.handles = &handle, .handle_count = 1};
    letter.texts[CHILD_IMAGE].bytes = "/x";
    letter.texts[CHILD_IMAGE].size = 3;
    letter.record_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_true(nt_ok(child_letter_send(ends[0], &letter)));
    close(letter.record_fd);
    close(ends[0]);
    size_t used = 0;
    for (ssize_t got; (got = read(ends[1], bytes + used, size - used)) > 0;)
        used += (size_t)got;
    close(ends[1]);
    return used;
}

static void send_raw(int socket, const void *bytes, size_t size, int fd, int fd_count)
{
    char control[CMSG_SPACE(4 * sizeof(int))] = {0};
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count) {
        struct cmsghdr *header = (struct cmsghdr *)control;
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int));
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
        for (int i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(header) + (size_t)i * sizeof(int), &fd, sizeof fd);
    }
    assert_int_equal(sendmsg(socket, &message, MSG_NOSIGNAL), size);
}

static bool is_taken(const void *bytes, size_t size, int fd_count)
{
    struct child_letter letter;
    int ends[2], fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    if (size)
        send_raw(ends[0], bytes, size, fd, fd_count);
    close(fd);
    close(ends[0]);
    bool taken = nt_ok(child_letter_receive(ends[1], &letter, NULL));
    close(ends[1]);
    child_letter_free(&letter);
    return taken;
}

/* Every prefix, every field set to what it cannot be, the wrong number of descriptors. */
static void what_is_no_letter_is_refused(void **state)
{
    uint8_t good[4096], bad[4096];
    size_t size = small_letter(good, sizeof good);
    assert_in_range(size, 200, sizeof good - 1);
    assert_true(is_taken(good, size, 1));
    size_t before = held_now().fds;
    for (size_t i = 0; i < size; i++)
        assert_false(is_taken(good, i, 1));
    for (int fds = 0; fds < 4; fds++)
        assert_int_equal(is_taken(good, size, fds), fds == 1);
    const uint32_t values[] = {1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    for (size_t field = 0; field < 3 + CHILD_TEXTS; field++)
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            memcpy(bad, good, size);
            memcpy(bad + 4 * field, &values[i], 4);
            if (memcmp(bad, good, size) != 0)
                assert_false(is_taken(bad, size, 1));
        }
    assert_int_equal(held_now().fds, before);
}

/* The parcel of the small letter claims descriptors, and data, that it does not have. */
static void parcels_do_not_claim_what_is_not_theirs(void **state)
{
    uint8_t good[4096], bad[4096];
    size_t size = small_letter(good, sizeof good), parcel = size - sizeof(struct ob_parcel);
    const uint32_t counts[] = {1, 3, 4, 0xFFFFFFFF};
    size_t before = held_now().fds;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        memcpy(bad, good, size);
        memcpy(bad + parcel + offsetof(struct ob_parcel, fd_count), &counts[i], 4);
        assert_false(is_taken(bad, size, 1));
    }
    memcpy(bad, good, size);
    memcpy(bad + parcel + offsetof(struct ob_parcel, size), &counts[3], 4);
    assert_false(is_taken(bad, size, 1));
    assert_int_equal(held_now().fds, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_arrives_as_it_was_sent),
        cmocka_unit_test(nobody_reads),
        cmocka_unit_test(what_is_no_letter_is_refused),
        cmocka_unit_test(parcels_do_not_claim_what_is_not_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
