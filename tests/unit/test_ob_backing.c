/*
 * Backing files: one content for all live holders, a fresh one for the first, whatever was killed
 * in between; and a runtime directory that nobody else can have prepared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ob/backing.h"

enum { SIZE = 3 * 4096 };

static char runtime[64]; /* the test's own XDG_RUNTIME_DIR */

static int set_up(void **state)
{
    strcpy(runtime, "/tmp/peldr-test-XXXXXX");
    return mkdtemp(runtime) && setenv("XDG_RUNTIME_DIR", runtime, 1) == 0 ? 0 : -1;
}

static void remove_contents(int dir)
{
    DIR *stream = fdopendir(dir);
    for (struct dirent *entry; (entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            unlinkat(dir, entry->d_name, 0);
    closedir(stream);
}

static int tear_down(void **state)
{
    char path[128];
    snprintf(path, sizeof path, "%s/peldr", runtime);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (dir >= 0)
        remove_contents(dir);
    if (rmdir(path) != 0)
        unlink(path);
    return rmdir(runtime);
}

static char *path_of(const char *key)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/peldr/%s", runtime, key);
    return path;
}

static bool exists(const char *key)
{
    struct stat st;
    return lstat(path_of(key), &st) == 0;
}

/* ---- contents -----------------------------------------------------------------------------------
 */

/* Fills the file with a byte. `user` is the byte; a call is counted. */
static int init_calls;

static nt_status fill(void *user, int fd, struct pe_error *err)
{
    char content[SIZE];
    init_calls++;
    memset(content, *(const char *)user, sizeof content);
    return pwrite(fd, content, sizeof content, 0) == SIZE ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

static nt_status open_filled(const char *key, char byte, struct ob_backing **out, bool *created)
{
    return ob_backing_open(key, SIZE, fill, &byte, out, created, NULL);
}

static bool is_filled_with(const struct ob_backing *backing, char byte)
{
    char content[SIZE + 1];
    if (pread(ob_backing_fd(backing), content, sizeof content, 0) != SIZE)
        return false;
    for (int i = 0; i < SIZE; i++)
        if (content[i] != byte)
            return false;
    return true;
}

static void wait_for_exit_0(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void kill_hard(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void tell(int fd)
{
    if (write(fd, "x", 1) != 1)
        _exit(90);
}

/* Waits for the child's tell(); a child that died instead fails the test. */
static void hear(int ends[2])
{
    char c;
    close(ends[1]);
    assert_int_equal(read(ends[0], &c, 1), 1);
    close(ends[0]);
}

/* Until killed, by the test or by its end. */
static void hang(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        pause();
}

/* A child that opens `key` with `byte`, tells the pipe, and holds it until it is killed. */
static pid_t start_holder(const char *key, char byte)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct ob_backing *backing;
        if (!nt_ok(open_filled(key, byte, &backing, NULL)))
            _exit(1);
        tell(ready[1]);
        hang();
    }
    assert_true(pid > 0);
    hear(ready);
    return pid;
}

static void test_first_initialises_last_removes(void **state)
{
    struct ob_backing *first, *second;
    bool created = false;

    init_calls = 0;
    assert_int_equal(open_filled("one", 'a', &first, &created), STATUS_SUCCESS);
    assert_true(created);
    assert_int_equal(open_filled("one", 'b', &second, &created), STATUS_SUCCESS);
    assert_false(created);
    assert_int_equal(init_calls, 1);
    assert_true(is_filled_with(second, 'a'));
    ob_backing_close(first);
    assert_true(exists("one"));
    ob_backing_close(second);
    assert_false(exists("one"));
    assert_int_equal(open_filled("one", 'c', &first, &created), STATUS_SUCCESS);
    assert_true(created);
    assert_true(is_filled_with(first, 'c'));
    ob_backing_close(first);
    ob_backing_close(NULL);
}

static void test_close_removes_only_its_own_file(void **state)
{
    struct ob_backing *first, *second;
    bool created = false;
    assert_int_equal(open_filled("own", 'a', &first, NULL), STATUS_SUCCESS);
    assert_int_equal(unlink(path_of("own")), 0);
    assert_int_equal(open_filled("own", 'b', &second, &created), STATUS_SUCCESS);
    assert_true(created);
    ob_backing_close(first);
    assert_true(exists("own"));
    ob_backing_close(second);
    assert_false(exists("own"));
}

static void test_processes_share(void **state)
{
    struct ob_backing *backing;
    assert_int_equal(open_filled("shared", 'a', &backing, NULL), STATUS_SUCCESS);
    char *view = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ob_backing_fd(backing), 0);
    assert_ptr_not_equal(view, MAP_FAILED);
    strcpy(view, "hello");

    pid_t pid = fork();
    if (pid == 0) {
        struct ob_backing *other;
        bool created = true;
        if (!nt_ok(open_filled("shared", 'b', &other, &created)) || created)
            _exit(1);
        char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ob_backing_fd(other), 0);
        if (map == MAP_FAILED || strcmp(map, "hello") != 0)
            _exit(2);
        strcpy(map, "world");
        munmap(map, SIZE);
        ob_backing_close(other);
        _exit(0);
    }
    wait_for_exit_0(pid);
    assert_string_equal(view, "world");
    assert_true(exists("shared"));
    munmap(view, SIZE);
    ob_backing_close(backing);
    assert_false(exists("shared"));
}

