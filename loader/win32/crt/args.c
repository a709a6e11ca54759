/*
 * The command line: argv in both widths, _acmdln, _pgmptr, and the functions that start-up code
 * asks.
 *
 * Rules: Microsoft's "Parsing C command-line arguments". Wildcards are left alone: on Linux the
 * shell has expanded them.
 */
#include <pthread.h>
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/win32/crt/data.h"
#include "loader/win32/crt/startup.h"
#include "loader/win32/strings.h"

static bool is_blank(crt_wchar c)
{
    return c == ' ' || c == '\t';
}

/* The program's name: up to a blank outside quotes; quotes are dropped, backslashes mean nothing.
 */
static const crt_wchar *split_program(const crt_wchar *at, crt_wchar **out)
{
    bool quoted = false;
    for (; *at != 0 && (quoted || !is_blank(*at)); at++) {
        if (*at == '"') {
            quoted = !quoted;
        } else {
            *(*out)++ = *at;
        }
    }
    *(*out)++ = 0;
    return at;
}

/* One argument: 2n backslashes before a quote are n and it is special, 2n + 1 are n and a quote. */
static const crt_wchar *split_argument(const crt_wchar *at, crt_wchar **out)
{
    bool quoted = false;
    while (*at != 0 && (quoted || !is_blank(*at))) {
        size_t backslashes = 0;
        while (at[backslashes] == '\\') {
            backslashes++;
        }
        at += backslashes;
        bool before_quote = *at == '"';
        for (size_t i = before_quote ? backslashes / 2 : backslashes; i > 0; i--) {
            *(*out)++ = '\\';
        }
        if (before_quote && backslashes % 2 != 0) {
            *(*out)++ = *at++;
        } else if (before_quote) {
            at++;
            if (quoted && *at == '"') {
                *(*out)++ = *at++;
            } else {
                quoted = !quoted;
            }
        } else if (*at != 0 && (quoted || !is_blank(*at))) {
            *(*out)++ = *at++;
        }
    }
    *(*out)++ = 0;
    return at;
}

crt_wchar **crt_split_command_line(const crt_wchar *command_line, int *count)
{
    /* No more arguments than characters; no more characters than there are, and a NUL each. */
    size_t length = crt_wlen(command_line);
    crt_wchar **argv = malloc((length + 2) * sizeof(*argv) + (2 * length + 2) * sizeof(crt_wchar));
    if (argv == NULL) {
        return NULL;
    }
    crt_wchar *out = (crt_wchar *)(argv + length + 2);
    int n = 0;
    argv[n++] = out;
    const crt_wchar *at = split_program(command_line, &out);
    for (;;) {
        while (is_blank(*at)) {
            at++;
        }
        if (*at == 0) {
            break;
        }
        argv[n++] = out;
        at = split_argument(at, &out);
    }
    argv[n] = NULL;
    *count = n;
    return argv;
}

/* ---- at start
 * ------------------------------------------------------------------------------------------ */

static crt_wchar *copy_counted(const struct ke_unicode_string *string)
{
    size_t length = string->Buffer != NULL ? string->Length / sizeof(crt_wchar) : 0;
    crt_wchar *out = calloc(length + 1, sizeof(*out));
    if (out != NULL && length != 0) {
        memcpy(out, string->Buffer, length * sizeof(*out));
    }
    return out;
}

static char **narrow_array(crt_wchar **wide, int count)
{
    char **out = calloc((size_t)count + 1, sizeof(*out));
    for (int i = 0; out != NULL && i < count; i++) {
        out[i] = win32_narrow(wide[i]);
    }
    return out;
}

static void start(void)
{
    crt_data_init();
    struct ke_peb *peb = ke_peb();
    if (peb == NULL || peb->ProcessParameters == NULL) {
        return;
    }
    crt_wchar *line = copy_counted(&peb->ProcessParameters->CommandLine);
    crt_wchar *program = copy_counted(&peb->ProcessParameters->ImagePathName);
    if (line == NULL || program == NULL) {
        free(line);
        free(program);
        return;
    }
    *crt_data.wide_command_line = line;
    *crt_data.command_line = win32_narrow(line);
    *crt_data.wide_program = program;
    *crt_data.program = win32_narrow(program);
    *crt_data.wide_argv = crt_split_command_line(line, crt_data.argc);
    if (*crt_data.wide_argv != NULL) {
        *crt_data.argv = narrow_array(*crt_data.wide_argv, *crt_data.argc);
    }
    crt_environment_init();
}

void crt_startup(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}

/* ---- what start-up code calls
 * ------------------------------------------------------------------------------- */

static WINCDECL_DEF int crt___getmainargs(int *argc, char ***argv, char ***environment,
                                          int expand_wildcards, void *start_info)
{
    *argc = *crt_data.argc;
    *argv = *crt_data.argv;
    *environment = *crt_data.environment;
    return 0;
}

static WINCDECL_DEF int crt___wgetmainargs(int *argc, crt_wchar ***argv, crt_wchar ***environment,
                                           int expand_wildcards, void *start_info)
{
    *argc = *crt_data.argc;
    *argv = *crt_data.wide_argv;
    *environment = *crt_data.wide_environment;
    return 0;
}

/* _configure_narrow_argv and its like: argv and environment are there from the beginning. */
static WINCDECL_DEF int crt__configure_narrow_argv(int mode)
{
    return 0;
}

static WINCDECL_DEF int crt__initialize_narrow_environment(void)
{
    return 0;
}

static WINCDECL_DEF char **crt__get_initial_narrow_environment(void)
{
    return *crt_data.initial_environment;
}

static WINCDECL_DEF crt_wchar **crt__get_initial_wide_environment(void)
{
    return *crt_data.wide_initial_environment;
}

/* WinMain's command line: without the program's name. */
static WINCDECL_DEF crt_wchar *crt__get_wide_winmain_command_line(void)
{
    crt_wchar *at = *crt_data.wide_command_line;
    bool quoted = false;
    for (; *at != 0 && (quoted || *at > ' '); at++) {
        quoted = quoted != (*at == '"');
    }
    while (*at != 0 && *at <= ' ') {
        at++;
    }
    return at;
}

static WINCDECL_DEF char *crt__get_narrow_winmain_command_line(void)
{
    char *at = *crt_data.command_line;
    bool quoted = false;
    for (; *at != 0 && (quoted || (unsigned char)*at > ' '); at++) {
        quoted = quoted != (*at == '"');
    }
    while (*at != 0 && (unsigned char)*at <= ' ') {
        at++;
    }
    return at;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(__getmainargs),
    CRT_FN(__wgetmainargs),
    CRT_FN(_configure_narrow_argv),
    CRT_AS(_configure_wide_argv, crt__configure_narrow_argv),
    CRT_FN(_initialize_narrow_environment),
    CRT_AS(_initialize_wide_environment, crt__initialize_narrow_environment),
    CRT_FN(_get_initial_narrow_environment),
    CRT_FN(_get_initial_wide_environment),
    CRT_FN(_get_wide_winmain_command_line),
    CRT_FN(_get_narrow_winmain_command_line),
};
CRT_FAMILY(crt_args_family, functions);
