/*
 * What the console samples share: <windows.h>, lines that come out at once, errors in words, and
 * starting the same program a second time.
 *
 * Every line is flushed as it is printed: two processes write to one console, and each must have
 * said its own before it lets the other go on.
 */
#ifndef SAMPLE_CONSOLE_H
#define SAMPLE_CONSOLE_H

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, PATIENCE = 60000 /* milliseconds that one process waits for the other */ };

__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* Says what failed, with the last error as a number and in words, and ends the process. */
__attribute__((noreturn)) static inline void die(const char *what)
{
    DWORD error = GetLastError();
    char text[256] = "no text for it\r\n";
    FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, error, 0, text,
                   sizeof text, NULL);
    fflush(stdout);
    fprintf(stderr, "%s: error %lu: %s", what, (unsigned long)error, text);
    fflush(stderr);
    ExitProcess(1);
}

static inline void check(BOOL succeeded, const char *what)
{
    if (!succeeded)
        die(what);
}

/* Waits until the object is signaled; gives up when the other side seems to have died. */
static inline void await(HANDLE object, const char *what)
{
    DWORD result = WaitForSingleObject(object, PATIENCE);
    if (result == WAIT_TIMEOUT)
        SetLastError(ERROR_TIMEOUT);
    if (result != WAIT_OBJECT_0)
        die(what);
}

/*
 * Starts this program again as `arguments` say, with the same standard handles. Other handles go to
 * it as well if they are inheritable.
 */
static inline void start_again(const char *arguments, PROCESS_INFORMATION *second)
{
    char program[MAX_PATH], command[2 * MAX_PATH];
    STARTUPINFOA startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
    startup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    check(GetModuleFileNameA(NULL, program, sizeof program) != 0, "GetModuleFileName");
    snprintf(command, sizeof command, "\"%s\" %s", program, arguments);
    check(CreateProcessA(program, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, second),
          "CreateProcess");
    CloseHandle(second->hThread);
}

/* Waits for its end and returns its exit code. */
static inline DWORD wait_for_end(PROCESS_INFORMATION *second)
{
    DWORD code;
    await(second->hProcess, "waiting for the second process");
    check(GetExitCodeProcess(second->hProcess, &code), "GetExitCodeProcess");
    CloseHandle(second->hProcess);
    return code;
}

/* Whether the program was started with this word: how its second instance knows its part. */
static inline int has_role(int argc, char **argv, const char *role)
{
    return argc > 1 && strcmp(argv[1], role) == 0;
}

#endif
