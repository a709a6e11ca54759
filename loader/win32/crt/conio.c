/*
 * Console functions without streams: _getch, _kbhit, _putch, _cputs. The console is the terminal,
 * or whatever standard input and output are.
 */
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include "loader/win32/crt/stream.h"

#define WEOF_WINDOWS ((crt_wchar)0xFFFF)

static __thread int pushed = -1;

/* One key, neither waited for Enter nor echoed where there is a terminal. */
static int read_key(bool echo)
{
    unsigned char byte;
    struct termios saved, raw;
    if (pushed >= 0) {
        int key = pushed;
        pushed = -1;
        return key;
    }
    fflush(stdout);
    bool terminal = tcgetattr(STDIN_FILENO, &saved) == 0;
    if (terminal) {
        raw = saved;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    }
    if (got != 1) {
        return -1;
    }
    byte = byte == '\n' && terminal ? '\r' : byte; /* Windows's Enter key */
    if (echo) {
        putchar(byte);
    }
    return byte;
}

static WINCDECL_DEF int crt__getch(void)
{
    return read_key(false);
}

static WINCDECL_DEF int crt__getche(void)
{
    return read_key(true);
}

static WINCDECL_DEF crt_wchar crt__getwch(void)
{
    return (crt_wchar)read_key(false);
}

static WINCDECL_DEF crt_wchar crt__getwche(void)
{
    return (crt_wchar)read_key(true);
}

static WINCDECL_DEF int crt__ungetch(int key)
{
    if (pushed >= 0 || key < 0) {
        return -1;
    }
    return pushed = key & 0xFF;
}

static WINCDECL_DEF int crt__kbhit(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return pushed >= 0 || poll(&input, 1, 0) > 0;
}

static WINCDECL_DEF int crt__putch(int c)
{
    return putchar(c);
}

static WINCDECL_DEF crt_wchar crt__putwch(crt_wchar c)
{
    return crt_stream_write_wide(crt_stream_std(1), &c, 1) == 1 ? c : WEOF_WINDOWS;
}

static WINCDECL_DEF int crt__cputs(const char *text)
{
    return text != NULL && fputs(text, stdout) >= 0 ? 0 : -1;
}

static WINCDECL_DEF int crt__cputws(const crt_wchar *text)
{
    size_t length = text != NULL ? crt_wlen(text) : 0;
    return text != NULL && crt_stream_write_wide(crt_stream_std(1), text, length) == length ? 0
                                                                                            : -1;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_getch), CRT_FN(_getche), CRT_FN(_getwch), CRT_FN(_getwche), CRT_FN(_ungetch),
    CRT_FN(_kbhit), CRT_FN(_putch),  CRT_FN(_putwch), CRT_FN(_cputs),   CRT_FN(_cputws),
};
CRT_FAMILY(crt_conio_family, functions);
