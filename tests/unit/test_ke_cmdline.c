/*
 * Command-line quoting against the rules of CommandLineToArgvW, written here from Microsoft's
 * words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ke/process.h"

#define ARGS_MAX 8

/* 2n backslashes and a quote: n backslashes, quoting toggles; 2n+1: n backslashes and a quote. */
static const char *split_one(const char *at, char *out)
{
    bool quoted = false;
    while (*at && (quoted || (*at != ' ' && *at != '\t'))) {
        size_t slashes = strspn(at, "\\");
        at += slashes;
        size_t kept = *at == '"' ? slashes / 2 : slashes;
        memset(out, '\\', kept);
        out += kept;
        if (*at == '"') {
            if (slashes % 2)
                *out++ = '"';
            else
                quoted = !quoted;
            at++;
        } else if (slashes == 0) {
            *out++ = *at++;
        }
    }
    *out = 0;
    return at;
}

static int split(const char *line, char out[ARGS_MAX][64])
{
    const char *end;
    if (*line == '"') {
        end = strchr(++line, '"');
        memcpy(out[0], line, (size_t)(end - line));
        out[0][end - line] = 0;
        line = end + 1;
    } else {
        size_t length = strcspn(line, " \t");
        memcpy(out[0], line, length);
        out[0][length] = 0;
        line += length;
    }
    int count = 1;
    for (line += strspn(line, " \t"); *line && count < ARGS_MAX; line += strspn(line, " \t"))
        line = split_one(line, out[count++]);
    return count;
}

static void arguments_survive_the_round_trip(void **state)
{
    static const char *const nasty[] = {
        "",          "plain",       "two words", "\"",         "a\"b",        "\\",
        "\\\\",      "a\\",         "a b\\",     "a b\\\\",    "\\\"",        "\\\\\"",
        "C:\\x\\y",  "C:\\x y\\",   "tab\there", "\"quoted\"", "a\\\\b c\\d", "\\\\server\\share x",
        "new\nline", "\\\" \\\\\"",
    };
    const size_t count = sizeof(nasty) / sizeof(nasty[0]);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            char *argv[] = {"/bin/prog", (char *)nasty[i], (char *)nasty[j], "end"};
            char out[ARGS_MAX][64];
            char *line = ke_command_line(4, argv);
            assert_non_null(line);
            assert_int_equal(split(line, out), 4);
            for (int k = 0; k < 4; k++)
                assert_string_equal(out[k], argv[k]);
            free(line);
        }
    }
}

static void the_program_name_has_no_escapes(void **state)
{
    char *argv[] = {"/my dir\\", "x"};
    char *line = ke_command_line(2, argv);
    assert_string_equal(line, "\"/my dir\\\" x");
    free(line);
}

static void plain_words_stay_unquoted(void **state)
{
    char *argv[] = {"prog", "-x", "C:\\dir\\", "a=b"};
    char *line = ke_command_line(4, argv);
    assert_string_equal(line, "prog -x C:\\dir\\ a=b");
    free(line);
    line = ke_command_line(0, NULL);
    assert_string_equal(line, "");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_survive_the_round_trip),
        cmocka_unit_test(the_program_name_has_no_escapes),
        cmocka_unit_test(plain_words_stay_unquoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
