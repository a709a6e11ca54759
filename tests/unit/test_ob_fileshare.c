/*
 * Share modes as locks: which claims conflict, for every kind of description, between processes,
 * and gone with the process that made them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ob/fileshare.h"
#include "tests/unit/status.h"
#include "tests/unit/tempdir.h"

enum { R = OB_SHARE_READ, W = OB_SHARE_WRITE, D = OB_SHARE_DELETE, ALL = R | W | D };

static int set_up(void **state)
{
    return tempdir_create();
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

static int open_file(const char *name, int flags)
{
    int fd = open(tempdir_path(name), flags | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

/* The rule: each must allow what the other has; who has nothing is out of it. */
static bool must_conflict(uint32_t access1, uint32_t share1, uint32_t access2, uint32_t share2)
{
    return access1 && access2 && ((access2 & ~share1) || (access1 & ~share2));
}

static void test_every_pair(void **state)
{
    static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR};
    uint32_t pairs = 0;
    for (uint32_t pair = 0; pair < 8 * 8 * 8 * 8; pair++) {
        uint32_t a1 = pair & 7, s1 = pair >> 3 & 7, a2 = pair >> 6 & 7, s2 = pair >> 9;
        for (int mode = 0; mode < 9; mode++) {
            int one = open_file("pair", modes[mode % 3]), two = open_file("pair", modes[mode / 3]);
            assert_status(ob_fileshare_claim(one, a1, s1), STATUS_SUCCESS);
            bool conflict = must_conflict(a1, s1, a2, s2);
            nt_status status = ob_fileshare_claim(two, a2, s2);
            if (conflict != (status == (nt_status)STATUS_SHARING_VIOLATION))
                fail_msg("%u/%u after %u/%u: %s", a2, s2, a1, s1, nt_status_name(status));
            close(one);
            /* Nothing was left behind by the one that failed. */
            int three = open_file("pair", O_RDWR);
            if (conflict)
                assert_status(ob_fileshare_claim(three, ALL, 0), STATUS_SUCCESS);
            close(two);
            close(three);
            pairs++;
        }
    }
    print_message("%u pairs of claims\n", pairs);
}

static void test_a_third_one(void **state)
{
    int one = open_file("third", O_RDONLY), two = open_file("third", O_RDONLY);
    int three = open_file("third", O_RDWR);
    assert_status(ob_fileshare_claim(one, R, R), STATUS_SUCCESS);
    assert_status(ob_fileshare_claim(two, R, R), STATUS_SUCCESS);
    assert_true(ob_fileshare_open_elsewhere(three));
    close(one);
    assert_status(ob_fileshare_claim(three, W, ALL), STATUS_SHARING_VIOLATION);
    assert_status(ob_fileshare_check(three, W), STATUS_SHARING_VIOLATION);
    assert_status(ob_fileshare_check(three, R), STATUS_SUCCESS);
    close(two);
    assert_status(ob_fileshare_claim(three, W, ALL), STATUS_SUCCESS);
    assert_false(ob_fileshare_open_elsewhere(three)); /* one's own claim does not count */
    close(three);
}

static void test_the_claim_is_the_descriptions(void **state)
{
    int one = open_file("dup", O_RDWR), other = open_file("dup", O_RDWR);
    assert_status(ob_fileshare_claim(one, W, 0), STATUS_SUCCESS);
    int copy = fcntl(one, F_DUPFD_CLOEXEC, 0);
    close(one);
    assert_status(ob_fileshare_claim(other, R, ALL), STATUS_SHARING_VIOLATION);
    close(copy);
    assert_status(ob_fileshare_claim(other, R, ALL), STATUS_SUCCESS);
    close(other);
}

