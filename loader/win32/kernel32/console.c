/*
 * Standard handles and the console, which is the terminal behind a standard stream.
 *
 * A stream that is no terminal is no console: these functions then fail with ERROR_INVALID_HANDLE,
 * as they do on Windows for a redirected stream. Terminals speak UTF-8, so that is the console's
 * page.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "loader/ke/teb.h"
#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"
#include "pe/image.h"

enum {
    ENABLE_PROCESSED_INPUT = 0x1,
    ENABLE_LINE_INPUT = 0x2,
    ENABLE_ECHO_INPUT = 0x4,
    ENABLE_DEFAULT_INPUT = 0x1F0, /* extended flags, quick edit, insert, ... : kept, no effect */
    ENABLE_DEFAULT_OUTPUT = 0x7,  /* processed, wrap at end of line, virtual terminal */
};

/* ---- standard handles ---------------------------------------------------------------------------
 */

static void **standard_slot(DWORD which)
{
    struct ke_process_parameters *parameters = ke_peb()->ProcessParameters;
    switch ((int32_t)which) {
    case -10:
        return &parameters->StandardInput;
    case -11:
        return &parameters->StandardOutput;
    case -12:
        return &parameters->StandardError;
    default:
        return NULL;
    }
}

static HANDLE WINAPI_DEF k32_GetStdHandle(DWORD which)
{
    void **slot = standard_slot(which);
    if (slot)
        return *slot;
    win32_fail(ERROR_INVALID_HANDLE);
    return INVALID_HANDLE_VALUE;
}

static BOOL WINAPI_DEF k32_SetStdHandle(DWORD which, HANDLE handle)
{
    void **slot = standard_slot(which);
    if (!slot)
        return win32_fail(ERROR_INVALID_HANDLE);
    *slot = handle;
    return TRUE;
}

/* ---- consoles
 * ------------------------------------------------------------------------------------- */

/* What AllocConsole and FreeConsole made of it: 0 = nothing yet. */
static atomic_int console_change;
enum { CONSOLE_GIVEN = 1, CONSOLE_FREED };

/* A console program begins with one, a program with a graphical interface without. */
static bool has_console(void)
{
    int change = atomic_load(&console_change);
    return change ? change == CONSOLE_GIVEN
                  : ke_peb()->ImageSubsystem != IMAGE_SUBSYSTEM_WINDOWS_GUI;
}

/* A terminal's file with a reference, or NULL with the last error set. */
static struct win32_file *console_of(HANDLE handle, uint32_t access)
{
    struct win32_file *file;
    if (!has_console() || !nt_ok(win32_file_get(handle, access, &file)))
        return win32_fail_null(ERROR_INVALID_HANDLE);
    if (isatty(file->fd))
        return file;
    win32_file_put(file);
    return win32_fail_null(ERROR_INVALID_HANDLE);
}

static bool is_input(const struct win32_file *file)
{
    return !(file->access & FILE_WRITE_DATA) || file->fd == STDIN_FILENO;
}

static DWORD input_mode(int fd)
{
    struct termios attr;
    DWORD mode = ENABLE_DEFAULT_INPUT;
    if (tcgetattr(fd, &attr) < 0)
        return mode;
    mode |= attr.c_lflag & ISIG ? ENABLE_PROCESSED_INPUT : 0;
    mode |= attr.c_lflag & ICANON ? ENABLE_LINE_INPUT : 0;
    mode |= attr.c_lflag & ECHO ? ENABLE_ECHO_INPUT : 0;
    return mode;
}

static BOOL WINAPI_DEF k32_GetConsoleMode(HANDLE handle, DWORD *mode)
{
    struct win32_file *file = console_of(handle, 0);
    if (!file)
        return FALSE;
    *mode = is_input(file) ? input_mode(file->fd) : ENABLE_DEFAULT_OUTPUT;
    win32_file_put(file);
    return TRUE;
}

static int set_input_mode(int fd, DWORD mode)
{
    static const struct {
        DWORD bit;
        tcflag_t flag;
    } map[] = {
        {ENABLE_PROCESSED_INPUT, ISIG},
        {ENABLE_LINE_INPUT, ICANON},
        {ENABLE_ECHO_INPUT, ECHO},
    };
    struct termios attr;
    if (tcgetattr(fd, &attr) < 0)
        return errno;
    for (size_t i = 0; i < sizeof(map) / sizeof(*map); i++) {
        if (mode & map[i].bit)
            attr.c_lflag |= map[i].flag;
        else
            attr.c_lflag &= ~map[i].flag;
    }
    return tcsetattr(fd, TCSANOW, &attr) < 0 ? errno : 0;
}

