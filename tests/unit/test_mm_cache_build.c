/*
 * Several processes that build the image cache's entries, and builders that die at any step: an
 * entry is complete or absent, and whoever comes next can build.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/cache_test.h"

static struct mm_cache_entry entry;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void sleep_ms(uint32_t milliseconds)
{
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

/* ---- two at once -------------------------------------------------------------------------------
 */

/* A child that begins to build a large image, says so, and goes on when it is told; it dies with
 * us. */
struct builder {
    pid_t child;
    int told, tells;
};

static void build_slowly(uint32_t n, const struct builder *self)
{
    const struct mm_cache_key key = cache_key(n);
    struct mm_cache_build build;
    char go;
    if (mm_cache_begin(&key, MM_CACHE_TURNS, &build) != MM_CACHE_BEGUN ||
        write(self->tells, "b", 1) != 1 || read(self->told, &go, 1) != 1 || !cache_write(n, &build))
        _exit(2);
    _exit(cache_commit(n, &build, &entry) ? 0 : 1);
}

static struct builder start_builder(uint32_t n)
{
    int down[2], up[2];
    struct builder builder;
    char begun;
    assert_int_equal(pipe2(down, O_CLOEXEC), 0);
    assert_int_equal(pipe2(up, O_CLOEXEC), 0);
    builder = (struct builder){.child = fork(), .told = down[0], .tells = up[1]};
    if (builder.child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(down[1]);
        build_slowly(n, &builder);
    }
    close(down[0]);
    close(up[1]);
    builder.tells = down[1];
    builder.told = up[0];
    assert_int_equal(read(builder.told, &begun, 1), 1);
    return builder;
}

static void tell(const struct builder *builder)
{
    assert_int_equal(write(builder->tells, "g", 1), 1);
}

static int status_of_builder(const struct builder *builder)
{
    int status;
    assert_int_equal(waitpid(builder->child, &status, 0), builder->child);
    close(builder->told);
    close(builder->tells);
    return status;
}

static void *tell_later(void *user)
{
    sleep_ms(100);
    tell(user);
    return NULL;
}

static void test_waits_for_the_other(void **state)
{
    const struct mm_cache_key key = cache_key(1);
    struct mm_cache_build build;
    struct builder builder = start_builder(1);
    pthread_t thread;
    assert_false(cache_find(1, &entry));
    assert_int_equal(pthread_create(&thread, NULL, tell_later, &builder), 0);
    assert_int_equal(mm_cache_begin(&key, MM_CACHE_TURNS, &build), MM_CACHE_LOOK_AGAIN);
    pthread_join(thread, NULL);
    assert_int_equal(status_of_builder(&builder), 0);
    assert_true(cache_find(1, &entry));
    assert_true(cache_is_right(1, &entry));
    mm_cache_close(&entry);
}

/* A small one is built sooner than anybody has waited: both do, and the first stays. */
static void test_small_ones_do_not_wait(void **state)
{
    const struct mm_cache_key key = cache_key(1);
    struct mm_cache_build one, two;
    uint64_t begin = now_ms();
    assert_int_equal(mm_cache_begin(&key, ENTRY_PAGES * MM_PAGE, &one), MM_CACHE_BEGUN);
    assert_int_equal(mm_cache_begin(&key, ENTRY_PAGES * MM_PAGE, &two), MM_CACHE_BEGUN);
    assert_true(now_ms() - begin < 1500);
    assert_true(cache_write(1, &one) && cache_write(1, &two));
    assert_true(cache_commit(1, &two, &entry));
    mm_cache_close(&entry);
    assert_false(cache_commit(1, &one, &entry));
    assert_true(cache_find(1, &entry));
    assert_true(entry.trusted);
    assert_true(cache_is_right(1, &entry));
    mm_cache_close(&entry);
}

/* Another image is not waited for. */
static void test_others_go_on(void **state)
{
    struct builder builder = start_builder(1);
    uint64_t begin = now_ms();
    for (uint32_t n = 2; n < 6; n++)
        cache_have(n);
    assert_true(now_ms() - begin < 1500);
    tell(&builder);
    assert_int_equal(status_of_builder(&builder), 0);
}

static void test_builder_dies(void **state)
{
    struct builder builder = start_builder(1);
    assert_int_equal(kill(builder.child, SIGKILL), 0);
    assert_int_equal(status_of_builder(&builder), SIGKILL);
    uint64_t begin = now_ms();
    cache_have(1);
    assert_true(now_ms() - begin < 1500);
}

/* It is stopped: after a while both build, and the first that is complete stays. */
static void test_builder_stops(void **state)
{
    const struct mm_cache_key key = cache_key(1);
    struct mm_cache_build build;
    struct builder builder = start_builder(1);
    assert_int_equal(mm_cache_begin(&key, MM_CACHE_TURNS, &build), MM_CACHE_BEGUN);
    assert_int_equal(build.lock, -1);
    assert_true(cache_write(1, &build));
    assert_true(cache_commit(1, &build, &entry));
    tell(&builder);
    assert_int_equal(status_of_builder(&builder), 1 << 8);
    assert_true(cache_is_right(1, &entry));
    mm_cache_close(&entry);
    assert_true(cache_find(1, &entry));
    assert_true(cache_is_right(1, &entry));
    mm_cache_close(&entry);
}