/* More write-only descriptors than one stripe has bytes are no failure. */
static void test_many_write_only(void **state)
{
    int fds[100];
    for (int i = 0; i < 100; i++) {
        fds[i] = open_file("many", O_WRONLY);
        assert_status(ob_fileshare_claim(fds[i], W, W), STATUS_SUCCESS);
    }
    int reader = open_file("many", O_RDONLY);
    assert_status(ob_fileshare_claim(reader, R, ALL), STATUS_SHARING_VIOLATION);
    for (int i = 0; i < 100; i++)
        close(fds[i]);
    assert_status(ob_fileshare_claim(reader, R, ALL), STATUS_SUCCESS);
    close(reader);
}

static void test_uses(void **state)
{
    int section = open_file("use", O_RDONLY), fd = open_file("use", O_RDWR);
    ob_fileshare_use(section, OB_FILE_MAPPED);
    assert_true(ob_fileshare_used(fd, OB_FILE_MAPPED));
    assert_false(ob_fileshare_used(fd, OB_FILE_IMAGE));
    assert_false(ob_fileshare_used(section, OB_FILE_MAPPED)); /* another's use is meant */
    assert_status(ob_fileshare_claim(fd, ALL, 0), STATUS_SUCCESS);
    close(fd);
    fd = open_file("use", O_RDWR);
    ob_fileshare_use(section, OB_FILE_WRITABLE);
    assert_status(ob_fileshare_claim(fd, R, R | D), STATUS_SHARING_VIOLATION);
    assert_status(ob_fileshare_claim(fd, R, R | W), STATUS_SUCCESS);
    close(fd);
    fd = open_file("use", O_RDWR);
    ob_fileshare_use(section, OB_FILE_IMAGE);
    assert_status(ob_fileshare_claim(fd, W, ALL), STATUS_SHARING_VIOLATION);
    assert_status(ob_fileshare_check(fd, W), STATUS_SHARING_VIOLATION);
    assert_status(ob_fileshare_claim(fd, R | D, ALL), STATUS_SUCCESS);
    close(section);
    assert_status(ob_fileshare_claim(fd, W, ALL), STATUS_SUCCESS);
    close(fd);
}

/* A view keeps what its description says; the descriptor may be gone. */
static void test_a_mapping_keeps_the_use(void **state)
{
    int section = open_file("map", O_RDWR), fd = open_file("map", O_RDWR);
    assert_int_equal(ftruncate(section, 4096), 0);
    ob_fileshare_use(section, OB_FILE_MAPPED);
    void *view = mmap(NULL, 4096, PROT_READ, MAP_SHARED, section, 0);
    close(section);
    assert_true(ob_fileshare_used(fd, OB_FILE_MAPPED));
    munmap(view, 4096);
    assert_false(ob_fileshare_used(fd, OB_FILE_MAPPED));
    close(fd);
}

static void test_reopened_is_another(void **state)
{
    int one = open_file("again", O_RDWR), two;
    assert_status(ob_fileshare_claim(one, R, 0), STATUS_SUCCESS);
    assert_int_equal(unlink(tempdir_path("again")), 0); /* the path is not what leads there */
    assert_status(ob_file_reopen(one, O_RDONLY, &two), STATUS_SUCCESS);
    assert_status(ob_fileshare_claim(two, R, ALL), STATUS_SHARING_VIOLATION);
    close(one);
    assert_status(ob_fileshare_claim(two, R, ALL), STATUS_SUCCESS);
    close(two);
    assert_status(ob_file_reopen(two, O_RDONLY, &one), STATUS_UNSUCCESSFUL);
}

