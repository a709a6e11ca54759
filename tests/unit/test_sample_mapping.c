/*
 * The samples of file mapping and of memory shared between processes, run by the peldr command:
 * what they print against samples/<theme>/<program>.output.txt, and those that need several
 * instances, input or a file step by step.
 *
 * PELDR_TEST_COMMAND is the command; PELDR_TEST_RUNNER (wine64) runs the programs instead, to
 * compare with another system. The runtime directory is this test's own, and empty at its end.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/samples.h"
#include "tests/unit/tempdir.h"

enum { OUTPUT_MAX = 1 << 20, TIMEOUT_SECONDS = 250 };

#if defined(__x86_64__)
static const char own_set[] = "mingw64";
#else
static const char own_set[] = "mingw32";
#endif

/* ---- running ----------------------------------------------------------------------------------
 */

struct program {
    pid_t pid;
    int in;    /* closing it is the end of its input */
    FILE *out; /* standard output and, behind it, standard error */
};

static void find_or_skip(const char *set, const char *name, char path[SAMPLE_PATH_MAX])
{
    if (!sample_path(set, name, path))
        skip();
}

static void exec_program(const char *path, const char *const *arguments)
{
    const char *runner = getenv("PELDR_TEST_RUNNER"), *command = getenv("PELDR_TEST_COMMAND");
    char *words[8];
    int n = 0;
    words[n++] = (char *)(runner ? runner : command);
    if (!runner)
        words[n++] = "run";
    words[n++] = (char *)path;
    while (*arguments && n < 7)
        words[n++] = (char *)*arguments++;
    words[n] = NULL;
    if (words[0])
        execvp(words[0], words);
    _exit(127);
}

