/*
 * SHARED PE sections between real processes: one copy for all who have the image loaded, private
 * data beside it, and a fresh start once the last holder was killed (design, decision 8).
 *
 * The test program is its own child: with a path as argument it loads that image, reports its
 * counters on stdout, and stays until its stdin closes.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/peldr.h"
#include "tests/samples.h"

typedef int(PELDR_CDECL *int_fn)(void);
typedef int(PELDR_CDECL *int_int_fn)(int);

struct child {
    pid_t pid;
    FILE *out; /* its reports */
    int in;    /* closing it ends the child */
};

static int child_main(const char *path)
{
    peldr_module *module = peldr_open(path, 0);
    char c;
    if (!module) {
        printf("%s\n", peldr_error());
        return 1;
    }
    printf("shared %d private %d\n", ((int_fn)peldr_sym(module, "shared_get"))(),
           ((int_int_fn)peldr_sym(module, "private_add"))(5));
    fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0)
        ((int_int_fn)peldr_sym(module, "shared_add"))(c);
    return peldr_close(module);
}

static void child_start(struct child *child, const char *path)
{
    int to[2], from[2];
    /* Close-on-exec: a sibling that held an end would keep this child waiting for ever. */
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    child->pid = fork();
    assert_true(child->pid >= 0);
    if (child->pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        execl("/proc/self/exe", "child", path, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    child->in = to[1];
    child->out = fdopen(from[0], "r");
}

static void child_expect(struct child *child, int shared, int private)
{
    char line[512] = "", expected[64];
    snprintf(expected, sizeof expected, "shared %d private %d\n", shared, private);
    assert_non_null(fgets(line, sizeof line, child->out));
    assert_string_equal(line, expected);
}

static void child_end(struct child *child, int signal_number)
{
    int status;
    if (signal_number)
        kill(child->pid, signal_number);
    close(child->in);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    if (signal_number)
        assert_true(WIFSIGNALED(status));
    else
        assert_int_equal(status, 0);
    fclose(child->out);
}

/* A copy of shared.dll of its own, so that no other test shares with this one. */
static bool own_copy(const char *set, char *path)
{
    char original[SAMPLE_PATH_MAX];
    if (!sample_path(set, "shared.dll", original))
        return false;
    strcpy(path, "/tmp/peldr-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    strcat(path, "/shared.dll");
    sample_copy(original, path);
    return true;
}

static void remove_copy(char *path)
{
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static void check_shared(const char *path)
{
    struct child first, second;
    peldr_module *module;
    child_start(&first, path);
    child_expect(&first, 1, 6); /* attached once; private 1 + 5 */
    child_start(&second, path);
    child_expect(&second, 2, 6); /* sees the other's count, not its private data */
    module = peldr_open(path, 0);
    assert_non_null(module);
    assert_int_equal(((int_fn)peldr_sym(module, "shared_get"))(), 3);
    assert_int_equal(((int_fn)peldr_sym(module, "private_get"))(), 1);
    assert_int_equal(write(first.in, "\x0a", 1), 1); /* the first adds ten */
    child_end(&first, 0);                            /* and detaches: minus one */
    assert_int_equal(((int_fn)peldr_sym(module, "shared_get"))(), 12);
    assert_int_equal(peldr_close(module), 0);
    child_end(&second, 0);
}

static void check_fresh_after_kill(const char *path)
{
    struct child victim, next;
    child_start(&victim, path);
    child_expect(&victim, 1, 6);
    child_start(&next, path);
    child_expect(&next, 2, 6);
    child_end(&victim, SIGKILL); /* no detach: the count stays while the other lives */
    child_end(&next, SIGKILL);
    child_start(&next, path);
    child_expect(&next, 1, 6);
    child_end(&next, 0);
}

static void test_sharing(void **state)
{
    char path[SAMPLE_PATH_MAX];
    for (const char *const *set = sample_sets; *set; set++)
        if (own_copy(*set, path)) {
            check_shared(path);
            check_fresh_after_kill(path);
            remove_copy(path);
        }
}

/* PE32 and PE32+ hosts aside: two different files never share, even with the same bytes. */
static void test_other_file_is_another_section(void **state)
{
    char one[SAMPLE_PATH_MAX], two[SAMPLE_PATH_MAX];
    struct child a, b;
    for (const char *const *set = sample_sets; *set; set++)
        if (own_copy(*set, one) && own_copy(*set, two)) {
            child_start(&a, one);
            child_expect(&a, 1, 6);
            child_start(&b, two);
            child_expect(&b, 1, 6);
            child_end(&b, 0);
            child_end(&a, 0);
            remove_copy(one);
            remove_copy(two);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_other_file_is_another_section),
    };
    if (argc > 1)
        return child_main(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