static void test_what_cannot_carry_locks(void **state)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), other = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_status(ob_fileshare_claim(null, ALL, 0), STATUS_SUCCESS);
    assert_status(ob_fileshare_claim(other, ALL, 0), STATUS_SUCCESS);
    close(null);
    close(other);
    int path = open(tempdir_path("pair"), O_PATH | O_CLOEXEC), fd = open_file("pair", O_RDWR);
    assert_status(ob_fileshare_claim(path, R, 0), STATUS_SUCCESS);
    assert_status(ob_fileshare_claim(fd, ALL, 0), STATUS_SUCCESS);
    close(path);
    close(fd);
    int one = open(tempdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int two = open(tempdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_status(ob_fileshare_claim(one, R, R), STATUS_SUCCESS);
    assert_status(ob_fileshare_claim(two, D, ALL), STATUS_SHARING_VIOLATION);
    close(one);
    close(two);
}

/* Locks of programs that know nothing of this neither deny nor are denied by accident. */
static void test_foreign_locks(void **state)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int foreign = open_file("foreign", O_RDWR), fd = open_file("foreign", O_RDWR);
    assert_int_equal(fcntl(foreign, F_OFD_SETLK, &whole), 0);
    assert_status(ob_fileshare_claim(fd, ALL, 0), STATUS_SUCCESS);
    close(fd);
    close(foreign);
}

/* ---- other processes ---- */

/* A child that claims and then waits to be killed. */
static pid_t holder(const char *name, uint32_t access, uint32_t share)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open_file(name, O_RDWR);
        if (write(ready[1], ob_fileshare_claim(fd, access, share) ? "-" : "+", 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, '+');
    close(ready[0]);
    return child;
}

static void test_killed_holder(void **state)
{
    pid_t child = holder("killed", W, R);
    int fd = open_file("killed", O_RDWR);
    assert_status(ob_fileshare_claim(fd, W, ALL), STATUS_SHARING_VIOLATION);
    assert_status(ob_fileshare_claim(fd, R, R), STATUS_SHARING_VIOLATION);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_status(ob_fileshare_claim(fd, ALL, 0), STATUS_SUCCESS);
    close(fd);
}

enum { RACERS = 4, ROUNDS = 200 };

/* Everybody wants the file alone at the same moment: exactly one gets it, in every round. */
static int race(int start, int result)
{
    char byte;
    for (int round = 0; round < ROUNDS; round++) {
        if (read(start, &byte, 1) != 1)
            return 1;
        int fd = open_file("race", O_RDWR);
        char got = nt_ok(ob_fileshare_claim(fd, ALL, 0)) ? '+' : '-';
        if (write(result, &got, 1) != 1 || read(start, &byte, 1) != 1)
            return 1;
        close(fd);
        if (write(result, ".", 1) != 1)
            return 1;
    }
    return 0;
}

static void collect(int result, char *bytes)
{
    for (int got = 0; got < RACERS;) {
        ssize_t n = read(result, bytes + got, (size_t)(RACERS - got));
        assert_true(n > 0);
        got += (int)n;
    }
}

static void test_racing_claims(void **state)
{
    int start[RACERS][2], result[2];
    pid_t children[RACERS];
    char bytes[RACERS];
    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(pipe2(start[i], O_CLOEXEC), 0);
        children[i] = fork();
        if (children[i] == 0)
            _exit(race(start[i][0], result[1]));
    }
    for (int round = 0; round < ROUNDS; round++) {
        int winners = 0;
        for (int i = 0; i < RACERS; i++)
            assert_int_equal(write(start[i][1], "g", 1), 1);
        collect(result[0], bytes);
        for (int i = 0; i < RACERS; i++)
            winners += bytes[i] == '+';
        assert_int_equal(winners, 1);
        for (int i = 0; i < RACERS; i++)
            assert_int_equal(write(start[i][1], "e", 1), 1);
        collect(result[0], bytes);
    }
    for (int i = 0; i < RACERS; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
        close(start[i][0]);
        close(start[i][1]);
    }
    close(result[0]);
    close(result[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_a_third_one),
        cmocka_unit_test(test_the_claim_is_the_descriptions),
        cmocka_unit_test(test_many_write_only),
        cmocka_unit_test(test_uses),
        cmocka_unit_test(test_a_mapping_keeps_the_use),
        cmocka_unit_test(test_reopened_is_another),
        cmocka_unit_test(test_what_cannot_carry_locks),
        cmocka_unit_test(test_foreign_locks),
        cmocka_unit_test(test_killed_holder),
        cmocka_unit_test(test_racing_claims),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
