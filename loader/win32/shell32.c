/*
 * SHELL32.dll: CommandLineToArgvW.
 *
 * Rules (Microsoft's documentation of the function, and what its users found): the program's name
 * ends at its closing quote, or at a blank, and knows no escapes. In arguments, 2n backslashes
 * before a quote are n and the quote is special, 2n + 1 are n and a quote. Of special quotes in a
 * row, every third one since quoting began is a quote of the text.
 */
#include <string.h>

#include "loader/ke/teb.h"
#include "loader/win32/errors.h"
#include "loader/win32/heap.h"
#include "loader/win32/smalldlls.h"
#include "loader/win32/strings.h"

static bool is_blank(WCHAR c)
{
    return c == ' ' || c == '\t';
}

static const WCHAR *split_program(const WCHAR *at, WCHAR **out)
{
    bool quoted = *at == '"';
    for (at += quoted; *at && (quoted ? *at != '"' : !is_blank(*at)); at++)
        *(*out)++ = *at;
    *(*out)++ = 0;
    return at + (*at == '"');
}

/* A run of special quotes; returns whether text is quoted behind it. */
static bool take_quotes(const WCHAR **at, bool quoted, WCHAR **out)
{
    unsigned count = quoted;
    for (; **at == '"'; ++*at) {
        if (++count == 3) {
            *(*out)++ = '"';
            count = 0;
        }
    }
    return count == 1;
}

static const WCHAR *split_argument(const WCHAR *at, WCHAR **out)
{
    bool quoted = false;
    while (*at && (quoted || !is_blank(*at))) {
        size_t slashes = 0;
        for (; *at == '\\'; at++)
            slashes++;
        for (size_t i = *at == '"' ? slashes / 2 : slashes; i; i--)
            *(*out)++ = '\\';
        if (*at == '"' && slashes % 2 == 0)
            quoted = take_quotes(&at, quoted, out);
        else if (*at && (*at == '"' || quoted || !is_blank(*at)))
            *(*out)++ = *at++;
    }
    *(*out)++ = 0;
    return at;
}

/* One block for LocalFree: the array with a NULL at its end, then the strings. */
static WCHAR **WINAPI_DEF sh_CommandLineToArgvW(const WCHAR *line, INT *count)
{
    if (!line || !count)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    const struct ke_unicode_string *image = &ke_peb()->ProcessParameters->ImagePathName;
    size_t length = line[0] ? win32_wlen(line) : image->Length / sizeof(WCHAR);
    /* A character makes no more than one argument of one character and a NUL. */
    WCHAR **argv = win32_heap_alloc(0, (length + 2) * (sizeof(*argv) + 2 * sizeof(WCHAR)));
    if (!argv)
        return NULL;
    WCHAR *out = (WCHAR *)(argv + length + 2);
    INT n = 0;
    argv[n++] = out;
    if (!line[0]) { /* the program's path, as it is */
        memcpy(out, image->Buffer, length * sizeof(WCHAR));
        out[length] = 0;
    } else {
        for (line = split_program(line, &out);;) {
            while (is_blank(*line))
                line++;
            if (!*line)
                break;
            argv[n++] = out;
            line = split_argument(line, &out);
        }
    }
    argv[n] = NULL;
    *count = n;
    return argv;
}

const struct ldr_builtin_export shell32_exports[] = {LDR_FN(sh_, CommandLineToArgvW)};
const size_t shell32_count = sizeof(shell32_exports) / sizeof(*shell32_exports);
