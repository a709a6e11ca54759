/*
 * Functions of KERNEL32 and NTDLL for tests, looked up by name as an image's imports are;
 * forwarders are followed. A name that is not written fails the set-up.
 */
#ifndef TESTS_WIN32_FN_H
#define TESTS_WIN32_FN_H

#include <stdio.h>
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/modules.h"
#include "loader/win32/process.h"
#include "loader/win32/types.h"
#include "loader/win32/win32.h"

struct win32_wanted {
    const struct ldr_builtin *builtin;
    const char *name;
    const void **pointer;
    struct win32_wanted *next;
};

static struct win32_wanted *win32_wanted;

/* K32(SetEvent, BOOL, HANDLE event) defines a pointer SetEvent, which win32_test_setup() fills. */
#define WIN32_FN(from, function, result, ...)                                                   \
    static result(WINAPI *function)(__VA_ARGS__);                                               \
    __attribute__((constructor)) static void want_##function(void)                              \
    {                                                                                           \
        static struct win32_wanted wanted = {&from, #function, (const void **)&function, NULL}; \
        wanted.next = win32_wanted;                                                             \
        win32_wanted = &wanted;                                                                 \
    }
#define K32(function, result, ...) WIN32_FN(win32_kernel32, function, result, __VA_ARGS__)
#define NT(function, result, ...)  WIN32_FN(win32_ntdll, function, result, __VA_ARGS__)

/* A group set-up: the process and this thread as images expect them, and the functions above. */
static inline int win32_test_setup(void **state)
{
    win32_register();
    for (struct win32_wanted *w = win32_wanted; w; w = w->next) {
        *w->pointer = win32_find(w->builtin, w->name);
        if (!*w->pointer) {
            fprintf(stderr, "%s does not have %s\n", w->builtin->name, w->name);
            return -1;
        }
    }
    if (!nt_ok(ke_process_init(NULL)) || !nt_ok(ke_thread_attach(NULL)))
        return -1;
    win32_process_setup();
    return 0;
}

/* The call fails (returns what is false or NULL) with exactly this last error. */
#define assert_fails(call, error)                   \
    do {                                            \
        ke_set_last_error(0xDEADBEEF);              \
        assert_false(call);                         \
        assert_int_equal(ke_last_error(), (error)); \
    } while (0)

#define assert_wide_equal(a, b)                                                                  \
    do {                                                                                         \
        const WCHAR *wide_a = (a), *wide_b = (b);                                                \
        size_t wide_i = 0;                                                                       \
        while (wide_a[wide_i] && wide_a[wide_i] == wide_b[wide_i])                               \
            wide_i++;                                                                            \
        if (wide_a[wide_i] != wide_b[wide_i])                                                    \
            fail_msg("%s:%d: strings differ at %zu: U+%04X, U+%04X", __FILE__, __LINE__, wide_i, \
                     wide_a[wide_i], wide_b[wide_i]);                                            \
    } while (0)

#endif
