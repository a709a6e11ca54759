/*
 * LoadLibrary, GetModuleHandle, GetProcAddress: names, flags, reference counts, last errors (facts
 * 3.1, 3.3, 3.8).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "tests/samples.h"
#include "tests/unit/builtin_fn.h"
#include "tests/unit/wide.h"

FN(LoadLibraryA, HMODULE, const char *name);
FN(LoadLibraryW, HMODULE, const WCHAR *name);
FN(LoadLibraryExW, HMODULE, const WCHAR *name, HANDLE file, DWORD flags);
FN(FreeLibrary, BOOL, HMODULE module);
FN(GetProcAddress, void *, HMODULE module, const char *name);
FN(GetModuleHandleA, HMODULE, const char *name);
FN(GetModuleHandleW, HMODULE, const WCHAR *name);
FN(GetModuleHandleExW, BOOL, DWORD flags, const WCHAR *name, HMODULE *out);
FN(GetModuleFileNameA, DWORD, HMODULE module, char *buffer, DWORD size);
FN(GetModuleFileNameW, DWORD, HMODULE module, WCHAR *buffer, DWORD size);
FN(DisableThreadLibraryCalls, BOOL, HMODULE module);

static char copy[SAMPLE_PATH_MAX]; /* a DLL that nobody else loads; "" = no samples */

static int load(void **state)
{
    char path[SAMPLE_PATH_MAX];
    if (!nt_ok(ke_thread_attach(NULL)))
        return -1;
    win32_register();
    LOAD_FN(kernel32_module, LoadLibraryA);
    LOAD_FN(kernel32_module, LoadLibraryW);
    LOAD_FN(kernel32_module, LoadLibraryExW);
    LOAD_FN(kernel32_module, FreeLibrary);
    LOAD_FN(kernel32_module, GetProcAddress);
    LOAD_FN(kernel32_module, GetModuleHandleA);
    LOAD_FN(kernel32_module, GetModuleHandleW);
    LOAD_FN(kernel32_module, GetModuleHandleExW);
    LOAD_FN(kernel32_module, GetModuleFileNameA);
    LOAD_FN(kernel32_module, GetModuleFileNameW);
    LOAD_FN(kernel32_module, DisableThreadLibraryCalls);
    for (const char *const *set = sample_sets; *set && !copy[0]; set++) {
        if (sample_path(*set, "resource.dll", path)) {
            snprintf(copy, sizeof(copy), "/tmp/peldr-module-%d.dll", (int)getpid());
            sample_copy(path, copy);
        }
    }
    return 0;
}

static int cleanup(void **state)
{
    return copy[0] ? unlink(copy) : 0;
}

static void system_modules_have_one_handle(void **state)
{
    HMODULE kernel32 = LoadLibraryA("kernel32.dll");
    assert_non_null(kernel32);
    assert_int_equal(*(WORD *)kernel32, 0x5A4D); /* the image's headers */
    assert_ptr_equal(GetModuleHandleA("KERNEL32"), kernel32);
    assert_ptr_equal(GetModuleHandleW(W("Kernel32.DLL")), kernel32);
    assert_ptr_equal(LoadLibraryW(W("kernel32")), kernel32);
    assert_null(GetModuleHandleA("kernel32.")); /* a trailing dot: no extension */
    assert_int_equal(ke_last_error(), ERROR_MOD_NOT_FOUND);
    assert_true(FreeLibrary(kernel32));
    assert_true(FreeLibrary(kernel32));
}

static void api_sets_stand_for_their_host(void **state)
{
    HMODULE set = LoadLibraryA("api-ms-win-core-registry-l1-1-0");
    assert_non_null(set);
    assert_ptr_equal(set, GetModuleHandleA("kernelbase.dll"));
    assert_non_null(GetProcAddress(set, "RegOpenKeyExW"));
}

/* On Windows's list, but not written: who asks at run time hears that it is not there. */
static void unwritten_functions_are_not_found(void **state)
{
    HMODULE kernel32 = GetModuleHandleA("kernel32");
    assert_null(GetProcAddress(kernel32, "CreateTapePartition"));
    assert_int_equal(ke_last_error(), 127); /* ERROR_PROC_NOT_FOUND */
    assert_non_null(GetProcAddress(kernel32, "CreateFileW"));
}

static void missing_modules_set_the_last_error(void **state)
{
    assert_null(LoadLibraryA("no-such-library"));
    assert_int_equal(ke_last_error(), ERROR_MOD_NOT_FOUND);
    assert_null(LoadLibraryExW(W("kernel32.dll"), (HANDLE)8, 0)); /* hFile must be NULL */
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_false(FreeLibrary((HMODULE)0x12340));
    assert_int_equal(ke_last_error(), ERROR_MOD_NOT_FOUND);
}

