/*
 * Programs that raise, catch, unwind and end, run by the peldr command: every case of every
 * samples/<theme>/<program>.expect.txt, which says what it prints on Windows and its exit code:
 *
 *     == CASE [exit=CODE] [set=PATTERN]    PATTERN like clang*, *64: only in these sets
 *     lines of output
 *
 * PELDR_TEST_COMMAND is the command; PELDR_TEST_RUNNER (wine64) runs the programs instead, to
 * compare the texts with another system. The last test is a host with a SIGSEGV handler of its own.
 */
#include <dirent.h>
#include <fnmatch.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/peldr.h"
#include "tests/samples.h"
#include "tests/unit/tempdir.h"

enum { OUTPUT_MAX = 16384, TIMEOUT_SECONDS = 100, CASES_MAX = 512 };

struct expected {
    char program[SAMPLE_PATH_MAX], name[64];
    unsigned exit_code;
    char output[OUTPUT_MAX];
};

/* ---- running ----------------------------------------------------------------------------------
 */

static int start_program(const struct expected *expected, pid_t *child)
{
    int out[2];
    const char *runner = getenv("PELDR_TEST_RUNNER"), *command = getenv("PELDR_TEST_COMMAND");
    if (pipe(out) != 0)
        fail_msg("pipe");
    *child = fork();
    if (*child == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        if (runner)
            execlp(runner, runner, expected->program, expected->name, (char *)NULL);
        else if (command)
            execl(command, command, "run", expected->program, expected->name, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    return out[0];
}

/* What the program prints; it is ended when it takes too long. */
static size_t read_all(int fd, pid_t child, char *out, size_t capacity)
{
    size_t size = 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    time_t end = time(NULL) + TIMEOUT_SECONDS;
    for (;;) {
        ssize_t n;
        if (time(NULL) >= end || poll(&ready, 1, 1000 * TIMEOUT_SECONDS) == 0) {
            kill(child, SIGKILL);
            break;
        }
        n = read(fd, out + size, capacity - 1 - size);
        if (n <= 0)
            break;
        size += (size_t)n;
    }
    out[size] = '\0';
    return size;
}

static void drop_carriage_returns(char *text)
{
    char *to = text;
    for (; *text; text++)
        if (*text != '\r')
            *to++ = *text;
    *to = '\0';
}

static void test_case(void **state)
{
    const struct expected *expected = *state;
    static char output[OUTPUT_MAX];
    pid_t child;
    int status, fd = start_program(expected, &child);
    read_all(fd, child, output, sizeof output);
    close(fd);
    assert_int_equal(waitpid(child, &status, 0), child);
    drop_carriage_returns(output);
    if (strcmp(output, expected->output) != 0)
        fail_msg("%s %s (status %#x) printed:\n%s---- instead of:\n%s", expected->program,
                 expected->name, status, output, expected->output);
    if (!WIFEXITED(status) || (uint32_t)WEXITSTATUS(status) != (expected->exit_code & 0xFF))
        fail_msg("%s %s: status %#x, not exit code %#x", expected->program, expected->name, status,
                 expected->exit_code);
}

/* ---- the table --------------------------------------------------------------------------------
 */

static struct CMUnitTest tests[CASES_MAX + 1];
static size_t test_count;

/* Adds the case that a line of the form "== ..." begins; NULL when it is not for this set. */
static struct expected *begin_case(char *line, const char *program, const char *set)
{
    struct expected *expected = calloc(1, sizeof *expected);
    char *word = strtok(line + 2, " \n");
    bool wanted = true;
    snprintf(expected->program, sizeof expected->program, "%s", program);
    snprintf(expected->name, sizeof expected->name, "%s", word);
    while ((word = strtok(NULL, " \n")))
        if (strncmp(word, "exit=", 5) == 0)
            expected->exit_code = (unsigned)strtoul(word + 5, NULL, 0);
        else if (strncmp(word, "set=", 4) == 0)
            wanted = fnmatch(word + 4, set, 0) == 0;
        else
            abort();
    if (!wanted || test_count == CASES_MAX) {
        free(expected);
        return NULL;
    }
    return expected;
}

static void add_test(struct expected *expected)
{
    char *name;
    const char *set = strstr(expected->program, "samples/");
    if (asprintf(&name, "%s %s", set ? set + 8 : expected->program, expected->name) < 0)
        abort();
    tests[test_count++] = (struct CMUnitTest){name, test_case, NULL, NULL, expected};
}

static void read_cases(const char *set, const char *text, const char *program)
{
    char line[1024];
    struct expected *current = NULL;
    FILE *file = fopen(text, "r");
    if (!file)
        abort();
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "==", 2) == 0) {
            current = begin_case(line, program, set);
            if (current)
                add_test(current);
        } else if (current) {
            strncat(current->output, line, OUTPUT_MAX - 1 - strlen(current->output));
        }
    }
    fclose(file);
}

static void read_set(const char *set)
{
    static const char suffix[] = ".expect.txt";
    char directory[SAMPLE_PATH_MAX], text[SAMPLE_PATH_MAX + 300], *program;
    struct dirent **entries;
    int n;
    if (!sample_path(set, "", directory))
        return;
    n = scandir(directory, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        size_t length = strlen(name);
        if (length >= sizeof suffix && strcmp(name + length - sizeof suffix + 1, suffix) == 0) {
            snprintf(text, sizeof text, "%s/%s", directory, name);
            if (asprintf(&program, "%s%.*s.exe", directory, (int)(length - sizeof suffix + 1),
                         name) < 0)
                abort();
            read_cases(set, text, program);
            free(program);
        }
        free(entries[i]);
    }
    free(entries);
}

/* ---- a host with a handler of its own ----------------------------------------------------------
 */

static sigjmp_buf host_jump;

static void host_handler(int signal)
{
    siglongjmp(host_jump, signal);
}

/* In a process of its own: the host's handler, a load, the host's fault, a call, the fault again.
 */
static int host_that_faults(void)
{
    char path[SAMPLE_PATH_MAX];
    struct sigaction action = {.sa_handler = host_handler};
    volatile int caught = 0;
    peldr_module *volatile module = NULL;
    volatile int *volatile nowhere = (volatile int *)(uintptr_t)0x18;
    int(PELDR_CDECL * value)(void);
    sigaction(SIGSEGV, &action, NULL);
    for (const char *const *set = sample_sets; *set && !module; set++)
        if (sample_path(*set, "left.dll", path))
            module = peldr_open(path, 0);
    if (!module)
        return 1;
    value = (int(PELDR_CDECL *)(void))peldr_sym(module, "side_value");
    for (int i = 0; i < 3; i++) {
        int signal = sigsetjmp(host_jump, 1);
        if (signal == 0) {
            *nowhere = 1;
            return 2;
        }
        caught += signal == SIGSEGV;
        if (value() != 1)
            return 3;
    }
    return caught == 3 && peldr_close(module) == 0 ? 0 : 4;
}

static void test_host_handler(void **state)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(host_that_faults());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Programs that name objects have a runtime directory to themselves. */
static int remove_runtime_directory(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    if (tempdir_create() != 0 || setenv("XDG_RUNTIME_DIR", tempdir, 1) != 0)
        return 1;
    for (const char *const *set = sample_sets; *set; set++)
        read_set(*set);
    if (!getenv("PELDR_TEST_RUNNER"))
        tests[test_count++] =
            (struct CMUnitTest){"a host's own handler", test_host_handler, NULL, NULL, NULL};
    return _cmocka_run_group_tests("sample_exceptions", tests, test_count, NULL,
                                   remove_runtime_directory);
}