static void test_room_is_reserved(void **state)
{
    struct ob_backing *backing;
    struct stat st;
    const uint64_t size = 1 << 20;
    assert_int_equal(ob_backing_open("room", size, NULL, NULL, &backing, NULL, NULL),
                     STATUS_SUCCESS);
    assert_int_equal(fstat(ob_backing_fd(backing), &st), 0);
    assert_int_equal(st.st_size, size);
    assert_true((uint64_t)st.st_blocks * 512 >= size);
    assert_int_equal(st.st_mode & 077, 0);
    ob_backing_close(backing);
}

static void test_no_room(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
        struct ob_backing *backing = NULL;
        struct pe_error err = {0};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(1);
        if (ob_backing_open("full", SIZE, fill, "a", &backing, NULL, &err) !=
            (nt_status)STATUS_DISK_FULL)
            _exit(2);
        _exit(backing || err.status != (nt_status)STATUS_DISK_FULL || exists("full") ? 3 : 0);
    }
    wait_for_exit_0(pid);
}

/* ---- death --------------------------------------------------------------------------------------
 */

static void test_last_holder_killed(void **state)
{
    struct ob_backing *backing;
    bool created = false;
    kill_hard(start_holder("killed", 'a'));
    assert_true(exists("killed"));
    assert_int_equal(open_filled("killed", 'b', &backing, &created), STATUS_SUCCESS);
    assert_true(created);
    assert_true(is_filled_with(backing, 'b'));
    ob_backing_close(backing);
    assert_false(exists("killed"));
}

static void test_other_holder_survives_a_kill(void **state)
{
    struct ob_backing *backing, *again;
    bool created = true;
    pid_t pid = start_holder("two", 'a');
    assert_int_equal(open_filled("two", 'b', &backing, &created), STATUS_SUCCESS);
    assert_false(created);
    kill_hard(pid);
    assert_int_equal(open_filled("two", 'c', &again, &created), STATUS_SUCCESS);
    assert_false(created);
    assert_true(is_filled_with(again, 'a'));
    ob_backing_close(again);
    ob_backing_close(backing);
}

/* Writes half of the content, tells, and never comes back. */
static nt_status fill_half_and_hang(void *user, int fd, struct pe_error *err)
{
    char content[SIZE / 2];
    memset(content, 'h', sizeof content);
    if (pwrite(fd, content, sizeof content, 0) != SIZE / 2)
        _exit(1);
    tell(*(int *)user);
    hang();
    return STATUS_UNSUCCESSFUL;
}

static void test_initialiser_killed(void **state)
{
    int half_way[2];
    assert_int_equal(pipe(half_way), 0);
    pid_t initialiser = fork();
    if (initialiser == 0) {
        struct ob_backing *backing;
        ob_backing_open("half", SIZE, fill_half_and_hang, &half_way[1], &backing, NULL, NULL);
        _exit(1);
    }
    hear(half_way);
    pid_t waiter = fork();
    if (waiter == 0) {
        struct ob_backing *backing;
        bool created = false;
        if (!nt_ok(open_filled("half", 'b', &backing, &created)))
            _exit(1);
        _exit(created && is_filled_with(backing, 'b') ? 0 : 2);
    }
    usleep(50000);
    assert_int_equal(waitpid(waiter, NULL, WNOHANG), 0); /* nobody sees the half */
    kill_hard(initialiser);
    wait_for_exit_0(waiter);
}

static nt_status refuse(void *user, int fd, struct pe_error *err)
{
    return pe_fail(err, STATUS_NO_MEMORY, "no content today");
}

static void test_failed_init_leaves_nothing(void **state)
{
    struct ob_backing *backing = NULL;
    struct pe_error err = {0};
    bool created = false;
    assert_int_equal(ob_backing_open("failed", SIZE, refuse, NULL, &backing, NULL, &err),
                     (nt_status)STATUS_NO_MEMORY);
    assert_null(backing);
    assert_string_equal(err.text, "no content today");
    assert_false(exists("failed"));
    assert_int_equal(open_filled("failed", 'a', &backing, &created), STATUS_SUCCESS);
    assert_true(created);
    ob_backing_close(backing);
}