static BOOL WINAPI_DEF k32_SetConsoleMode(HANDLE handle, DWORD mode)
{
    struct win32_file *file = console_of(handle, 0);
    if (!file)
        return FALSE;
    /* Echo without line input is refused, as documented. */
    bool input = is_input(file);
    bool bad = input && (mode & ENABLE_ECHO_INPUT) && !(mode & ENABLE_LINE_INPUT);
    int error = input && !bad ? set_input_mode(file->fd, mode) : 0;
    win32_file_put(file);
    if (bad)
        return win32_fail(ERROR_INVALID_PARAMETER);
    return error ? win32_fail_errno(error) : TRUE;
}

static BOOL WINAPI_DEF k32_VerifyConsoleIoHandle(HANDLE handle)
{
    struct win32_file *file = console_of(handle, 0);
    if (file)
        win32_file_put(file);
    return file != NULL;
}

/* ---- text
 * ---------------------------------------------------------------------------------------------- */

static UINT input_page = CP_UTF8, output_page = CP_UTF8;

static UINT WINAPI_DEF k32_GetConsoleCP(void)
{
    return has_console() ? input_page : (UINT)win32_fail(ERROR_INVALID_HANDLE);
}

static UINT WINAPI_DEF k32_GetConsoleOutputCP(void)
{
    return has_console() ? output_page : (UINT)win32_fail(ERROR_INVALID_HANDLE);
}

