/*
 * peldr test: checks a folder of images against the golden outcomes beside them; prints TAP.
 *
 * IMAGE.expect.json holds {"schema": "peldr.test/1", "checks": [{"name": ..., "command": [...],
 * "exit": 0, "stdout": "...", "json": {...}}]}. "@" in a command stands for the image, "@/" for its
 * folder. A check runs `peldr COMMAND`; "json" is compared as a subset: every key that the golden
 * outcome names must be there with that value, others may be.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/doc.h"

int cmd_test(int argc, char **argv);

struct outcome {
    int exit_status; /* 128 + signal when it was killed */
    char *out;
    size_t size;
};

struct tally {
    int number, failed;
};

/* "@" -> the image, "@/x" -> x in its folder. */
static char *expand(const char *word, const char *image)
{
    char *text = NULL;
    const char *slash = strrchr(image, '/');
    if (word[0] != '@')
        text = strdup(word);
    else if (word[1] == '/' && slash)
        text = asprintf(&text, "%.*s%s", (int)(slash - image), image, word + 1) < 0 ? NULL : text;
    else
        text = strdup(image);
    if (!text)
        exit(cli_fail("not enough memory"));
    return text;
}

static char **command_of(const json_t *check, const char *image)
{
    const json_t *words = json_object_get(check, "command");
    size_t n = json_array_size(words);
    char **argv = calloc(n + 2, sizeof *argv);
    if (!argv)
        exit(cli_fail("not enough memory"));
    argv[0] = strdup("peldr");
    for (size_t i = 0; i < n; i++) {
        const char *word = json_string_value(json_array_get(words, i));
        argv[i + 1] = expand(word ? word : "", image);
    }
    return argv;
}

