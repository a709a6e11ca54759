/*
 * What a program asks of the system: processors, memory, version, directories, names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/version.h"
#include "tests/unit/builtin_fn.h"
#include "tests/unit/wide.h"

struct system_info {
    WORD wProcessorArchitecture, wReserved;
    DWORD dwPageSize;
    void *lpMinimumApplicationAddress, *lpMaximumApplicationAddress;
    DWORD_PTR dwActiveProcessorMask;
    DWORD dwNumberOfProcessors, dwProcessorType, dwAllocationGranularity;
    WORD wProcessorLevel, wProcessorRevision;
};

struct memory_status {
    DWORD dwLength, dwMemoryLoad;
    ULONGLONG ullTotalPhys, ullAvailPhys, ullTotalPageFile, ullAvailPageFile, ullTotalVirtual,
        ullAvailVirtual, ullAvailExtendedVirtual;
};

FN(GetSystemInfo, void, struct system_info *out);
FN(GetLogicalProcessorInformation, BOOL, void *out, DWORD *size);
FN(GlobalMemoryStatusEx, BOOL, struct memory_status *out);
FN(GetVersionExW, BOOL, struct win32_version_info *out);
FN(GetVersion, DWORD, void);
FN(GetSystemDirectoryW, UINT, WCHAR *buffer, UINT size);
FN(GetSystemDirectoryA, UINT, char *buffer, UINT size);
FN(GetComputerNameW, BOOL, WCHAR *buffer, DWORD *size);
FN(GetComputerNameExW, BOOL, DWORD kind, WCHAR *buffer, DWORD *size);

static int load(void **state)
{
    if (!nt_ok(ke_thread_attach(NULL)))
        return -1;
    LOAD_FN(kernel32_system, GetSystemInfo);
    LOAD_FN(kernel32_system, GetLogicalProcessorInformation);
    LOAD_FN(kernel32_system, GlobalMemoryStatusEx);
    LOAD_FN(kernel32_system, GetVersionExW);
    LOAD_FN(kernel32_system, GetVersion);
    LOAD_FN(kernel32_system, GetSystemDirectoryA);
    LOAD_FN(kernel32_system, GetSystemDirectoryW);
    LOAD_FN(kernel32_system, GetComputerNameW);
    LOAD_FN(kernel32_system, GetComputerNameExW);
    return 0;
}

static void the_machine_is_described(void **state)
{
    struct system_info info;
    GetSystemInfo(&info);
    assert_int_equal(info.wProcessorArchitecture, sizeof(void *) == 8 ? 9 : 0);
    assert_int_equal(info.dwPageSize, 0x1000);
    assert_int_equal(info.dwAllocationGranularity, 0x10000);
    assert_int_equal((uintptr_t)info.lpMinimumApplicationAddress, 0x10000);
    assert_in_range(info.dwNumberOfProcessors, 1, 8 * sizeof(void *));
    assert_true(info.dwActiveProcessorMask & 1);
}

static void processor_information_says_how_much_it_needs(void **state)
{
    static char records[0x10000];
    DWORD size = 0;
    assert_false(GetLogicalProcessorInformation(NULL, &size));
    assert_int_equal(ke_last_error(), ERROR_INSUFFICIENT_BUFFER);
    assert_in_range(size, 1, sizeof(records));
    DWORD needed = size;
    assert_true(GetLogicalProcessorInformation(records, &size));
    assert_int_equal(size, needed);
    assert_int_equal(size % (sizeof(void *) == 8 ? 32 : 24), 0);
}

static void memory_adds_up(void **state)
{
    struct memory_status status = {.dwLength = sizeof(status)};
    assert_true(GlobalMemoryStatusEx(&status));
    assert_int_equal(sizeof(status), 64);
    assert_true(status.ullTotalPhys >= status.ullAvailPhys);
    assert_true(status.ullTotalPhys > 0 && status.ullAvailVirtual <= status.ullTotalVirtual);
    assert_in_range(status.dwMemoryLoad, 0, 100);
    status.dwLength = 8;
    assert_false(GlobalMemoryStatusEx(&status));
}

static void the_version_is_one_and_the_same(void **state)
{
    struct win32_version_info info = {.size = sizeof(info)};
    assert_true(GetVersionExW(&info));
    assert_int_equal(info.major, 10);
    assert_int_equal(info.platform, 2); /* VER_PLATFORM_WIN32_NT */
    assert_int_equal(GetVersion() & 0xFFFF, info.minor << 8 | info.major);
    assert_int_equal(GetVersion() >> 16, info.build);
    info.size = 12;
    assert_false(GetVersionExW(&info));
    assert_int_equal(ke_last_error(), ERROR_INSUFFICIENT_BUFFER);
}

static void directories_say_the_size_they_need(void **state)
{
    static const char expected[] = "C:\\Windows\\System32";
    WCHAR wide[64];
    char ansi[64] = "untouched";
    assert_int_equal(GetSystemDirectoryW(wide, 64), sizeof(expected) - 1);
    assert_int_equal(strcasecmp(narrow(wide), expected), 0);
    assert_int_equal(GetSystemDirectoryA(ansi, 5), sizeof(expected)); /* with the NUL */
    assert_string_equal(ansi, "untouched");
    assert_int_equal(GetSystemDirectoryW(NULL, 0), sizeof(expected));
}

static void computer_names_are_upper_case_and_short(void **state)
{
    WCHAR name[64];
    DWORD size = 64, needed = 0;
    assert_true(GetComputerNameW(name, &size));
    assert_in_range(size, 1, 15);
    assert_int_equal(name[size], 0);
    for (DWORD i = 0; i < size; i++)
        assert_false(name[i] >= 'a' && name[i] <= 'z');
    assert_false(GetComputerNameW(name, &needed));
    assert_int_equal(ke_last_error(), 111); /* ERROR_BUFFER_OVERFLOW */
    assert_int_equal(needed, size + 1);
    needed = 0;
    assert_false(GetComputerNameExW(1, NULL, &needed));
    assert_int_equal(ke_last_error(), ERROR_MORE_DATA);
    assert_true(needed > 1);
    assert_false(GetComputerNameExW(99, name, &size));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_is_described),
        cmocka_unit_test(processor_information_says_how_much_it_needs),
        cmocka_unit_test(memory_adds_up),
        cmocka_unit_test(the_version_is_one_and_the_same),
        cmocka_unit_test(directories_say_the_size_they_need),
        cmocka_unit_test(computer_names_are_upper_case_and_short),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
