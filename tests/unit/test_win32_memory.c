/*
 * VirtualAlloc, VirtualProtect, VirtualQuery and their relatives (facts 1.3, 1.4, 4.5).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/ke/ke.h"
#include "loader/mm/view.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/memory.h"
#include "tests/unit/builtin_fn.h"

FN(VirtualAlloc, void *, void *address, SIZE_T size, DWORD type, DWORD protect);
FN(VirtualLock, BOOL, void *address, SIZE_T size);
FN(VirtualUnlock, BOOL, void *address, SIZE_T size);
FN(VirtualFree, BOOL, void *address, SIZE_T size, DWORD type);
FN(VirtualProtect, BOOL, void *address, SIZE_T size, DWORD protect, DWORD *old);
FN(VirtualQuery, SIZE_T, const void *address, struct win32_memory_information *out, SIZE_T size);
FN(ReadProcessMemory, BOOL, HANDLE process, const void *address, void *buffer, SIZE_T size,
   SIZE_T *done);
FN(WriteProcessMemory, BOOL, HANDLE process, void *address, const void *buffer, SIZE_T size,
   SIZE_T *done);
FN(IsBadReadPtr, BOOL, const void *memory, UINT_PTR size);
FN(IsBadWritePtr, BOOL, void *memory, UINT_PTR size);
FN(IsBadStringPtrA, BOOL, const char *string, UINT_PTR max);
FN(LoadLibraryA, HMODULE, const char *name);

static int load(void **state)
{
    if (!nt_ok(ke_thread_attach(NULL)))
        return -1;
    win32_register();
    LOAD_FN(kernel32_memory, VirtualAlloc);
    LOAD_FN(kernel32_memory, VirtualFree);
    LOAD_FN(kernel32_memory, VirtualLock);
    LOAD_FN(kernel32_memory, VirtualUnlock);
    LOAD_FN(kernel32_memory, VirtualProtect);
    LOAD_FN(kernel32_memory, VirtualQuery);
    LOAD_FN(kernel32_memory, ReadProcessMemory);
    LOAD_FN(kernel32_memory, WriteProcessMemory);
    LOAD_FN(kernel32_memory, IsBadReadPtr);
    LOAD_FN(kernel32_memory, IsBadWritePtr);
    LOAD_FN(kernel32_memory, IsBadStringPtrA);
    LOAD_FN(kernel32_module, LoadLibraryA);
    return 0;
}

static struct win32_memory_information query(const void *address)
{
    struct win32_memory_information info;
    assert_int_equal(VirtualQuery(address, &info, sizeof(info)), sizeof(info));
    return info;
}

static void reserving_rounds_and_committing_zeroes(void **state)
{
    char *base = VirtualAlloc(NULL, 0x5001, MEM_RESERVE, PAGE_READWRITE);
    assert_non_null(base);
    assert_int_equal((uintptr_t)base % 0x10000, 0);
    struct win32_memory_information info = query(base + 0x1234);
    assert_ptr_equal(info.BaseAddress, base + 0x1000);
    assert_ptr_equal(info.AllocationBase, base);
    assert_int_equal(info.RegionSize, 0x5000); /* six pages, from the second on */
    assert_int_equal(info.State, MEM_RESERVE);
    assert_int_equal(info.Protect, 0);
    assert_int_equal(info.AllocationProtect, PAGE_READWRITE);
    assert_ptr_equal(VirtualAlloc(base + 0x1800, 1, MEM_COMMIT, PAGE_READWRITE), base + 0x1000);
    assert_int_equal(base[0x1FFF], 0);
    base[0x1000] = 1;
    info = query(base + 0x1000);
    assert_int_equal(info.State, MEM_COMMIT);
    assert_int_equal(info.RegionSize, 0x1000);
    assert_int_equal(info.Type, 0x20000); /* MEM_PRIVATE */
    assert_true(VirtualFree(base, 0, MEM_RELEASE));
    info = query(base);
    assert_int_equal(info.State, MEM_FREE);
    assert_int_equal(info.Protect, PAGE_NOACCESS);
    assert_null(info.AllocationBase);
}

static void check_refused(void *result, DWORD error)
{
    assert_null(result);
    assert_int_equal(ke_last_error(), error);
}