static void start(struct program *program, const char *set, const char *name,
                  const char *const *arguments)
{
    char path[SAMPLE_PATH_MAX];
    int to[2], from[2];
    find_or_skip(set, name, path);
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    program->pid = fork();
    assert_true(program->pid >= 0);
    if (program->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        dup2(from[1], STDERR_FILENO);
        exec_program(path, arguments);
    }
    close(to[0]);
    close(from[1]);
    program->in = to[1];
    program->out = fdopen(from[0], "r");
    assert_non_null(program->out);
}
#define START(program, set, name, ...) \
    start(program, set, name, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void drop_carriage_returns(char *text)
{
    char *to = text;
    for (; *text; text++)
        if (*text != '\r')
            *to++ = *text;
    *to = '\0';
}

static void expect_line(struct program *program, const char *expected)
{
    char line[1000] = "";
    if (!fgets(line, sizeof line, program->out))
        fail_msg("nothing more instead of: %s", expected);
    drop_carriage_returns(line);
    line[strcspn(line, "\n")] = '\0';
    assert_string_equal(line, expected);
}

static void press_return(struct program *program)
{
    assert_int_equal(write(program->in, "\n", 1), 1);
}

/* The rest of what it prints, in static memory, and its exit status or minus its signal. */
static const char *finish(struct program *program, int *exit_status)
{
    static char text[OUTPUT_MAX];
    int status;
    close(program->in);
    text[fread(text, 1, sizeof text - 1, program->out)] = '\0';
    fclose(program->out);
    assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
    *exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    drop_carriage_returns(text);
    return text;
}

static void expect_end(struct program *program, const char *rest, int exit_status)
{
    int status;
    const char *text = finish(program, &status);
    assert_string_equal(text, rest);
    assert_int_equal(status, exit_status);
}

/* ---- programs that need no help ----------------------------------------------------------------
 */

static void compare(const char *name)
{
    struct program program;
    char path[SAMPLE_PATH_MAX], file[100];
    size_t size;
    int status;
    snprintf(file, sizeof file, "%s.output.txt", name);
    find_or_skip(own_set, file, path);
    char *expected = sample_read(path, &size);
    expected = realloc(expected, size + 1);
    expected[size] = '\0';
    snprintf(file, sizeof file, "%s.exe", name);
    START(&program, own_set, file);
    const char *text = finish(&program, &status);
    if (strcmp(text, expected) != 0)
        fail_msg("%s (status %d) printed:\n%s---- instead of:\n%s", name, status, text, expected);
    assert_int_equal(status, 0);
    free(expected);
}

static void test_sparse(void **state)
{
    compare("sparse");
}

static void test_staticdata(void **state)
{
    compare("staticdata");
}

static void test_linkedlist(void **state)
{
    compare("linkedlist");
}

static void test_savechanges(void **state)
{
    compare("savechanges");
}

static void test_handles(void **state)
{
    compare("handles");
}

static void test_attach(void **state)
{
    compare("attach");
}

/* ---- reverse -----------------------------------------------------------------------------------
 */

static void expect_file(const char *name, const char *text, size_t size)
{
    size_t found;
    char *bytes = sample_read(tempdir_path(name), &found);
    assert_int_equal(found, size);
    assert_memory_equal(bytes, text, size);
    free(bytes);
}

static void check_reverse(const char *text, size_t size, const char *reversed, const char *verdict,
                          int exit_status)
{
    struct program program;
    char expected[400];
    tempdir_write("text", text, size);
    START(&program, own_set, "reverse.exe", tempdir_path("text"));
    snprintf(expected, sizeof expected,
             "the file has %zu bytes\nwith its section object it has %zu\n"
             "cutting it while a view exists: error 1224\n%s; the file has %zu bytes\n",
             size, size + 1, verdict, size);
    expect_end(&program, expected, exit_status);
    expect_file("text", reversed, size);
}

static void test_reverse(void **state)
{
    static char large[300001], mirrored[300001];
    check_reverse("one\r\ntwo three\r\n", 16, "\r\neerht owt\r\neno", "reversed", 0);
    check_reverse("", 0, "", "reversed", 0);
    check_reverse("a\0b", 3, "a\0b", "no text file, left as it was", 1);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = mirrored[sizeof large - 1 - i] = (char)('a' + i % 23);
    check_reverse(large, sizeof large, mirrored, "reversed", 0);
}

static void test_reverse_fails(void **state)
{
    struct program program;
    int status;
    START(&program, own_set, "reverse.exe", tempdir_path("no such file"));
    const char *text = finish(&program, &status);
    assert_int_equal(status, 1);
    assert_non_null(strstr(text, "CreateFile: error 2: "));
}

/* ---- mmfshare ----------------------------------------------------------------------------------
 */

static const char server_lines[] = "server: wrote \"Is anybody there?\"\n"
                                   "server: the answer is \"17 characters, thank you\"\n";
static const char client_lines[] = "client: read \"Is anybody there?\"\n"
                                   "client: answered \"17 characters, thank you\"\n";

static void check_exchange(const char *server_set, const char *client_set)
{
    struct program server, client, other;
    int status;
    START(&server, server_set, "mmfshare.exe", "server");
    expect_line(&server, "server: wrote \"Is anybody there?\"");
    START(&other, client_set, "mmfshare.exe", "server");
    assert_non_null(strstr(finish(&other, &status), "is there a server already?: error 183"));
    assert_int_equal(status, 1);
    START(&client, client_set, "mmfshare.exe", "client");
    expect_end(&client, client_lines, 0);
    expect_end(&server, strchr(server_lines, '\n') + 1, 0);
}

static void test_exchange(void **state)
{
    check_exchange(own_set, own_set);
}

/* The client creates the events then, and the server opens them. */
static void test_client_first(void **state)
{
    struct program server, client;
    START(&client, own_set, "mmfshare.exe", "client");
    usleep(300000);
    START(&server, own_set, "mmfshare.exe", "server");
    expect_end(&server, server_lines, 0);
    expect_end(&client, client_lines, 0);
}

/* A PE32 and a PE32+ process, in both parts. */
static void test_exchange_between_word_sizes(void **state)
{
    check_exchange("mingw64", "mingw32");
    check_exchange("mingw32", "mingw64");
}

/* ---- instances ---------------------------------------------------------------------------------
 */

static void test_instances(void **state)
{
    struct program one, two, three;
    START(&one, own_set, "instances.exe");
    expect_line(&one, "started: 1 running, own counter 1");
    START(&two, own_set, "instances.exe");
    expect_line(&two, "started: 2 running, own counter 1");
    START(&three, own_set, "instances.exe");
    expect_line(&three, "started: 3 running, own counter 1");
    press_return(&one);
    expect_line(&one, "now: 3 running, own counter 1");
    expect_end(&two, "ending: 2 left\n", 0);
    press_return(&three);
    expect_line(&three, "now: 2 running, own counter 1");
    expect_end(&one, "ending: 1 left\n", 0);
    expect_end(&three, "ending: 0 left\n", 0);
}

/* A killed instance stays counted while another one runs, and no longer. */
static void test_killed_instance(void **state)
{
    struct program one, two;
    START(&one, own_set, "instances.exe");
    expect_line(&one, "started: 1 running, own counter 1");
    START(&two, own_set, "instances.exe");
    expect_line(&two, "started: 2 running, own counter 1");
    kill(one.pid, SIGKILL);
    expect_end(&one, "", -SIGKILL);
    press_return(&two);
    expect_line(&two, "now: 2 running, own counter 1");
    kill(two.pid, SIGKILL);
    expect_end(&two, "", -SIGKILL);
    START(&one, own_set, "instances.exe");
    expect_line(&one, "started: 1 running, own counter 1");
    expect_end(&one, "ending: 0 left\n", 0);
}

/* ---- mapwalk -----------------------------------------------------------------------------------
 */

struct sums {
    unsigned long long free, private, mapped, image;
};

struct region {
    unsigned long long address, size;
    char kind[16], state[16], type[16], protect[40];
};

static bool read_region(const char *line, struct region *region)
{
    int n = sscanf(line, "%15s 0x%llx %llu KiB %15s %15s %39[^\n]", region->kind, &region->address,
                   &region->size, region->state, region->type, region->protect);
    return n == 6;
}

/* Everything below `line` up to the next sum: regions without a gap that add up to it. `view` is
 * what is marked as the view, of size 0 when nothing is. */
static char *read_walk(char *line, struct sums *sums, struct region *view)
{
    struct sums counted = {0};
    struct region region = {0};
    unsigned long long next = 0;
    memset(view, 0, sizeof *view);
    for (; strncmp(line, "sum:", 4) != 0; line = strchr(line, '\n') + 1) {
        if (!read_region(line, &region))
            fail_msg("no region: %.80s", line);
        assert_int_equal(region.address, next);
        next = region.address + region.size * 1024;
        *(strcmp(region.state, "free") == 0    ? &counted.free
          : strcmp(region.type, "mapped") == 0 ? &counted.mapped
          : strcmp(region.type, "image") == 0  ? &counted.image
                                               : &counted.private) += region.size;
        if (strcmp(region.kind, "view") == 0) {
            assert_int_equal(view->size, 0); /* one region */
            *view = region;
        }
    }
    assert_true(next >= 0x7FFE0000); /* to the end of what a program may use */
    assert_int_equal(sscanf(line,
                            "sum: free %llu KiB, private %llu KiB, mapped %llu KiB, image %llu",
                            &sums->free, &sums->private, &sums->mapped, &sums->image),
                     4);
    assert_memory_equal(sums, &counted, sizeof counted);
    return strchr(line, '\n') + 1;
}

static char *expect_text(char *at, const char *expected)
{
    if (strncmp(at, expected, strlen(expected)) != 0)
        fail_msg("%.80s\n---- instead of: %s", at, expected);
    return at + strlen(expected);
}

/* One life of a view of `size` KiB, from "created" to "closed". A section object as such may take a
 * page of the process, which is peldr's own; `idle` KiB of views are there without one. */
static char *check_life(char *at, unsigned long long idle, unsigned long long size,
                        const char *protect, const char *content, const char *used)
{
    struct sums created, sums;
    struct region view;
    char line[200];
    at = read_walk(expect_text(at, "-- created\n"), &created, &view);
    assert_int_equal(view.size, 0);
    assert_in_range(created.mapped - idle, 0, 4);
    at = read_walk(expect_text(at, "-- mapped\n"), &sums, &view);
    assert_int_equal(view.size, size);
    assert_string_equal(view.state, "commit");
    assert_string_equal(view.type, "mapped");
    assert_string_equal(view.protect, protect);
    assert_int_equal(view.address % 0x10000, 0);
    assert_int_equal(sums.mapped, created.mapped + size);
    snprintf(line, sizeof line, "the view begins with \"%s\"\n-- %s\n", content, used);
    at = read_walk(expect_text(at, line), &sums, &view);
    assert_int_equal(view.size, size);
    assert_int_equal(sums.mapped, created.mapped + size);
    for (int i = 0; i < 2; i++) {
        at = read_walk(expect_text(at, i ? "-- closed\n" : "-- unmapped\n"), &sums, &view);
        assert_int_equal(view.size, 0);
        assert_int_equal(sums.mapped, i ? idle : created.mapped);
    }
    return at;
}

static void test_mapwalk(void **state)
{
    struct program program;
    struct sums sums;
    struct region view;
    int status;
    static char existing[70000] = "MZ is how it begins";
    tempdir_write("existing", existing, sizeof existing);
    START(&program, own_set, "mapwalk.exe", tempdir_path("existing"));
    char *at = (char *)finish(&program, &status);
    if (status)
        fail_msg("status %d: %s", status, at);
    at = read_walk(expect_text(at, "-- at first\n"), &sums, &view);
    assert_true(sums.image >= 40 && sums.private >= 64); /* the program, its stack and heap */
    at = expect_text(at, "== a temporary file, 20 KiB\n");
    at = check_life(at, sums.mapped, 20, "read write", "written", "written and flushed");
    at = expect_text(at, "== an existing file, read only\n");
    at = check_life(at, sums.mapped, 72, "read", "MZ", "read and flushed");
    at = expect_text(at, "== the paging file, 100 KiB\n");
    at = check_life(at, sums.mapped, 100, "read write", "written", "written and flushed");
    assert_string_equal(at, "");
}

/* ---- what is left ------------------------------------------------------------------------------
 */

static int count_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    if (type != FTW_D && type != FTW_DP)
        print_error("left behind: %s\n", path);
    return type != FTW_D && type != FTW_DP;
}

