/*
 * API sets: the schema's rows and the lookup rules of facts 3.6.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/ldr/apiset.h"
#include "loader/ldr/ldr.h"

static void test_lookup(void **state)
{
    static const struct {
        const char *name, *host;
    } rows[] = {
        {"api-ms-win-core-file-l1-1-0", "kernelbase.dll"},
        {"api-ms-win-core-file-l1-1-0.dll", "kernelbase.dll"},
        {"API-MS-Win-Core-File-L1-1-0.DLL", "kernelbase.dll"},
        {"api-ms-win-core-file-l1-1-99.dll", "kernelbase.dll"}, /* a later version */
        {"api-ms-win-crt-runtime-l1-1-0.dll", "ucrtbase.dll"},
        {"api-ms-win-core-atoms-l1-1-0.dll", "kernel32.dll"},
        {"api-ms-win-deprecated-apis-legacy-l1-1-0.dll", ""}, /* no module serves it */
        {"api-ms-win-core-file-l1-7-0.dll", NULL},            /* this part does count */
        {"api-ms-win-core-nosuch-l1-1-0.dll", NULL},
        {"kernel32.dll", NULL},
        {"api-", NULL},
        {"api-ms-win-core-file", NULL},
        {"-", NULL},
        {".dll", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *host = ldr_apiset_host(rows[i].name);
        if (rows[i].host == NULL)
            assert_null(host);
        else
            assert_string_equal(host, rows[i].host);
    }
}

/* Windows XP: files that the runtime's installer brings, and nothing else. */
static void test_windows_xp(void **state)
{
    mm_set_windows(PE_WINDOWS_XP);
    assert_null(ldr_apiset_host("api-ms-win-core-file-l1-1-0.dll"));
    assert_string_equal(ldr_apiset_host("api-ms-win-crt-runtime-l1-1-0.dll"), "ucrtbase.dll");
    mm_set_windows(PE_WINDOWS_7);
    assert_string_equal(ldr_apiset_host("api-ms-win-core-file-l1-1-0.dll"), "kernelbase.dll");
    mm_set_windows(PE_WINDOWS_10);
}

static void test_long_name(void **state)
{
    char name[70000];
    memset(name, 'a', sizeof(name));
    memcpy(name, "api-", 4);
    memcpy(name + sizeof(name) - 3, "-0", 3);
    assert_null(ldr_apiset_host(name));
}

/* A binary search needs the order; every row must be found by its own name. */
static void test_table(void **state)
{
    assert_true(ldr_apiset_count > 400);
    for (size_t i = 0; i < ldr_apiset_count; i++) {
        char name[256] = "";
        strcat(strcat(name, ldr_apisets[i].contract), "-0.dll");
        assert_true(i == 0 || strcmp(ldr_apisets[i - 1].contract, ldr_apisets[i].contract) < 0);
        assert_ptr_equal(ldr_apiset_host(name), ldr_apisets[i].host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_windows_xp),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