static void test_size_must_agree_with_live_holders(void **state)
{
    struct ob_backing *first, *second = NULL;
    assert_int_equal(open_filled("size", 'a', &first, NULL), STATUS_SUCCESS);
    assert_int_equal(ob_backing_open("size", SIZE * 2, NULL, NULL, &second, NULL, NULL),
                     (nt_status)STATUS_FILE_INVALID);
    assert_null(second);
    assert_true(is_filled_with(first, 'a'));
    ob_backing_close(first); /* the refused opener does not count as a holder */
    assert_false(exists("size"));
    assert_int_equal(ob_backing_open("size", SIZE * 2, NULL, NULL, &second, NULL, NULL),
                     STATUS_SUCCESS);
    ob_backing_close(second);
}

static int count_fds(void)
{
    int count = 0;
    DIR *stream = opendir("/proc/self/fd");
    while (readdir(stream))
        count++;
    closedir(stream);
    return count;
}

static void test_no_descriptor_leaks(void **state)
{
    struct ob_backing *backing = NULL;
    int before = count_fds();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(open_filled("leak", 'a', &backing, NULL), STATUS_SUCCESS);
        ob_backing_close(backing);
        ob_backing_open("leak", SIZE, refuse, NULL, &backing, NULL, NULL);
        ob_backing_open("no/key", SIZE, refuse, NULL, &backing, NULL, NULL);
    }
    assert_int_equal(count_fds(), before);
}

/* ---- races --------------------------------------------------------------------------------------
 */

enum { PROCESSES = 4, ROUNDS = 2000, WORDS = SIZE / 8 };

/* What the racing processes check each other against, outside of what is tested. */
struct referee {
    pthread_mutex_t lock;
    int holders;
    uint64_t generation, generations; /* of the content that is alive; how many there were */
};

static nt_status write_generation(void *user, int fd, struct pe_error *err)
{
    struct referee *referee = user;
    uint64_t words[WORDS];
    uint64_t generation = __atomic_add_fetch(&referee->generations, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < WORDS; i++)
        words[i] = generation;
    for (int half = 0; half < 2; half++)
        if (pwrite(fd, (char *)words + half * (SIZE / 2), SIZE / 2, half * (SIZE / 2)) != SIZE / 2)
            return STATUS_UNSUCCESSFUL;
    return STATUS_SUCCESS;
}

/* 0 = in order: the content is complete, and all holders of a moment have the same one. */
static int race_round(struct referee *referee)
{
    struct ob_backing *backing;
    if (!nt_ok(ob_backing_open("race", SIZE, write_generation, referee, &backing, NULL, NULL)))
        return 1;
    uint64_t *words = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, ob_backing_fd(backing), 0);
    if (words == MAP_FAILED)
        return 2;
    uint64_t generation = words[0];
    int result = generation == 0 ? 3 : 0;

    pthread_mutex_lock(&referee->lock);
    if (referee->holders++ > 0 && referee->generation != generation)
        result = 4;
    referee->generation = generation;
    pthread_mutex_unlock(&referee->lock);
    for (int i = 0; i < WORDS; i++)
        if (words[i] != generation)
            result = 5;
    pthread_mutex_lock(&referee->lock);
    referee->holders--;
    pthread_mutex_unlock(&referee->lock);

    munmap(words, SIZE);
    ob_backing_close(backing);
    return result;
}

static void test_open_close_race(void **state)
{
    struct referee *referee =
        mmap(NULL, sizeof *referee, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t shared;
    pid_t pids[PROCESSES];

    assert_ptr_not_equal(referee, MAP_FAILED);
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&referee->lock, &shared);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            int result = 0;
            for (int round = 0; round < ROUNDS && result == 0; round++)
                result = race_round(referee);
            _exit(result);
        }
        assert_true(pids[i] > 0);
    }
    for (int i = 0; i < PROCESSES; i++)
        wait_for_exit_0(pids[i]);
    assert_true(referee->generations > 1); /* they did close to the last one in between */
    assert_false(exists("race"));
    munmap(referee, sizeof *referee);
}

/* ---- names and the directory --------------------------------------------------------------------
 */

static void test_keys(void **state)
{
    char too_long[300];
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = 0;
    const char *bad[] = {"", ".", "..", ".a", "a/b", "../a", "A", "a b", "a\n", too_long};
    struct ob_backing *backing = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(open_filled(bad[i], 'a', &backing, NULL),
                         (nt_status)STATUS_OBJECT_NAME_INVALID);
    assert_null(backing);
}