/* The programs' temporary files and every shared object are gone with the last process. */
static void test_nothing_is_left(void **state)
{
    assert_int_equal(nftw(tempdir_path("tmp"), count_entry, 16, FTW_PHYS), 0);
    if (!getenv("PELDR_TEST_RUNNER"))
        assert_int_equal(nftw(tempdir_path("run"), count_entry, 16, FTW_PHYS), 0);
}

static int setup(void **state)
{
    if (tempdir_create() != 0)
        return -1;
    tempdir_mkdir("run");
    tempdir_mkdir("tmp");
    chmod(tempdir_path("run"), 0700);
    setenv("XDG_RUNTIME_DIR", tempdir_path("run"), 1);
    setenv("TMPDIR", tempdir_path("tmp"), 1);
    unsetenv("TMP");
    unsetenv("TEMP");
    alarm(TIMEOUT_SECONDS); /* the programs die with this one */
    return 0;
}

static int teardown(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_staticdata),
        cmocka_unit_test(test_linkedlist),
        cmocka_unit_test(test_savechanges),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_attach),
        cmocka_unit_test(test_reverse),
        cmocka_unit_test(test_reverse_fails),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_client_first),
        cmocka_unit_test(test_exchange_between_word_sizes),
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_killed_instance),
        cmocka_unit_test(test_mapwalk),
        cmocka_unit_test(test_nothing_is_left),
    };
    return cmocka_run_group_tests_name("sample_mapping", tests, setup, teardown);
}