static void bad_allocations_are_refused(void **state)
{
    check_refused(VirtualAlloc(NULL, 0, MEM_COMMIT, PAGE_READWRITE), ERROR_INVALID_PARAMETER);
    check_refused(VirtualAlloc(NULL, 1, MEM_COMMIT, 0), ERROR_INVALID_PARAMETER);
    check_refused(VirtualAlloc(NULL, 1, MEM_COMMIT, PAGE_READONLY | PAGE_READWRITE),
                  ERROR_INVALID_PARAMETER);
    check_refused(VirtualAlloc(NULL, 1, MEM_COMMIT, PAGE_WRITECOPY), ERROR_INVALID_PARAMETER);
    char *base = VirtualAlloc(NULL, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    assert_non_null(base);
    check_refused(VirtualAlloc(base, 0x1000, MEM_RESERVE, PAGE_READWRITE), ERROR_INVALID_ADDRESS);
    assert_false(VirtualFree(base, 0x1000, MEM_RELEASE)); /* the size must be 0 */
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_true(VirtualFree(base, 0, MEM_RELEASE));
    assert_false(VirtualFree(base, 0, MEM_RELEASE));
    assert_int_equal(ke_last_error(), ERROR_INVALID_ADDRESS);
}

/* Facts 4.5, and the documentation of VirtualAlloc. `at`: offset in a reserved range of 256 KiB
 * whose second page is committed; NOWHERE = no wanted address. */
enum { NOWHERE = -1, LARGE = 0x20000000 };

static void every_allocation_has_its_error(void **state)
{
    static const struct {
        int at;
        SIZE_T size;
        DWORD type, protect, error;
    } cases[] = {
        {NOWHERE, 0, MEM_COMMIT, PAGE_READWRITE, 87},
        {NOWHERE, 4096, 0, PAGE_READWRITE, 87},
        {NOWHERE, 4096, MEM_DECOMMIT, PAGE_READWRITE, 87},
        {NOWHERE, 4096, MEM_COMMIT | MEM_RELEASE, PAGE_READWRITE, 87},
        {NOWHERE, 4096, MEM_COMMIT, 0, 87},
        {NOWHERE, 4096, MEM_COMMIT, PAGE_WRITECOPY, 87},
        {NOWHERE, 4096, MEM_COMMIT, PAGE_EXECUTE_WRITECOPY, 87},
        {NOWHERE, 4096, MEM_RESERVE, PAGE_WRITECOPY, 87},
        {NOWHERE, 4096, MEM_RESERVE, 0x800, 87},
        {NOWHERE, 4096, MEM_COMMIT, PAGE_READONLY | PAGE_READWRITE, 87},
        {NOWHERE, 4096, MEM_COMMIT, PAGE_NOACCESS | PAGE_GUARD, 87},
        {NOWHERE, 4096, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD | PAGE_NOCACHE, 87},
        {NOWHERE, 4096, MEM_COMMIT | LARGE, PAGE_READWRITE, 87},
        {NOWHERE, 1 << 21, MEM_RESERVE | MEM_COMMIT | LARGE, PAGE_READWRITE, 1314},
        {NOWHERE, (SIZE_T)-1, MEM_RESERVE, PAGE_READWRITE, 87},
        {NOWHERE, (SIZE_T)-4096, MEM_COMMIT, PAGE_READWRITE, 87},
        {NOWHERE, 4096, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD, 0},
        {NOWHERE, 4096, MEM_COMMIT, PAGE_READWRITE | PAGE_NOCACHE, 0},
        {NOWHERE, 4096, MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE, 0},
        {NOWHERE, 4096, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS, 0},
        {0, 4096, MEM_RESERVE, PAGE_READWRITE, 487},
        {0x3F000, 0x2000, MEM_COMMIT, PAGE_READWRITE, 487},
        {0x3000, 4096, MEM_COMMIT, PAGE_READWRITE, 0},
        {0x1000, 4096, MEM_COMMIT, PAGE_READWRITE, 0},
        {0x1000, 4096, MEM_RESET, PAGE_READWRITE, 0},
    };
    char *base = VirtualAlloc(NULL, 0x40000, MEM_RESERVE, PAGE_READWRITE);
    assert_non_null(VirtualAlloc(base + 0x1000, 0x1000, MEM_COMMIT, PAGE_READWRITE));
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *wanted = cases[i].at == NOWHERE ? NULL : base + cases[i].at;
        ke_set_last_error(0);
        char *got = VirtualAlloc(wanted, cases[i].size, cases[i].type, cases[i].protect);
        if (!got != (cases[i].error != 0) || ke_last_error() != cases[i].error)
            fail_msg("case %zu: %p, error %u", i, (void *)got, ke_last_error());
        if (got && !wanted)
            assert_true(VirtualFree(got, 0, MEM_RELEASE));
    }
    assert_null(VirtualAlloc((void *)0x1000, 1, MEM_RESERVE, PAGE_READWRITE));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_true(VirtualFree(base, 0, MEM_RELEASE));
}