static void test_planted_files_are_refused(void **state)
{
    struct ob_backing *backing = NULL;
    struct stat st;
    char victim[128];
    int dir;
    assert_int_equal(ob_runtime_dir(&dir, NULL), STATUS_SUCCESS);
    close(dir);

    snprintf(victim, sizeof victim, "%s/victim", runtime);
    int fd = open(victim, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_int_equal(symlink(victim, path_of("link")), 0);
    assert_int_equal(open_filled("link", 'a', &backing, NULL), (nt_status)STATUS_ACCESS_DENIED);
    assert_int_equal(stat(victim, &st), 0);
    assert_int_equal(st.st_size, 8);
    unlink(victim);

    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    assert_int_equal(open_filled("pipe", 'a', &backing, NULL), (nt_status)STATUS_ACCESS_DENIED);
    assert_null(backing);
}

static void assert_directory_refused(const char *clue)
{
    struct pe_error err = {0};
    struct ob_backing *backing = NULL;
    int fd = -1;
    assert_int_equal(ob_runtime_dir(&fd, &err), (nt_status)STATUS_ACCESS_DENIED);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(err.text, clue));
    assert_non_null(strstr(err.text, runtime));
    assert_int_equal(open_filled("key", 'a', &backing, NULL), (nt_status)STATUS_ACCESS_DENIED);
    assert_null(backing);
}

static void test_symlinked_directory_is_refused(void **state)
{
    char target[128], link[128];
    snprintf(target, sizeof target, "%s/elsewhere", runtime);
    snprintf(link, sizeof link, "%s/peldr", runtime);
    assert_int_equal(mkdir(target, 0700), 0);
    assert_int_equal(symlink(target, link), 0);
    assert_directory_refused("symbolic link");
    assert_int_equal(rmdir(target), 0); /* and nothing was put into it */
}

static void test_open_directory_is_refused(void **state)
{
    char path[128];
    snprintf(path, sizeof path, "%s/peldr", runtime);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0770), 0);
    assert_directory_refused("0770");
}

static void test_foreign_directory_is_refused(void **state)
{
    char path[128];
    if (geteuid() != 0)
        skip();
    snprintf(path, sizeof path, "%s/peldr", runtime);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
    assert_directory_refused("12345");
}

static void test_directory_is_private(void **state)
{
    struct stat st, named;
    int fd;
    mode_t old = umask(0);
    assert_int_equal(ob_runtime_dir(&fd, NULL), STATUS_SUCCESS);
    umask(old);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(path_of(""), &named), 0);
    assert_int_equal(st.st_ino, named.st_ino);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(fd);
}

static void assert_directory_is_in_tmp(void)
{
    char path[64];
    struct stat st, named;
    int fd;
    snprintf(path, sizeof path, "/tmp/peldr-%u", (unsigned)geteuid());
    assert_int_equal(ob_runtime_dir(&fd, NULL), STATUS_SUCCESS);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(lstat(path, &named), 0);
    assert_int_equal(st.st_ino, named.st_ino);
    close(fd);
}

static void test_unusable_xdg_falls_back_to_tmp(void **state)
{
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    assert_directory_is_in_tmp();
    setenv("XDG_RUNTIME_DIR", "/nonexistent/run", 1);
    assert_directory_is_in_tmp();
    if (geteuid() == 0)
        assert_int_equal(chown(runtime, 12345, (gid_t)-1), 0);
    setenv("XDG_RUNTIME_DIR", geteuid() == 0 ? runtime : "/", 1); /* another user's */
    assert_directory_is_in_tmp();
    unsetenv("XDG_RUNTIME_DIR");
    assert_directory_is_in_tmp();
}

#define BACKING_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BACKING_TEST(test_first_initialises_last_removes),
        BACKING_TEST(test_close_removes_only_its_own_file),
        BACKING_TEST(test_processes_share),
        BACKING_TEST(test_room_is_reserved),
        BACKING_TEST(test_no_room),
        BACKING_TEST(test_last_holder_killed),
        BACKING_TEST(test_other_holder_survives_a_kill),
        BACKING_TEST(test_initialiser_killed),
        BACKING_TEST(test_failed_init_leaves_nothing),
        BACKING_TEST(test_size_must_agree_with_live_holders),
        BACKING_TEST(test_no_descriptor_leaks),
        BACKING_TEST(test_open_close_race),
        BACKING_TEST(test_keys),
        BACKING_TEST(test_planted_files_are_refused),
        BACKING_TEST(test_symlinked_directory_is_refused),
        BACKING_TEST(test_open_directory_is_refused),
        BACKING_TEST(test_foreign_directory_is_refused),
        BACKING_TEST(test_directory_is_private),
        BACKING_TEST(test_unusable_xdg_falls_back_to_tmp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
