/*
 * Drives, volumes, links, and the interlocked functions that 32-bit KERNEL32 exports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/win32/file.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

K32(GetDiskFreeSpaceExA, BOOL, const char *directory, uint64_t *available, uint64_t *total,
    uint64_t *unused)
K32(GetLogicalDrives, DWORD, void)
K32(GetLogicalDriveStringsA, DWORD, DWORD size, char *buffer)
K32(GetDriveTypeA, UINT, const char *root)
K32(GetVolumeInformationA, BOOL, const char *root, char *label, DWORD label_size, DWORD *serial,
    DWORD *longest, DWORD *flags, char *system, DWORD system_size)
K32(GetVolumePathNameW, BOOL, const WCHAR *name, WCHAR *buffer, DWORD size)
K32(CreateHardLinkA, BOOL, const char *name, const char *existing, void *security)
K32(CreateSymbolicLinkA, BOOLEAN, const char *name, const char *target, DWORD flags)
K32(GetFileAttributesA, DWORD, const char *name)

static int setup(void **state)
{
    return win32_test_setup(state) || tempdir_create() || chdir(tempdir);
}

static int teardown(void **state)
{
    return chdir("/") || tempdir_remove();
}

static void test_drives(void **state)
{
    char strings[16];
    assert_int_equal(GetLogicalDrives(), 1 << 2 | 1 << 25);
    assert_int_equal(GetLogicalDriveStringsA(4, strings), 9); /* needed, with the last NUL */
    assert_int_equal(GetLogicalDriveStringsA(16, strings), 8);
    assert_memory_equal(strings, "C:\\\0Z:\\\0", 9);
    assert_int_equal(GetDriveTypeA("c:\\"), 3);
    assert_int_equal(GetDriveTypeA("Q:\\"), 1);
}

static void test_volume(void **state)
{
    uint64_t available = 0, total = 0;
    DWORD serial = 0, longest = 0;
    char system[8];
    WCHAR root[8];
    assert_true(GetDiskFreeSpaceExA("Z:\\", &available, &total, NULL));
    assert_true(available <= total && total > 0);
    assert_fails(GetDiskFreeSpaceExA("Z:\\no such place", &available, NULL, NULL),
                 ERROR_FILE_NOT_FOUND);
    assert_true(GetVolumeInformationA("C:\\", NULL, 0, &serial, &longest, NULL, system, 8));
    assert_int_equal(longest, 255);
    assert_string_equal(system, "NTFS");
    assert_fails(GetVolumeInformationA("C:\\", NULL, 0, NULL, NULL, NULL, system, 4),
                 ERROR_MORE_DATA);
    assert_true(GetVolumePathNameW(u"C:\\a\\b", root, 8));
    assert_wide_equal(root, u"C:\\");
    assert_fails(GetVolumePathNameW(u"C:\\a\\b", root, 3), ERROR_FILENAME_EXCED_RANGE);
}

static void test_links(void **state)
{
    struct stat st;
    char text[64] = "";
    FILE *file = fopen("original", "w");
    assert_non_null(file);
    fclose(file);
    assert_true(CreateHardLinkA("second", "original", NULL));
    assert_int_equal(stat("second", &st), 0);
    assert_int_equal(st.st_nlink, 2);
    assert_fails(CreateHardLinkA("second", "original", NULL), ERROR_ALREADY_EXISTS);
    assert_fails(CreateHardLinkA("third", "none", NULL), ERROR_FILE_NOT_FOUND);
    assert_true(CreateSymbolicLinkA("link", "dir\\target", 0));
    assert_int_equal(readlink("link", text, sizeof(text) - 1), 10);
    assert_string_equal(text, "dir/target");
    assert_true(CreateSymbolicLinkA("here", "original", 2));
    assert_int_equal(GetFileAttributesA("here"), FILE_ATTRIBUTE_ARCHIVE);
}

#ifdef __i386__
K32(InterlockedIncrement, LONG, LONG *value)
K32(InterlockedDecrement, LONG, LONG *value)
K32(InterlockedExchange, LONG, LONG *value, LONG fresh)
K32(InterlockedExchangeAdd, LONG, LONG *value, LONG add)
K32(InterlockedCompareExchange, LONG, LONG *value, LONG fresh, LONG expected)
K32(InterlockedCompareExchange64, LONGLONG, LONGLONG *value, LONGLONG fresh, LONGLONG expected)
#endif

static void test_interlocked(void **state)
{
#ifdef __i386__
    LONG value = 5;
    LONGLONG wide = 0x100000002;
    assert_int_equal(InterlockedIncrement(&value), 6);       /* the new value */
    assert_int_equal(InterlockedDecrement(&value), 5);       /* the new value */
    assert_int_equal(InterlockedExchangeAdd(&value, 10), 5); /* the old one */
    assert_int_equal(InterlockedExchange(&value, 1), 15);    /* the old one */
    assert_int_equal(InterlockedCompareExchange(&value, 9, 2), 1);
    assert_int_equal(value, 1);
    assert_int_equal(InterlockedCompareExchange(&value, 9, 1), 1);
    assert_int_equal(value, 9);
    assert_true(InterlockedCompareExchange64(&wide, 7, 0x100000002) == 0x100000002);
    assert_true(wide == 7);
    assert_true(InterlockedCompareExchange64(&wide, 8, 6) == 7);
    assert_true(wide == 7);
#else
    assert_null(win32_find(&win32_kernel32, "InterlockedIncrement")); /* as on Windows */
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drives),
        cmocka_unit_test(test_volume),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_interlocked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
