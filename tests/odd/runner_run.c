/*
 * Odd images, the runner: what the peldr command says of an image, and what the image prints.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/odd/runner.h"

enum { MAX_ARGUMENTS = 16 };

struct result {
    int status;
    char *out, *err;
};

/* peldr SUBCOMMAND --windows=V [option] FILE [arguments] */
static struct result peldr(const struct odd_case *c, const char *subcommand, const char *option,
                           const char *arguments)
{
    const char *argv[MAX_ARGUMENTS + 6] = {getenv("PELDR_TEST_COMMAND"), subcommand};
    char windows[32], copy[512] = "", *rest = copy;
    struct result result;
    int n = 2;
    snprintf(windows, sizeof(windows), "--windows=%s", c->version);
    argv[n++] = windows;
    if (option)
        argv[n++] = option;
    argv[n++] = c->path;
    snprintf(copy, sizeof(copy), "%s", arguments ? arguments : "");
    for (char *word; n < MAX_ARGUMENTS + 5 && (word = strsep(&rest, " ")) != NULL;)
        if (*word)
            argv[n++] = word;
    result.status = odd_command(argv, c->dir, &result.out, &result.err);
    return result;
}

static void result_free(struct result *result)
{
    free(result->out);
    free(result->err);
}

/* The rule by which it was refused, "" for none. */
static void refused_by(const char *err, char *rule, size_t size)
{
    static const char before[] = "refused by rule ";
    const char *found = strstr(err, before);
    snprintf(rule, size, "%s", found ? found + sizeof(before) - 1 : "");
    rule[strcspn(rule, " \n:")] = '\0';
}

static void check_refusal(struct odd_case *c, const struct result *result)
{
    char rule[64];
    refused_by(result->err, rule, sizeof(rule));
    if (c->refused && strcmp(rule, c->refused) != 0)
        odd_complain(c, "the command does not refuse it by rule %s: status %d, %s", c->refused,
                     result->status, result->err);
    else if (c->refused && result->status != 1)
        odd_complain(c, "the command refuses it with exit status %d", result->status);
    else if (!c->refused && *rule)
        odd_complain(c, "the command refuses it: %s", result->err);
}

static void check_output(struct odd_case *c, const struct result *result)
{
    const struct odd_row *row = c->row;
    size_t length = strlen(result->out);
    if (length && result->out[length - 1] == '\n')
        result->out[length - 1] = '\0';
    if (row->error) {
        if (result->status == 0 || !strstr(result->err, row->error))
            odd_complain(c, "it should fail with \"%s\": status %d, %s", row->error, result->status,
                         result->err);
    } else if (row->dll) {
        if (result->status != 0 || (row->output && !strstr(result->out, row->output)))
            odd_complain(c, "the DLL is not loaded, or does not print \"%s\": status %d, %s%s",
                         row->output ? row->output : "", result->status, result->out, result->err);
    } else if (strcmp(result->out, row->output) != 0 || result->status != row->exit_code) {
        odd_complain(c, "it should print \"%s\" and exit with %d: \"%s\", status %d, %s",
                     row->output, row->exit_code, result->out, result->status, result->err);
    }
}

/* "base 10000" of row->map, against what the command maps. */
static void check_base(struct odd_case *c)
{
    unsigned long long wanted, actual;
    if (!c->row->map || sscanf(c->row->map, "base %llx", &wanted) != 1)
        return;
    struct result result = peldr(c, "map", "--json", NULL);
    const char *found = strstr(result.out, "\"actual_base\": \"");
    if (!found || sscanf(found + 16, "%llx", &actual) != 1)
        odd_complain(c, "the command does not map it: status %d, %s", result.status, result.err);
    else if (actual != wanted)
        odd_complain(c, "it lies at 0x%llx, not at 0x%llx", actual, wanted);
    result_free(&result);
}

bool odd_is_run(const struct odd_case *c)
{
    return !c->refused && (c->row->dll || c->row->output || c->row->error) &&
           (!c->row->run_on || c->row->run_on & c->windows);
}

void odd_check_run(struct odd_case *c)
{
    struct result result;
    bool is_run = odd_is_run(c);
    if (c->row->dll)
        result = peldr(c, "map", "--run-init", NULL);
    else if (is_run || c->refused)
        result = peldr(c, "run", NULL, c->row->arguments);
    else
        result = peldr(c, "map", NULL, NULL);
    check_refusal(c, &result);
    if (is_run)
        check_output(c, &result);
    result_free(&result);
    if (!c->refused)
        check_base(c);
}