static BOOL set_page(UINT *page, UINT value)
{
    if (!win32_codepage_valid(value))
        return win32_fail(ERROR_INVALID_PARAMETER);
    *page = win32_codepage_resolve(value);
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetConsoleCP(UINT page)
{
    return set_page(&input_page, page);
}

static BOOL WINAPI_DEF k32_SetConsoleOutputCP(UINT page)
{
    return set_page(&output_page, page);
}

static BOOL write_wide(HANDLE handle, const WCHAR *text, size_t length)
{
    struct win32_file *file = console_of(handle, FILE_WRITE_DATA);
    if (!file)
        return FALSE;
    char *utf8 = win32_utf8_of_wide(text, length);
    uint32_t done;
    nt_status status = utf8 ? win32_file_write(file, utf8, (uint32_t)strlen(utf8), NULL, &done)
                            : (nt_status)STATUS_NO_MEMORY;
    free(utf8);
    win32_file_put(file);
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_WriteConsoleW(HANDLE handle, const void *text, DWORD length,
                                         DWORD *written, void *reserved)
{
    BOOL ok = write_wide(handle, text, length);
    if (written)
        *written = ok ? length : 0;
    return ok;
}

static BOOL WINAPI_DEF k32_WriteConsoleA(HANDLE handle, const void *text, DWORD length,
                                         DWORD *written, void *reserved)
{
    size_t units = 0;
    WCHAR *wide = malloc((length + 1) * sizeof(WCHAR));
    if (wide && length)
        win32_to_wide(output_page, false, text, length, wide, length, &units);
    BOOL ok = wide && write_wide(handle, wide, units);
    free(wide);
    if (written)
        *written = ok ? length : 0;
    return ok;
}

/* A line of the terminal ends in LF; a console's in CR LF. */
static size_t to_console_line(const char *line, size_t length, WCHAR *out, size_t size)
{
    size_t units = 0;
    win32_to_wide(CP_UTF8, false, line, length, out, size, &units);
    if (units && out[units - 1] == '\n' && units < size) {
        out[units - 1] = '\r';
        out[units++] = '\n';
    }
    return units;
}

static BOOL WINAPI_DEF k32_ReadConsoleW(HANDLE handle, void *buffer, DWORD length, DWORD *got,
                                        void *control)
{
    struct win32_file *file = console_of(handle, FILE_READ_DATA);
    if (!file)
        return FALSE;
    uint32_t done = 0;
    size_t units = 0;
    char *line = malloc(length + 1);
    /* Bytes never become more units than they are; one is left for the CR. */
    nt_status status =
        line ? win32_file_read(file, line, length > 1 ? length - 1 : length, NULL, &done)
             : (nt_status)STATUS_NO_MEMORY;
    if (nt_ok(status) && done)
        units = to_console_line(line, done, buffer, length);
    free(line);
    win32_file_put(file);
    *got = (DWORD)units;
    return win32_result(status);
}

/* ---- the screen
 * ------------------------------------------------------------------------------------------ */

struct coord {
    SHORT X, Y;
};
struct small_rect {
    SHORT Left, Top, Right, Bottom;
};
struct screen_buffer_info {
    struct coord dwSize, dwCursorPosition;
    WORD wAttributes;
    struct small_rect srWindow;
    struct coord dwMaximumWindowSize;
};

static WORD attributes = 7; /* grey on black */

static BOOL WINAPI_DEF k32_GetConsoleScreenBufferInfo(HANDLE handle, struct screen_buffer_info *out)
{
    struct winsize size = {0};
    struct win32_file *file = console_of(handle, 0);
    if (!file)
        return FALSE;
    bool input = is_input(file) && !(file->access & FILE_WRITE_DATA);
    bool known = !input && ioctl(file->fd, TIOCGWINSZ, &size) == 0;
    win32_file_put(file);
    if (!known)
        return win32_fail(ERROR_INVALID_HANDLE);
    SHORT columns = (SHORT)(size.ws_col ? size.ws_col : 80);
    SHORT rows = (SHORT)(size.ws_row ? size.ws_row : 25);
    memset(out, 0, sizeof(*out));
    out->dwSize = out->dwMaximumWindowSize = (struct coord){columns, rows};
    out->wAttributes = attributes;
    out->srWindow = (struct small_rect){0, 0, (SHORT)(columns - 1), (SHORT)(rows - 1)};
    return TRUE;
}

static BOOL write_escape(HANDLE handle, const char *sequence)
{
    struct win32_file *file = console_of(handle, FILE_WRITE_DATA);
    uint32_t done;
    if (!file)
        return FALSE;
    nt_status status = win32_file_write(file, sequence, (uint32_t)strlen(sequence), NULL, &done);
    win32_file_put(file);
    return win32_result(status);
}

/* Console colours have red and blue the other way round than the terminal's. */
static int ansi_colour(unsigned colour)
{
    static const uint8_t order[] = {0, 4, 2, 6, 1, 5, 3, 7};
    return (colour & 8 ? 60 : 0) + order[colour & 7];
}

static BOOL WINAPI_DEF k32_SetConsoleTextAttribute(HANDLE handle, WORD value)
{
    char sequence[32];
    snprintf(sequence, sizeof(sequence), "\033[0;%d;%dm", 30 + ansi_colour(value & 0xF),
             40 + ansi_colour(value >> 4 & 0xF));
    /* The colours that a console starts with are the terminal's own. */
    if (!write_escape(handle, value == 7 ? "\033[0m" : sequence))
        return FALSE;
    attributes = value;
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetConsoleCursorPosition(HANDLE handle, struct coord position)
{
    char sequence[32];
    if (position.X < 0 || position.Y < 0)
        return win32_fail(ERROR_INVALID_PARAMETER);
    snprintf(sequence, sizeof(sequence), "\033[%d;%dH", position.Y + 1, position.X + 1);
    return write_escape(handle, sequence);
}

static BOOL WINAPI_DEF k32_FlushConsoleInputBuffer(HANDLE handle)
{
    struct win32_file *file = console_of(handle, 0);
    if (!file)
        return FALSE;
    tcflush(file->fd, TCIFLUSH);
    win32_file_put(file);
    return TRUE;
}

/* A terminal has no window that could be had. */
static HANDLE WINAPI_DEF k32_GetConsoleWindow(void)
{
    return NULL;
}

/* There is one console, the terminal behind the standard streams, and a process has it or not. */
static BOOL WINAPI_DEF k32_AllocConsole(void)
{
    if (has_console())
        return win32_fail(ERROR_ACCESS_DENIED);
    atomic_store(&console_change, CONSOLE_GIVEN);
    return TRUE;
}

static BOOL WINAPI_DEF k32_AttachConsole(DWORD process)
{
    return k32_AllocConsole();
}

static BOOL WINAPI_DEF k32_FreeConsole(void)
{
    if (!has_console())
        return win32_fail(ERROR_INVALID_PARAMETER);
    atomic_store(&console_change, CONSOLE_FREED);
    return TRUE;
}

static BOOL WINAPI_DEF k32_ReadConsoleA(HANDLE handle, void *buffer, DWORD length, DWORD *got,
                                        void *control)
{
    /* A UTF-16 unit is at most 3 bytes of the input page. */
    DWORD room = length >= 3 ? length / 3 : length;
    WCHAR *wide = malloc((room + 1) * sizeof(WCHAR));
    size_t bytes = 0;
    BOOL ok = wide ? k32_ReadConsoleW(handle, wide, room, got, control)
                   : win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    if (ok && *got)
        win32_from_wide(input_page, false, wide, *got, buffer, length, '?', NULL, &bytes);
    free(wide);
    *got = (DWORD)bytes;
    return ok;
}

/* ---- title and cursor
 * ---------------------------------------------------------------------------- */

static pthread_mutex_t title_lock = PTHREAD_MUTEX_INITIALIZER;
static WCHAR *title; /* NULL = what the process parameters say */

static BOOL set_title(const WCHAR *text)
{
    WCHAR *copy = win32_wdup(text, SIZE_MAX);
    char *utf8 = win32_utf8_of_wide(text, SIZE_MAX);
    if (!copy || !utf8) {
        free(copy);
        free(utf8);
        return win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    }
    pthread_mutex_lock(&title_lock);
    WCHAR *old = title;
    title = copy;
    pthread_mutex_unlock(&title_lock);
    free(old);
    /* Control characters would end the terminal's escape sequence early. */
    for (char *c = utf8; *c; c++)
        *c = (uint8_t)*c < 0x20 || *c == 0x7F ? ' ' : *c;
    if (isatty(STDOUT_FILENO))
        dprintf(STDOUT_FILENO, "\033]0;%s\007", utf8);
    free(utf8);
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetConsoleTitleW(const WCHAR *text)
{
    return set_title(text);
}

static BOOL WINAPI_DEF k32_SetConsoleTitleA(const char *text)
{
    WCHAR *wide;
    BOOL ok = win32_widen(text, &wide) && set_title(wide);
    free(wide);
    return ok;
}

static WCHAR *copy_title(void)
{
    pthread_mutex_lock(&title_lock);
    WCHAR *copy =
        win32_wdup(title ? title : ke_peb()->ProcessParameters->WindowTitle.Buffer, SIZE_MAX);
    pthread_mutex_unlock(&title_lock);
    return copy;
}

/* The title is cut to the buffer; the result is its whole length. */
static DWORD WINAPI_DEF k32_GetConsoleTitleW(WCHAR *buffer, DWORD size)
{
    WCHAR *copy = copy_title();
    DWORD length = copy ? (DWORD)win32_wlen(copy) : 0;
    if (copy && size)
        win32_return_wide(copy, length < size ? length : size - 1, buffer, size);
    free(copy);
    return length;
}

static DWORD WINAPI_DEF k32_GetConsoleTitleA(char *buffer, DWORD size)
{
    WCHAR *copy = copy_title();
    DWORD length = copy ? (DWORD)win32_wlen(copy) : 0;
    if (copy && size)
        win32_return_ansi(copy, length < size ? length : size - 1, buffer, size);
    free(copy);
    return length;
}

struct cursor_info {
    DWORD dwSize; /* percent of the cell */
    BOOL bVisible;
};

static struct cursor_info cursor = {25, TRUE};

static BOOL WINAPI_DEF k32_GetConsoleCursorInfo(HANDLE handle, struct cursor_info *out)
{
    struct win32_file *file = console_of(handle, 0);
    if (!file)
        return FALSE;
    win32_file_put(file);
    *out = cursor;
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetConsoleCursorInfo(HANDLE handle, const struct cursor_info *info)
{
    if (info->dwSize < 1 || info->dwSize > 100)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (!write_escape(handle, info->bVisible ? "\033[?25h" : "\033[?25l"))
        return FALSE;
    cursor = *info;
    return TRUE;
}

const struct ldr_builtin_export kernel32_console_exports[] = {
    LDR_FN(k32_, ReadConsoleA),
    LDR_FN(k32_, SetConsoleTitleA),
    LDR_FN(k32_, SetConsoleTitleW),
    LDR_FN(k32_, GetConsoleTitleA),
    LDR_FN(k32_, GetConsoleTitleW),
    LDR_FN(k32_, GetConsoleCursorInfo),
    LDR_FN(k32_, SetConsoleCursorInfo),
    LDR_FN(k32_, GetStdHandle),
    LDR_FN(k32_, SetStdHandle),
    LDR_FN(k32_, GetConsoleMode),
    LDR_FN(k32_, SetConsoleMode),
    LDR_FN(k32_, VerifyConsoleIoHandle),
    LDR_FN(k32_, GetConsoleCP),
    LDR_FN(k32_, GetConsoleOutputCP),
    LDR_FN(k32_, SetConsoleCP),
    LDR_FN(k32_, SetConsoleOutputCP),
    LDR_FN(k32_, WriteConsoleA),
    LDR_FN(k32_, WriteConsoleW),
    LDR_FN(k32_, ReadConsoleW),
    LDR_FN(k32_, GetConsoleScreenBufferInfo),
    LDR_FN(k32_, SetConsoleTextAttribute),
    LDR_FN(k32_, SetConsoleCursorPosition),
    LDR_FN(k32_, FlushConsoleInputBuffer),
    LDR_FN(k32_, GetConsoleWindow),
    LDR_FN(k32_, AllocConsole),
    LDR_FN(k32_, AttachConsole),
    LDR_FN(k32_, FreeConsole),
};
const size_t kernel32_console_count =
    sizeof(kernel32_console_exports) / sizeof(*kernel32_console_exports);