static void every_release_has_its_error(void **state)
{
    static const struct {
        int at;
        SIZE_T size;
        DWORD type, error;
    } cases[] = {
        {0, 0x1000, MEM_RELEASE, 87},
        {0x1000, 0, MEM_RELEASE, 487},
        {0, 0, 0, 87},
        {0, 0, MEM_COMMIT, 87},
        {0, 0, MEM_RELEASE | MEM_DECOMMIT, 87},
        {0x1000, 0, MEM_DECOMMIT, 487},
        {0x1000, 0x100000, MEM_DECOMMIT, 87},
        {0x1000, 0x1000, MEM_DECOMMIT, 0},
        {0, 0, MEM_DECOMMIT, 0},
        {1, 0, MEM_RELEASE, 0},
        {0, 0, MEM_RELEASE, 487},
        {0, 0x1000, MEM_DECOMMIT, 487},
    };
    char *base = VirtualAlloc(NULL, 0x4000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ke_set_last_error(0);
        BOOL done = VirtualFree(base + cases[i].at, cases[i].size, cases[i].type);
        if (done != !cases[i].error || ke_last_error() != cases[i].error)
            fail_msg("case %zu: %d, error %u", i, done, ke_last_error());
    }
}

static void questions_about_memory_are_checked(void **state)
{
    struct win32_memory_information info;
    char *base = VirtualAlloc(NULL, 0x2000, MEM_RESERVE, PAGE_READWRITE);
    assert_non_null(VirtualAlloc(base, 1, MEM_COMMIT, PAGE_READWRITE));
    assert_int_equal(VirtualQuery(base, NULL, sizeof info), 0);
    assert_int_equal(ke_last_error(), ERROR_NOACCESS);
    assert_int_equal(VirtualQuery(base, &info, sizeof info - 1), 0);
    assert_int_equal(ke_last_error(), 24); /* ERROR_BAD_LENGTH */
    assert_true(VirtualLock(base, 0x1000));
    assert_true(VirtualUnlock(base, 0x1000));
    assert_false(VirtualLock(base, 0x2000)); /* the second page is not committed */
    assert_int_equal(ke_last_error(), ERROR_NOACCESS);
    assert_false(VirtualLock(NULL, 1));
    assert_int_equal(ke_last_error(), ERROR_NOACCESS);
    assert_true(VirtualFree(base, 0, MEM_RELEASE));
}