static void read_all(int fd, struct outcome *outcome)
{
    FILE *memory = open_memstream(&outcome->out, &outcome->size);
    char buffer[4096];
    ssize_t n;
    while (memory && ((n = read(fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0)
            fwrite(buffer, 1, (size_t)n, memory);
    if (!memory || fclose(memory) != 0)
        exit(cli_fail("not enough memory"));
}

static void run(char **argv, struct outcome *outcome)
{
    int fds[2], status = 0;
    pid_t child;
    if (pipe2(fds, O_CLOEXEC) != 0 || (child = fork()) < 0)
        exit(cli_fail("cannot start a process: %s", strerror(errno)));
    if (child == 0) {
        dup2(fds[1], STDOUT_FILENO);
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    close(fds[1]);
    read_all(fds[0], outcome);
    close(fds[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    outcome->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Every key and element of `golden` is in `actual`; `where` gets the path of the first difference.
 */
static bool contains(const json_t *actual, const json_t *golden, char *where, size_t size)
{
    size_t used = strlen(where), i;
    const char *key;
    json_t *value;
    if (json_is_object(golden) && json_is_object(actual)) {
        json_object_foreach((json_t *)golden, key, value)
        {
            snprintf(where + used, size - used, ".%s", key);
            if (!contains(json_object_get(actual, key), value, where, size))
                return false;
        }
    } else if (json_is_array(golden) && json_is_array(actual)) {
        if (json_array_size(golden) != json_array_size(actual)) {
            snprintf(where + used, size - used, " (%zu elements)", json_array_size(actual));
            return false;
        }
        json_array_foreach(golden, i, value)
        {
            snprintf(where + used, size - used, "[%zu]", i);
            if (!contains(json_array_get(actual, i), value, where, size))
                return false;
        }
    } else if (!json_equal(actual, golden)) {
        return false;
    }
    where[used] = '\0';
    return true;
}

static void diagnose(const char *what, const char *expected, const char *got)
{
    printf("# %s: expected %s\n#   got %s\n", what, expected, got);
}

static void diagnose_json(const char *where, const json_t *expected, const json_t *got)
{
    char *e = json_dumps(expected, JSON_ENCODE_ANY | JSON_COMPACT);
    char *g = got ? json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    diagnose(*where ? where : "json", e ? e : "?", g ? g : "no JSON");
    free(e);
    free(g);
}

static bool json_as_expected(const json_t *check, const struct outcome *outcome)
{
    const json_t *golden = json_object_get(check, "json");
    char where[512] = "";
    json_t *actual;
    bool ok;
    if (!golden)
        return true;
    actual = json_loadb(outcome->out, outcome->size, JSON_DECODE_ANY, NULL);
    ok = actual && contains(actual, golden, where, sizeof where);
    if (!ok)
        diagnose_json(where, golden, actual);
    json_decref(actual);
    return ok;
}

static bool as_expected(const json_t *check, const struct outcome *outcome)
{
    const char *text = json_string_value(json_object_get(check, "stdout"));
    int wanted = (int)doc_int(check, "exit");
    bool ok = true;
    if (outcome->exit_status != wanted) {
        printf("# exit status: expected %d, got %d\n", wanted, outcome->exit_status);
        ok = false;
    }
    if (text && strcmp(text, outcome->out) != 0) {
        diagnose("stdout", text, outcome->out);
        ok = false;
    }
    return json_as_expected(check, outcome) && ok;
}

static void run_check(const json_t *check, const char *image, struct tally *tally)
{
    char **argv = command_of(check, image);
    struct outcome outcome = {0};
    bool ok;
    run(argv, &outcome);
    ok = as_expected(check, &outcome);
    tally->failed += !ok;
    printf("%s %d - %s: %s\n", ok ? "ok" : "not ok", ++tally->number, strrchr(image, '/') + 1,
           doc_get(check, "name"));
    for (char **p = argv; *p; p++)
        free(*p);
    free(argv);
    free(outcome.out);
}

static void bad_golden(struct tally *tally, const char *path, const char *why)
{
    tally->failed++;
    printf("not ok %d - %s: %s\n", ++tally->number, path, why);
}

static void check_image(const char *golden_path, struct tally *tally)
{
    char *image = strndup(golden_path, strlen(golden_path) - strlen(".expect.json"));
    json_error_t error;
    json_t *golden = json_load_file(golden_path, 0, &error);
    const json_t *checks = json_object_get(golden, "checks"), *check;
    size_t i;
    if (!golden)
        bad_golden(tally, golden_path, error.text);
    else if (strcmp(doc_get(golden, "schema"), "peldr.test/1") != 0 || !json_array_size(checks))
        bad_golden(tally, golden_path, "not a peldr.test/1 document with checks");
    else if (!image || access(image, R_OK) != 0)
        bad_golden(tally, golden_path, "its image is missing");
    else
        json_array_foreach(checks, i, check) run_check(check, image, tally);
    json_decref(golden);
    free(image);
}

static int is_golden(const struct dirent *entry)
{
    static const char suffix[] = ".expect.json";
    size_t n = strlen(entry->d_name), m = sizeof suffix - 1;
    return n > m && strcmp(entry->d_name + n - m, suffix) == 0;
}

int cmd_test(int argc, char **argv)
{
    static const struct cli_spec spec = {
        .args_doc = "DIR",
        .doc = "Checks the images of a folder against the golden outcomes beside them "
               "(IMAGE.expect.json) and prints TAP.\v"
               "Examples:\n  peldr test samples/\n  peldr test samples/ | prove -v -\n\n"
               "A golden outcome: {\"schema\": \"peldr.test/1\", \"checks\": [{\"name\": \"maps\", "
               "\"command\": [\"map\", \"--json\", \"@\"], \"exit\": 0, \"json\": {\"machine\": "
               "\"amd64\"}}]}; @ is the image, @/ its folder.",
        .min_args = 1,
        .max_args = 1};
    struct tally tally = {0};
    struct dirent **entries;
    struct cli cli;
    int n;

    cli_parse(&spec, argc, argv, &cli, NULL);
    n = scandir(cli.args[0], &entries, is_golden, alphasort);
    if (n < 0)
        return cli_fail("%s: %s", cli.args[0], strerror(errno));
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", cli.args[0], entries[i]->d_name);
        check_image(path, &tally);
        free(entries[i]);
    }
    free(entries);
    printf("1..%d\n", tally.number);
    if (!tally.number)
        return cli_fail("%s: no *.expect.json here; `peldr test --help` shows one", cli.args[0]);
    return tally.failed ? CLI_REFUSED : CLI_OK;
}