static void functions_are_found_by_name_and_ordinal(void **state)
{
    HMODULE ws2 = LoadLibraryA("ws2_32.dll");
    assert_non_null(ws2);
    void *startup = GetProcAddress(ws2, "WSAStartup");
    assert_non_null(startup);
    assert_ptr_equal(GetProcAddress(ws2, (const char *)115), startup);
    assert_null(GetProcAddress(ws2, "wsastartup")); /* names compare with case */
    assert_int_equal(ke_last_error(), ERROR_PROC_NOT_FOUND);
    assert_null(GetProcAddress(ws2, (const char *)0xFFFF));
    assert_int_equal(ke_last_error(), ERROR_INVALID_ORDINAL);
}

static void get_module_handle_ex_checks_its_flags(void **state)
{
    HMODULE found = (HMODULE)1;
    HMODULE kernel32 = GetModuleHandleA("kernel32");
    assert_true(GetModuleHandleExW(2, W("kernel32"), &found));
    assert_ptr_equal(found, kernel32);
    assert_true(GetModuleHandleExW(4 | 2, (const WCHAR *)((char *)kernel32 + 100), &found));
    assert_ptr_equal(found, kernel32);
    assert_false(GetModuleHandleExW(1 | 2, W("kernel32"), &found)); /* PIN with UNCHANGED */
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_null(found);
    assert_false(GetModuleHandleExW(2, W("nothing"), &found));
    assert_int_equal(ke_last_error(), ERROR_MOD_NOT_FOUND);
    assert_false(GetModuleHandleExW(0, W("kernel32"), NULL));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
}

static void references_count(void **state)
{
    if (!copy[0])
        skip();
    HMODULE module = LoadLibraryA(copy), again;
    assert_non_null(module);
    assert_ptr_equal(LoadLibraryA(copy), module);
    assert_true(GetModuleHandleExW(0, W(copy), &again)); /* a third one */
    assert_true(FreeLibrary(module));
    assert_true(FreeLibrary(module));
    assert_ptr_equal(GetModuleHandleA(copy), module);
    assert_true(DisableThreadLibraryCalls(module));
    assert_true(FreeLibrary(module));
    assert_null(GetModuleHandleA(copy));
    assert_false(DisableThreadLibraryCalls(module));
}

static void data_files_are_marked_and_hidden(void **state)
{
    if (!copy[0])
        skip();
    HMODULE data = LoadLibraryExW(W(copy), NULL, 2);
    assert_non_null(data);
    assert_int_equal((uintptr_t)data & 3, 1);
    assert_null(GetModuleHandleA(copy));
    assert_null(GetProcAddress(data, "anything"));
    assert_true(FreeLibrary(data));
    HMODULE image = LoadLibraryExW(W(copy), NULL, 0x20);
    assert_non_null(image);
    assert_int_equal((uintptr_t)image & 3, 2);
    assert_true(FreeLibrary(image));
    /* Loaded as a module already: that one, counted once more. */
    HMODULE module = LoadLibraryA(copy);
    assert_ptr_equal(LoadLibraryExW(W(copy), NULL, 2), module);
    assert_true(FreeLibrary(module));
    assert_ptr_equal(GetModuleHandleA(copy), module);
    assert_true(FreeLibrary(module));
}

static void file_names_are_cut_and_reported(void **state)
{
    WCHAR wide[300];
    char ansi[300];
    HMODULE kernel32 = GetModuleHandleA("kernel32");
    DWORD length = GetModuleFileNameW(kernel32, wide, 300);
    assert_true(length > 12);
    assert_int_equal(ke_last_error(), ERROR_SUCCESS);
    assert_string_equal(narrow(wide), "C:\\Windows\\System32\\KERNEL32.dll");
    assert_int_equal(GetModuleFileNameA(kernel32, ansi, 300), length);
    assert_int_equal(GetModuleFileNameW(kernel32, wide, 5), 5);
    assert_int_equal(ke_last_error(), ERROR_INSUFFICIENT_BUFFER);
    assert_string_equal(narrow(wide), "C:\\W");
    assert_int_equal(GetModuleFileNameA(kernel32, ansi, 5), 5);
    assert_string_equal(ansi, "C:\\W");
    assert_int_equal(GetModuleFileNameW((HMODULE)0x12340, wide, 300), 0);
    assert_int_equal(ke_last_error(), ERROR_MOD_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_modules_have_one_handle),
        cmocka_unit_test(api_sets_stand_for_their_host),
        cmocka_unit_test(unwritten_functions_are_not_found),
        cmocka_unit_test(missing_modules_set_the_last_error),
        cmocka_unit_test(functions_are_found_by_name_and_ordinal),
        cmocka_unit_test(get_module_handle_ex_checks_its_flags),
        cmocka_unit_test(references_count),
        cmocka_unit_test(data_files_are_marked_and_hidden),
        cmocka_unit_test(file_names_are_cut_and_reported),
    };
    return cmocka_run_group_tests(tests, load, cleanup);
}