static void protections_change_and_are_told(void **state)
{
    DWORD old = 0;
    char *base = VirtualAlloc(NULL, 0x3000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    assert_true(VirtualProtect(base + 0x1010, 1, PAGE_READONLY, &old));
    assert_int_equal(old, PAGE_READWRITE);
    assert_int_equal(query(base + 0x1000).Protect, PAGE_READONLY);
    assert_int_equal(query(base + 0x1000).RegionSize, 0x1000);
    assert_int_equal(query(base).Protect, PAGE_READWRITE);
    assert_int_equal(query(base + 0x1000).AllocationProtect, PAGE_READWRITE);
    assert_false(VirtualProtect(base, 1, 0, &old));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_false(VirtualProtect(base, 1, PAGE_READONLY | PAGE_EXECUTE, &old));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_false(VirtualProtect(base, 1, PAGE_READONLY, NULL));
    assert_int_equal(ke_last_error(), ERROR_NOACCESS);
    assert_true(VirtualFree(base + 0x2000, 0x1000, MEM_DECOMMIT));
    assert_false(VirtualProtect(base, 0x3000, PAGE_READONLY, &old)); /* one page is not committed */
    assert_int_equal(ke_last_error(), ERROR_INVALID_ADDRESS);
    assert_true(VirtualFree(base, 0, MEM_RELEASE));
}

static void images_are_copy_on_write(void **state)
{
    DWORD old = 0;
    char *image = LoadLibraryA("version.dll");
    assert_non_null(image);
    struct win32_memory_information info = query(image);
    assert_ptr_equal(info.AllocationBase, image);
    assert_int_equal(info.AllocationProtect, PAGE_EXECUTE_WRITECOPY);
    assert_int_equal(info.Type, 0x1000000); /* MEM_IMAGE */
    assert_int_equal(info.Protect, PAGE_READONLY);
    assert_true(VirtualProtect(image, 1, PAGE_READWRITE, &old));
    assert_int_equal(old, PAGE_READONLY);
    assert_int_equal(query(image).Protect, PAGE_WRITECOPY);
    image[0x3C - 4] = 7; /* reserved words of the DOS header */
    assert_true(VirtualProtect(image, 1, PAGE_READONLY, &old));
    check_refused(VirtualAlloc(image, 0x1000, MEM_COMMIT, PAGE_READWRITE), ERROR_ACCESS_DENIED);
}

static void queries_check_their_buffer(void **state)
{
    struct win32_memory_information info;
    assert_int_equal(VirtualQuery("", &info, sizeof(info) - 1), 0);
    assert_int_equal(ke_last_error(), 24); /* ERROR_BAD_LENGTH */
    assert_int_equal(VirtualQuery((void *)(uintptr_t)-0x1000, &info, sizeof(info)), 0);
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
}

static void bad_addresses_are_errors_not_faults(void **state)
{
    char text[] = "text", out[5] = "";
    SIZE_T done = 9;
    char *base = VirtualAlloc(NULL, 0x2000, MEM_RESERVE, PAGE_NOACCESS);
    assert_ptr_equal(VirtualAlloc(base, 0x1000, MEM_COMMIT, PAGE_READWRITE), base);
    assert_true(ReadProcessMemory(CURRENT_PROCESS, text, out, 5, &done));
    assert_int_equal(done, 5);
    assert_string_equal(out, "text");
    assert_false(ReadProcessMemory(CURRENT_PROCESS, base + 0x1000, out, 5, &done));
    assert_int_equal(ke_last_error(), 299); /* ERROR_PARTIAL_COPY */
    assert_int_equal(done, 0);
    assert_false(WriteProcessMemory(CURRENT_PROCESS, base + 0x1000, text, 5, &done));
    assert_int_equal(ke_last_error(), ERROR_NOACCESS);
    assert_true(WriteProcessMemory(CURRENT_PROCESS, base, text, 5, &done));
    assert_string_equal(base, "text");
    assert_false(IsBadReadPtr(base, 0x1000));
    assert_true(IsBadReadPtr(base, 0x1001));
    assert_true(IsBadReadPtr(NULL, 1));
    assert_false(IsBadReadPtr(NULL, 0));
    assert_false(IsBadWritePtr(base, 0x1000));
    DWORD old;
    assert_true(VirtualProtect(base, 1, PAGE_READONLY, &old));
    assert_true(IsBadWritePtr(base, 1));
    assert_false(IsBadStringPtrA(base, 100));
    assert_true(IsBadStringPtrA(base + 0x1000, 100));
    assert_true(VirtualFree(base, 0, MEM_RELEASE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserving_rounds_and_committing_zeroes),
        cmocka_unit_test(bad_allocations_are_refused),
        cmocka_unit_test(every_allocation_has_its_error),
        cmocka_unit_test(every_release_has_its_error),
        cmocka_unit_test(questions_about_memory_are_checked),
        cmocka_unit_test(protections_change_and_are_told),
        cmocka_unit_test(images_are_copy_on_write),
        cmocka_unit_test(queries_check_their_buffer),
        cmocka_unit_test(bad_addresses_are_errors_not_faults),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
