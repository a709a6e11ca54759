/*
 * Environment variables, the command line, standard handles and the console (a pseudo-terminal
 * here).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pty.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "loader/ke/teb.h"
#include "loader/win32/file.h"
#include "loader/win32/strings.h"
#include "tests/unit/win32_fn.h"

K32(GetEnvironmentVariableA, DWORD, const char *name, char *buffer, DWORD size)
K32(SetEnvironmentVariableA, BOOL, const char *name, const char *value)
K32(GetEnvironmentStringsW, WCHAR *, void)
K32(FreeEnvironmentStringsW, BOOL, WCHAR *strings)
K32(ExpandEnvironmentStringsA, DWORD, const char *in, char *buffer, DWORD size)
K32(GetCommandLineA, char *, void)
K32(GetCommandLineW, WCHAR *, void)
K32(GetStdHandle, HANDLE, DWORD which)
K32(SetStdHandle, BOOL, DWORD which, HANDLE handle)
K32(GetFileType, DWORD, HANDLE handle)
K32(GetConsoleMode, BOOL, HANDLE handle, DWORD *mode)
K32(SetConsoleMode, BOOL, HANDLE handle, DWORD mode)
K32(WriteConsoleW, BOOL, HANDLE handle, const void *text, DWORD length, DWORD *done, void *reserved)
K32(ReadConsoleW, BOOL, HANDLE handle, void *buffer, DWORD length, DWORD *done, void *control)
K32(GetConsoleScreenBufferInfo, BOOL, HANDLE handle, SHORT *info)
K32(SetConsoleOutputCP, BOOL, UINT page)
K32(GetConsoleOutputCP, UINT, void)
K32(CloseHandle, BOOL, HANDLE handle)
K32(CreatePipe, BOOL, HANDLE *reader, HANDLE *writer, void *security, DWORD size)

static int setup(void **state)
{
    setenv("PATH", "/usr/bin:/bin", 1);
    setenv("PELDR_TEST", "from the host", 1);
    setenv("PELDR_UMLAUT", "gr\xc3\xbc\xc3\x9f", 1);
    setenv("TMPDIR", "/tmp/./x/../y", 1);
    unsetenv("TEMP");
    unsetenv("SystemRoot");
    return win32_test_setup(state);
}

static void test_host_variables_are_there(void **state)
{
    char buffer[64];
    assert_int_equal(GetEnvironmentVariableA("PELDR_TEST", buffer, 64), 13);
    assert_string_equal(buffer, "from the host");
    assert_int_equal(GetEnvironmentVariableA("peldr_test", buffer, 64), 13); /* without case */
    assert_int_equal(GetEnvironmentVariableA("SystemRoot", buffer, 64), 10);
    assert_string_equal(buffer,
                        "C:\\Windows"); /* as modules' paths and KUSER_SHARED_DATA have it */
    /* PATH is a list of Windows directories. */
    assert_int_not_equal(GetEnvironmentVariableA("PATH", buffer, 64), 0);
    assert_string_equal(buffer, "Z:\\usr\\bin;Z:\\bin");
    assert_int_equal(GetEnvironmentVariableA("TEMP", buffer, 64), 8);
    assert_string_equal(buffer, "Z:\\tmp\\y");
    assert_int_equal(GetEnvironmentVariableA("PELDR_UMLAUT", buffer, 64), 4);
    assert_string_equal(buffer, "gr\xfc\xdf"); /* in code page 1252 */
}

/* Windows keeps the block sorted by names without case (CreateProcess's documentation). */
static void test_the_block_is_sorted(void **state)
{
    WCHAR *block = GetEnvironmentStringsW();
    const WCHAR *last = NULL;
    int count = 0;
    for (const WCHAR *at = block; *at; at += win32_wlen(at) + 1, count++) {
        if (last)
            assert_true(win32_wicmp(last, at) <= 0);
        last = at;
    }
    assert_true(count > 8);
    assert_true(FreeEnvironmentStringsW(block));
}

static void test_variable_lengths(void **state)
{
    char buffer[8] = "untouch";
    assert_true(SetEnvironmentVariableA("A1", "1234567"));
    assert_int_equal(GetEnvironmentVariableA("A1", buffer, 7), 8); /* needed, with the NUL */
    assert_string_equal(buffer, "untouch");
    assert_int_equal(GetEnvironmentVariableA("A1", buffer, 8), 7); /* copied, without it */
    assert_string_equal(buffer, "1234567");
    assert_true(SetEnvironmentVariableA("A1", ""));
    ke_set_last_error(1);
    assert_int_equal(GetEnvironmentVariableA("A1", buffer, 8), 0);
    assert_int_equal(ke_last_error(), ERROR_SUCCESS); /* empty is not missing */
    assert_true(SetEnvironmentVariableA("A1", NULL));
    assert_fails(GetEnvironmentVariableA("A1", buffer, 8), ERROR_ENVVAR_NOT_FOUND);
    assert_fails(SetEnvironmentVariableA("A=1", "x"), ERROR_INVALID_PARAMETER);
    assert_fails(SetEnvironmentVariableA("", "x"), ERROR_INVALID_PARAMETER);
}

/* Counts the entries of a block and finds one. */
static int scan(const WCHAR *block, const char *wanted, bool *found)
{
    int count = 0;
    *found = false;
    for (; *block; count++) {
        size_t i = 0;
        while (wanted[i] && block[i] == (WCHAR)wanted[i])
            i++;
        *found |= !wanted[i] && !block[i];
        while (*block)
            block++;
        block++;
    }
    return count;
}