#define CROWD      6
#define CROWD_KEYS 12u

/* They load the same images in different orders, reject some, and clear the cache now and then. */
static int be_one_of_many(uint32_t self)
{
    struct mm_cache_removed removed;
    uint32_t random = self * 7919 + 1;
    for (uint32_t i = 0; i < 150; i++) {
        random = random * 1103515245 + 12345;
        uint32_t n = random >> 16 & 0xff;
        const struct mm_cache_key key = cache_key(n % CROWD_KEYS);
        if (n == 0xff && !nt_ok(mm_cache_clear(&removed, NULL)))
            return 2;
        /* An entry may go between a commit that was second and the second look. */
        if (!cache_load(n % CROWD_KEYS, &entry))
            continue;
        if (!cache_is_right(n % CROWD_KEYS, &entry))
            return 3;
        if (n > 0xe8)
            mm_cache_reject(&key, &entry);
        else
            mm_cache_close(&entry);
    }
    return 0;
}

static void test_crowd(void **state)
{
    pid_t children[CROWD];
    cache_begin_anew(16 * 9 * 4096); /* evictions, too */
    for (uint32_t i = 0; i < CROWD; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(be_one_of_many(i));
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    for (uint32_t n = 0; n < CROWD_KEYS; n++) {
        assert_true(cache_load(n, &entry));
        assert_true(cache_is_right(n, &entry));
        mm_cache_close(&entry);
    }
}

/* ---- killed at every step ----------------------------------------------------------------------
 */

/* The file system has no unnamed files, as far as this process sees. */
static void refuse_unnamed_files(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(*rules), rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(98);
}

/* A builder that knows nothing yet: the folder is looked for and made, too. */
static void build_traced(uint32_t n, bool named)
{
    mm_cache_set_place(NULL, 0, NULL);
    if (named)
        refuse_unnamed_files();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(97);
    raise(SIGSTOP);
    _exit(cache_load(n, &entry) ? 0 : 1);
}

/*
 * Runs a builder up to its `steps`th stop (each system call stops it twice: before it and after),
 * and kills it there. False: it ended before. `*status`: how it ended, or started.
 */
static bool kill_at(uint32_t n, bool named, uint32_t steps, int *status)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        build_traced(n, named);
    assert_int_equal(waitpid(child, status, 0), child);
    if (!WIFSTOPPED(*status)) /* tracing is refused here */
        return false;
    ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL);
    for (uint32_t i = 0; i < steps; i++) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, status, 0), child);
        if (!WIFSTOPPED(*status))
            return false;
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, status, 0), child);
    return true;
}

static uint32_t leftovers(void)
{
    DIR *dir = opendir(cache_folder());
    uint32_t count = 0;
    for (struct dirent *file; dir != NULL && (file = readdir(dir)) != NULL;)
        count += strncmp(file->d_name, MM_CACHE_LEFTOVER, 4) == 0;
    if (dir != NULL)
        closedir(dir);
    return count;
}

/* Nothing or a complete entry; and the next one can build, without waiting, and can clean up. */
static void assert_survived(uint32_t n, uint32_t *complete)
{
    struct mm_cache_removed removed;
    uint64_t begin = now_ms();
    assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
    if (cache_find(n, &entry)) {
        assert_true(cache_is_right(n, &entry));
        mm_cache_close(&entry);
        *complete += 1;
    }
    assert_true(cache_load(n, &entry));
    assert_true(cache_is_right(n, &entry));
    mm_cache_close(&entry);
    assert_true(cache_find(n, &entry));
    mm_cache_close(&entry);
    assert_true(now_ms() - begin < 1900);
    assert_status(mm_cache_clear(&removed, NULL), STATUS_SUCCESS);
    assert_int_equal(leftovers(), 0);
}

static void remove_folder(void)
{
    unlink(tempdir_path("cache/index"));
    assert_int_equal(rmdir(cache_folder()), 0);
}

static void kill_everywhere(bool named)
{
    uint32_t complete = 0, steps = 0;
    int status;
    setenv("PELDR_CACHE", cache_folder(), 1);
    assert_status(mm_cache_set_place(NULL, 0, NULL), STATUS_SUCCESS);
    while (kill_at(1, named, steps, &status)) {
        assert_survived(1, &complete);
        remove_folder();
        steps++;
        assert_true(steps < 1000);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) >= 97)
        skip();
    assert_int_equal(status, 0); /* the last one was not killed */
    assert_true(steps > 40);
    assert_in_range(complete, 1, steps - 20);
    unsetenv("PELDR_CACHE");
}

static void test_killed_at_every_step(void **state)
{
    kill_everywhere(false);
}

static void test_killed_at_every_step_named(void **state)
{
    kill_everywhere(true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, cache_setup, cache_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_waits_for_the_other),  TEST(test_small_ones_do_not_wait),
        TEST(test_others_go_on),         TEST(test_builder_dies),
        TEST(test_builder_stops),        TEST(test_crowd),
        TEST(test_killed_at_every_step), TEST(test_killed_at_every_step_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