static void test_the_block(void **state)
{
    bool found;
    WCHAR *before = GetEnvironmentStringsW();
    int count = scan(before, "NEW=1", &found);
    assert_false(found);
    assert_true(SetEnvironmentVariableA("NEW", "1"));
    WCHAR *after = GetEnvironmentStringsW();
    assert_int_equal(scan(after, "NEW=1", &found), count + 1);
    assert_true(found);
    /* What the PEB shows is the current block; a copy does not change. */
    scan(ke_peb()->ProcessParameters->Environment, "NEW=1", &found);
    assert_true(found);
    scan(before, "NEW=1", &found);
    assert_false(found);
    assert_true(SetEnvironmentVariableA("NEW", NULL));
    scan(ke_peb()->ProcessParameters->Environment, "NEW=1", &found);
    assert_false(found);
    assert_true(FreeEnvironmentStringsW(before));
    assert_true(FreeEnvironmentStringsW(after));
}

static void test_expansion(void **state)
{
    char buffer[64];
    assert_true(SetEnvironmentVariableA("VAR", "value"));
    assert_int_equal(ExpandEnvironmentStringsA("<%VAR%> %none% 50%", buffer, 64), 19);
    assert_string_equal(buffer, "<value> %none% 50%");
    assert_int_equal(ExpandEnvironmentStringsA("%var%", buffer, 3), 6);
}

static void test_command_line(void **state)
{
    const char *narrow = GetCommandLineA();
    const WCHAR *wide = GetCommandLineW();
    assert_ptr_equal(wide, ke_peb()->ProcessParameters->CommandLine.Buffer);
    assert_ptr_equal(GetCommandLineA(), narrow);
    for (size_t i = 0; narrow[i] || wide[i]; i++)
        assert_int_equal(narrow[i], (char)wide[i]);
}

static void test_standard_handles(void **state)
{
    HANDLE old = GetStdHandle((DWORD)-11);
    assert_int_not_equal(GetFileType(old), FILE_TYPE_UNKNOWN);
    assert_true(SetStdHandle((DWORD)-11, (HANDLE)0x1234));
    assert_ptr_equal(GetStdHandle((DWORD)-11), (HANDLE)0x1234);
    assert_true(SetStdHandle((DWORD)-11, old));
    ke_set_last_error(0);
    assert_ptr_equal(GetStdHandle(5), INVALID_HANDLE_VALUE);
    assert_int_equal(ke_last_error(), ERROR_INVALID_HANDLE);
}

/* A redirected stream is no console. */
static void test_pipe_is_no_console(void **state)
{
    HANDLE reader, writer;
    DWORD mode, done;
    SHORT info[11];
    assert_true(CreatePipe(&reader, &writer, NULL, 0));
    assert_fails(GetConsoleMode(writer, &mode), ERROR_INVALID_HANDLE);
    assert_fails(WriteConsoleW(writer, u"x", 1, &done, NULL), ERROR_INVALID_HANDLE);
    assert_fails(GetConsoleScreenBufferInfo(writer, info), ERROR_INVALID_HANDLE);
    assert_true(CloseHandle(reader));
    assert_true(CloseHandle(writer));
}

static void test_terminal_is_a_console(void **state)
{
    struct winsize size = {.ws_col = 100, .ws_row = 30};
    struct termios attr;
    int master, slave;
    char bytes[32];
    WCHAR line[16];
    SHORT info[11];
    DWORD mode, done;
    if (openpty(&master, &slave, NULL, NULL, &size) != 0)
        skip(); /* no /dev/pts here */
    HANDLE out = win32_file_from_fd(slave, GENERIC_WRITE, false);
    HANDLE in = win32_file_from_fd(slave, GENERIC_READ, false);
    assert_int_equal(GetFileType(out), FILE_TYPE_CHAR);
    assert_true(GetConsoleScreenBufferInfo(out, info));
    assert_int_equal(info[0], 100);
    assert_int_equal(info[1], 30);
    assert_true(WriteConsoleW(out, u"\u00E4\u20AC", 2, &done, NULL));
    assert_int_equal(done, 2); /* characters */
    assert_int_equal(read(master, bytes, sizeof(bytes)), 5);
    assert_memory_equal(bytes, "\xC3\xA4\xE2\x82\xAC", 5);
    assert_int_equal(write(master, "hi\n", 3), 3);
    assert_true(ReadConsoleW(in, line, 16, &done, NULL));
    assert_int_equal(done, 4); /* lines end in CR LF */
    assert_memory_equal(line, u"hi\r\n", 8);
    assert_true(GetConsoleMode(in, &mode));
    assert_int_equal(mode & 7, 7);
    assert_true(SetConsoleMode(in, mode & ~4u)); /* no echo */
    assert_int_equal(tcgetattr(slave, &attr), 0);
    assert_false(attr.c_lflag & ECHO);
    assert_fails(SetConsoleMode(in, 4), ERROR_INVALID_PARAMETER); /* echo needs line input */
    assert_true(CloseHandle(in));
    assert_true(CloseHandle(out));
    close(slave);
    close(master);
}

static void test_console_pages(void **state)
{
    UINT old = GetConsoleOutputCP();
    assert_true(SetConsoleOutputCP(1252));
    assert_int_equal(GetConsoleOutputCP(), 1252);
    assert_fails(SetConsoleOutputCP(12345), ERROR_INVALID_PARAMETER);
    assert_true(SetConsoleOutputCP(old));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_variables_are_there),
        cmocka_unit_test(test_variable_lengths),
        cmocka_unit_test(test_the_block_is_sorted),
        cmocka_unit_test(test_the_block),
        cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_standard_handles),
        cmocka_unit_test(test_pipe_is_no_console),
        cmocka_unit_test(test_terminal_is_a_console),
        cmocka_unit_test(test_console_pages),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
